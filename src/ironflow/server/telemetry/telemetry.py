"""The spans and the metrics of one server, and how they are sent: never on the event loop, and never waited for."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from ironflow.base.lifecycle import Lifecycle
from ironflow.base.version import VERSION
from ironflow.dispatch import Dispatch
from ironflow.features.parts import Parts
from ironflow.sdk.user_code.threads import in_thread
from ironflow.server.metrics import Metrics
from ironflow.server.telemetry.exporting import Outage, silence_exporters
from ironflow.server.telemetry.metrics import SendMetrics
from ironflow.server.telemetry.provider import SEND_S, address_for, resource_of, sending_provider
from ironflow.server.telemetry.requests import Requests
from ironflow.server.telemetry.runs import RunContexts, RunSpans, SpanIds

# How long a server that stops waits for what is not sent yet.
FLUSH_S, SHUTDOWN_S = 2.0, 0.5
METRICS_EVERY_MS = 60_000


class Telemetry(Lifecycle):
    """Records spans of requests and runs, and sends them and the numbers of /metrics by OTLP over HTTP.

    provider: None where no spans are sent.
    """

    def __init__(self, parts: Parts, endpoint: str, environ: Mapping[str, str]) -> None:
        settings = parts.settings
        silence_exporters()
        self._parts, self._endpoint, self._environ = parts, endpoint, environ
        self._outage = Outage(endpoint)
        self._resource = resource_of(settings.otel_service_name, settings.node or parts.node)
        self._metrics: SendMetrics | None = None
        self._requests: Requests | None = None
        self._runs: RunSpans | None = None
        self.provider: TracerProvider | None = None
        if environ.get("OTEL_TRACES_EXPORTER") != "none":
            self._record()

    def _record(self) -> None:
        parts, ids, sampler = self._parts, SpanIds(), TraceIdRatioBased(self._parts.settings.otel_sample_rate)
        address = address_for(self._endpoint, "TRACES", self._environ)
        self.provider = sending_provider(address, self._resource, sampler, self._outage, ids=ids)
        tracer = self.provider.get_tracer("ironflow", VERSION)
        contexts = RunContexts(sampler)
        parts.tracing = contexts
        self._requests = Requests(tracer)
        self._runs = RunSpans(parts.db, tracer, ids, contexts)
        parts.db.on_published(self._runs.receive)
        parts.loops.append(self._runs)

    def join(self, dispatch: Dispatch, metrics: Metrics) -> None:
        """Records what is dispatched. metrics: what is sent."""
        dispatch.tracing = self._requests
        if self._environ.get("OTEL_METRICS_EXPORTER") == "none":
            return
        every_ms = self._environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")
        self._metrics = SendMetrics(
            metrics,
            OTLPMetricExporter(address_for(self._endpoint, "METRICS", self._environ), timeout=SEND_S),
            self._outage,
            self._resource,
            self._parts.clock,
            every_ms=int(every_ms) if every_ms.isdecimal() and int(every_ms) else METRICS_EVERY_MS,
        )
        self._parts.loops.append(self._metrics)

    async def stop(self) -> None:
        """Sends what is left, for a short time. The loops have ended by now, and the database is open."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self._flush()
        if self.provider is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(SHUTDOWN_S):
                    await in_thread(self.provider.shutdown)

    async def _flush(self) -> None:
        now = self._parts.clock.now()
        if self._runs is not None:
            while (await self._runs.run_once(now)).more:
                pass
        if self._metrics is not None:
            await self._metrics.run_once(now)
        if self.provider is not None:
            await in_thread(self.provider.force_flush, round(FLUSH_S * 1000))
