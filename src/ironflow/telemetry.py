"""Traces of OpenTelemetry for what reads events itself: subscriptions and members of consumer groups.

    async for event in client.subscribe("order.*", group="billing"):
        with receiving(event):
            await bill(event.data)

Clients, workers and endpoints trace by themselves once the program has set a tracer provider.
Needs `pip install ironflow-engine[otel]`. Source: docs/guides/tracing.md.
"""

from contextlib import AbstractContextManager
from types import TracebackType

try:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind, TracerProvider
except ModuleNotFoundError as missing:
    raise ImportError("ironflow.telemetry needs OpenTelemetry: `pip install ironflow-engine[otel]`.") from missing

from ironflow.base.errors import IronflowError
from ironflow.base.trace_context import of_mapping
from ironflow.sdk.client.connection.received import SubscriptionEventFields
from ironflow.sdk.durable.job.event import Event
from ironflow.sdk.wire.spans import Spans, context_below, global_provider, mark_failed

__all__ = ["context_of", "receiving"]


def context_of(event: SubscriptionEventFields | Event) -> Context:
    """Where spans are made below the one that emitted or published the event; a new trace for an event without one."""
    return context_below(of_mapping(event.metadata))


def receiving(
    event: SubscriptionEventFields, name: str = "", *, tracer_provider: TracerProvider | None = None
) -> AbstractContextManager[Span]:
    """A span for the work on an event, below the one that emitted or published it. It is the current one inside.

    An exception that leaves it marks it as failed, with the name of its class, or the code of an IronflowError.
    name: of the span; empty for `receive` and the name of the event. tracer_provider: None takes the global one.
    """
    about: dict[str, str | int] = {
        "ironflow.event": event.name,
        "ironflow.event_id": event.id,
        "ironflow.topic": event.topic,
    }
    if event.attempt:
        about["ironflow.attempt"] = event.attempt
    spans = Spans(tracer_provider or global_provider())
    return _Receiving(spans.within(name or f"receive {event.name}", SpanKind.CONSUMER, about, context_of(event)))


class _Receiving(AbstractContextManager[Span]):
    """A span that is marked as failed by the exception that leaves it."""

    def __init__(self, within: AbstractContextManager[Span]) -> None:
        self._within = within
        self._span: Span | None = None

    def __enter__(self) -> Span:
        self._span = self._within.__enter__()
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        # A loop that is cancelled has not failed.
        if self._span is not None and isinstance(error, Exception):
            mark_failed(self._span, error.code if isinstance(error, IronflowError) else type(error).__name__)
        return self._within.__exit__(kind, error, trace)
