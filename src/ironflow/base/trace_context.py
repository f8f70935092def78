"""The context of a trace on its way: W3C Trace Context, as headers of requests and in the metadata of events.

Pure, and without OpenTelemetry: what carries a context through need not be able to record spans.
Source: https://www.w3.org/TR/trace-context/; decision 0065.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, cast

import msgspec

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
STATE_CHARS_MAX = 512

# A version above 00 may have more behind the flags; its first four fields are the same.
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII)
_STATE = re.compile(r"[ -~]*", re.ASCII)
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class TraceContext(NamedTuple):
    """A span, as what comes after it names it. trace_id, span_id: lower-case hexadecimal, of 32 and 16 characters.

    sampled: whether its trace is recorded. state: what tracing systems add, empty for nothing.
    """

    trace_id: str
    span_id: str
    sampled: bool = True
    state: str = ""

    @property
    def parent(self) -> str:
        """The text of `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def fields(self) -> dict[str, str]:
        """As headers, or as keys of metadata."""
        return {TRACEPARENT: self.parent} | ({TRACESTATE: self.state} if self.state else {})


class RunTracing(Protocol):
    """Where runs are in traces, on a server that records spans."""

    def context(self, run_id: str, metadata: str | None) -> TraceContext:
        """The span of a run. metadata: of the event that started it, as JSON text."""
        ...


def parsed(parent: Any, state: Any = "") -> TraceContext | None:
    """The context in these texts; None where `parent` is no valid `traceparent`. A state that is too long is dropped.

    It goes through unread in all else: a caller whose context is not valid is served as one without any.
    """
    found = _PARENT.fullmatch(parent.strip()) if isinstance(parent, str) and len(parent) <= STATE_CHARS_MAX else None
    if found is None:
        return None
    version, trace_id, span_id, flags = found.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN or (version == "00" and len(parent.strip()) != 55):
        return None
    kept = isinstance(state, str) and len(state) <= STATE_CHARS_MAX and _STATE.fullmatch(state) is not None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & 1), state.strip() if kept else "")


def of_mapping(fields: Any) -> TraceContext | None:
    """The context among headers or metadata; None where there is none."""
    if not isinstance(fields, Mapping):
        return None
    named = cast("Mapping[str, Any]", fields)
    return parsed(named[TRACEPARENT], named.get(TRACESTATE, "")) if TRACEPARENT in named else None


def of_metadata(metadata: str | bytes | None) -> TraceContext | None:
    """The context in the metadata of an event, as JSON text."""
    if metadata is None or TRACEPARENT not in (metadata if isinstance(metadata, str) else metadata.decode()):
        return None
    return of_mapping(msgspec.json.decode(metadata))


def with_trace(metadata: str | None, trace: TraceContext | None) -> str | None:
    """Metadata, as JSON text of an object, with the context; one that is there already stays."""
    if trace is None:
        return metadata
    fields = {} if metadata is None else msgspec.json.decode(metadata, type=dict[str, msgspec.Raw])
    if TRACEPARENT in fields:
        return metadata
    added = {name: msgspec.Raw(msgspec.json.encode(text)) for name, text in trace.fields().items()}
    return msgspec.json.encode({**fields, **added}).decode()


def run_span_id(run_id: str) -> str:
    """The id of a run's span: known before the span is made, at the end of the run, so that others can be below it."""
    return _hex(f"span:{run_id}", 8)


def run_trace_id(run_id: str) -> str:
    """The id of the trace of a run that nothing traced has started, such as by a clock tick."""
    return _hex(f"trace:{run_id}", 16)


def _hex(text: str, size: int) -> str:
    digest = hashlib.sha256(text.encode()).digest()[:size]
    # All zeros name no span.
    return digest.hex() if any(digest) else "1".zfill(2 * size)
