"""Whether this program traces with OpenTelemetry, and so whether its calls and executions become spans.

Nothing of OpenTelemetry is imported here: a program that does not use it does not load it. Source: decision 0065.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from ironflow.sdk.wire.spans import Spans

# Loaded by every program that has set up tracing.
_API = "opentelemetry.trace"
_NO_HEADERS: Mapping[str, str] = {}


class Tracing:
    """Spans of one client, worker or endpoint. provider: None takes the global one, once the program has set it."""

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self._provider = provider
        self._spans: Spans | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether OpenTelemetry can be asked without importing it."""
        return self._provider is not None or _API in sys.modules

    def of_calls(self) -> "Spans | None":
        """For requests, which carry the current span on also where this program records none of its own."""
        return self._found() if self.is_loaded else None

    def of_executions(self) -> "Spans | None":
        """None while nothing records spans."""
        if not self.is_loaded:
            return None
        spans = self._found()
        return spans if spans.records else None

    def _found(self) -> "Spans":
        from ironflow.sdk.wire.spans import Spans, global_provider

        provider = self._provider or global_provider()
        if self._spans is None or self._spans.provider is not provider:
            self._spans = Spans(provider)
        return self._spans


def current_headers() -> Mapping[str, str]:
    """The current span as headers of a request; empty without one."""
    if _API not in sys.modules:
        return _NO_HEADERS
    from ironflow.sdk.wire.spans import current

    trace = current()
    return trace.fields() if trace is not None else _NO_HEADERS
