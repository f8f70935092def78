"""A span for each request that is dispatched, below the span that its caller names."""

from typing import Any

from msgspec.structs import replace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.base.operation import Operation
from ironflow.base.trace_context import TraceContext
from ironflow.dispatch import PUBLIC
from ironflow.sdk.wire.spans import context_below, context_of

SERVER_FAULT = 500


class RequestSpan:
    """The span of one call."""

    __slots__ = ("_span", "call")

    def __init__(self, span: Span, call: Call) -> None:
        self._span = span
        self.call = call

    def ended(self, error: BaseException | None) -> None:
        """error: what it is answered with, None for what was asked; its text is not recorded."""
        if isinstance(error, IronflowError):
            self._span.set_attribute("error.type", error.code)
            if error.status >= SERVER_FAULT:
                self._span.set_status(Status(StatusCode.ERROR, error.code))
        elif error is not None:
            self._span.set_attribute("error.type", "CANCELED")
        self._span.end()


class Requests:
    """Records requests. What workers and readers ask all the time has no spans: their work has spans of its own."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def began(self, operation: Operation[Any, Any], call: Call) -> RequestSpan | None:
        """The span of a call; None for one that has none."""
        if not is_traced(operation):
            return None
        about = {"ironflow.operation": operation.name, "ironflow.environment": call.environment}
        if call.run_id:
            about["ironflow.run_id"] = call.run_id
        span = self._tracer.start_span(operation.name, context_below(call.trace), SpanKind.SERVER, about)
        return RequestSpan(span, replace(call, trace=_kept(context_of(span), call.trace)))


def is_traced(operation: Operation[Any, Any]) -> bool:
    """Whether calls of the operation have spans."""
    return not operation.under_way and operation.scope not in (PUBLIC, "workers:write")


def _kept(own: TraceContext, caller: TraceContext | None) -> TraceContext:
    """What tracing systems have added stays."""
    return own if caller is None or own.state else own._replace(state=caller.state)
