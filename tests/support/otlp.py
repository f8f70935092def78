"""A collector of OTLP over HTTP within the test's event loop, and spans as tests compare them.

async with a_collector() as collector:
    ...
    assert collector.spans
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan

SampleKey = tuple[str, frozenset[tuple[str, Any]]]


@dataclass(frozen=True)
class Seen:
    """A span of a server or program. parent_id: empty for the first of a trace. service: empty for spans in memory."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    error: str
    attributes: dict[str, Any]
    started_ns: int
    ended_ns: int
    events: int
    service: str = ""


@dataclass
class Collector:
    """status: what it answers with. metrics: values by name and labels, of a histogram with the endings of
    Prometheus."""

    url: str = ""
    status: int = 200
    spans: list[Seen] = field(default_factory=list[Seen])
    metrics: dict[SampleKey, float] = field(default_factory=dict[SampleKey, float])
    requests: int = 0
    # While it is set, requests are held without an answer.
    is_silent: bool = False

    async def take(self, request: web.Request) -> web.Response:
        self.requests += 1
        body = await request.read()
        while self.is_silent:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if self.status == 200 and request.path == "/v1/traces":
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        elif self.status == 200 and request.path == "/v1/metrics":
            self.metrics |= dict(_samples(ExportMetricsServiceRequest.FromString(body)))
        return web.Response(status=self.status)


@asynccontextmanager
async def a_collector() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/{path:.*}", collector.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    collector.url = f"http://{host}:{port}"
    try:
        yield collector
    finally:
        await runner.cleanup()


def in_memory(spans: Iterable[ReadableSpan]) -> list[Seen]:
    """Spans that were recorded in this process."""
    return [
        Seen(
            name=each.name,
            trace_id=f"{each.context.trace_id:032x}",
            span_id=f"{each.context.span_id:016x}",
            parent_id=f"{each.parent.span_id:016x}" if each.parent is not None else "",
            error=each.status.description or "",
            attributes=dict(each.attributes or {}),
            started_ns=each.start_time or 0,
            ended_ns=each.end_time or 0,
            events=len(each.events),
        )
        for each in spans
        if each.context is not None
    ]


def _spans(request: ExportTraceServiceRequest) -> list[Seen]:
    found: list[Seen] = []
    for resource in request.resource_spans:
        service = _attributes(resource.resource.attributes).get("service.name", "")
        for scope in resource.scope_spans:
            found += [
                Seen(
                    name=each.name,
                    trace_id=each.trace_id.hex(),
                    span_id=each.span_id.hex(),
                    parent_id=each.parent_span_id.hex(),
                    error=each.status.message,
                    attributes=_attributes(each.attributes),
                    started_ns=each.start_time_unix_nano,
                    ended_ns=each.end_time_unix_nano,
                    events=len(each.events),
                    service=service,
                )
                for each in scope.spans
            ]
    return found


def _attributes(pairs: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in pairs}


def _samples(request: ExportMetricsServiceRequest) -> Iterable[tuple[SampleKey, float]]:
    for metric in (
        metric for each in request.resource_metrics for scope in each.scope_metrics for metric in scope.metrics
    ):
        kind = metric.WhichOneof("data") or ""
        for point in getattr(metric, kind).data_points:
            labels = _attributes(point.attributes)
            if kind != "histogram":
                yield (metric.name, frozenset(labels.items())), getattr(point, point.WhichOneof("value"))
                continue
            yield (f"{metric.name}_count", frozenset(labels.items())), point.count
            yield (f"{metric.name}_sum", frozenset(labels.items())), point.sum
            below = 0
            for bound, count in zip([*map(str, point.explicit_bounds), "+Inf"], point.bucket_counts, strict=True):
                below += count
                yield (f"{metric.name}_bucket", frozenset({**labels, "le": bound}.items())), below
