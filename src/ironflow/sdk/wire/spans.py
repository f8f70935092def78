"""The SDK's use of OpenTelemetry. Imported only by programs that use it themselves.

Spans carry ids and names, and never payloads, secrets or the texts of errors, which may contain both.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    ProxyTracerProvider,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TracerProvider,
    TraceState,
)

from ironflow.base.errors import IronflowError
from ironflow.base.trace_context import TraceContext
from ironflow.base.version import VERSION

Attributes = Mapping[str, str | int]

global_provider = api.get_tracer_provider


class Spans:
    """Makes the spans of one provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self.provider = provider
        self.records = not isinstance(provider, ProxyTracerProvider)
        self._tracer = provider.get_tracer("ironflow", VERSION)

    @contextmanager
    def call(self, operation: str) -> Iterator[Mapping[str, str]]:
        """A span around a call of the server; gives the headers that carry it on."""
        with self.within(operation, SpanKind.CLIENT, {"ironflow.operation": operation}) as span:
            try:
                carried = current()
                yield carried.fields() if carried is not None else {}
            except IronflowError as fault:
                mark_failed(span, fault.code)
                raise

    def within(
        self, name: str, kind: SpanKind, attributes: Attributes, parent: Context | None = None
    ) -> AbstractContextManager[Span]:
        """A span that is the current one inside. parent: None for the current span."""
        return self._tracer.start_as_current_span(
            name,
            parent,
            kind,
            attributes,
            # The text of an error may be a user's data.
            record_exception=False,
            set_status_on_exception=False,
        )


def mark_failed(span: Span, error: str) -> None:
    """error: a code, or the name of a class; never a message."""
    span.set_status(Status(StatusCode.ERROR, error))
    span.set_attribute("error.type", error)


def current() -> TraceContext | None:
    """The current span of the caller; None outside of traces."""
    span = api.get_current_span()
    return context_of(span) if span.get_span_context().is_valid else None


def context_of(span: Span) -> TraceContext:
    """A span, as what comes after it names it."""
    found = span.get_span_context()
    return TraceContext(
        api.format_trace_id(found.trace_id),
        api.format_span_id(found.span_id),
        found.trace_flags.sampled,
        found.trace_state.to_header(),
    )


def context_below(trace: TraceContext | None) -> Context:
    """The context in which a span is made below `trace`; that of a trace of its own for None."""
    if trace is None:
        return Context()
    span = SpanContext(
        int(trace.trace_id, 16),
        int(trace.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([trace.state] if trace.state else []),
    )
    return api.set_span_in_context(NonRecordingSpan(span), Context())


def nearest_context(trace: TraceContext | None) -> Context | None:
    """As `context_below`, but for the current span where that is in the same trace already, which None stands for.

    A web framework that is traced has made one for the request that brought `trace`.
    """
    own = api.get_current_span().get_span_context()
    if trace is not None and own.is_valid and own.trace_id == int(trace.trace_id, 16):
        return None
    return context_below(trace)
