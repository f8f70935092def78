"""What a collector that does not answer costs: one line in the log."""

import logging
from collections.abc import Sequence
from threading import Lock

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ironflow.base.settings import without_password

logger = logging.getLogger(__name__)

# They write a line, often with a traceback, for each request that fails.
_LOUD = ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal", "opentelemetry.sdk.trace.export")


def silence_exporters() -> None:
    """The server reports outages itself."""
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)


class Outage:
    """Whether what is sent arrives, of traces and metrics together. Exporters call it from their threads."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = without_password(endpoint)
        self._lock = Lock()
        self._failing = False

    def add(self, arrived: bool, error: str = "") -> None:
        """The outcome of one request."""
        with self._lock:
            changed, self._failing = self._failing is arrived, not arrived
        if not changed:
            return
        if arrived:
            logger.info("telemetry is sent again", extra={"endpoint": self._endpoint})
        else:
            reason = error or "the collector does not take it"
            logger.warning("telemetry is not sent", extra={"endpoint": self._endpoint, "reason": reason})


class ReportingExporter(SpanExporter):
    """An exporter whose failures are reported to an outage."""

    def __init__(self, exporter: SpanExporter, outage: Outage) -> None:
        self._exporter, self._outage = exporter, outage

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except OSError as fault:
            # Of the library that makes the requests.
            self._outage.add(False, type(fault).__name__)
            return SpanExportResult.FAILURE
        self._outage.add(result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
