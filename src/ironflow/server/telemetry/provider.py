"""The tracer provider of a server, and of `ironflow worker`: spans are sent from a thread, and dropped when it lags."""

from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler

from ironflow.base.version import VERSION
from ironflow.server.telemetry.exporting import Outage, ReportingExporter

# Spans that wait to be sent; further ones are dropped.
QUEUE_SPANS_MAX = 8_192
SEND_EVERY_MS = 1_000
# Of one request to the collector.
SEND_S = 5.0


def resource_of(service: str, instance: str) -> Resource:
    """The process that sends; the attributes of OTEL_RESOURCE_ATTRIBUTES are added."""
    about = {"service.name": service, "service.version": VERSION, "service.instance.id": instance}
    return Resource.create(about)


def address_for(endpoint: str, signal: str, environ: Mapping[str, str]) -> str:
    """Where a signal, `TRACES` or `METRICS`, is sent."""
    return environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or f"{endpoint}/v1/{signal.lower()}"


def sending_provider(
    address: str,
    resource: Resource,
    sampler: Sampler,
    outage: Outage,
    *,
    ids: IdGenerator | None = None,
    flushes_at_exit: bool = False,
) -> TracerProvider:
    """Sends spans to `address`. sampler: of traces that begin here. ids: None for random ones."""
    provider = TracerProvider(ParentBased(sampler), resource, shutdown_on_exit=flushes_at_exit, id_generator=ids)
    exporter = ReportingExporter(OTLPSpanExporter(address, timeout=SEND_S), outage)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS_MAX, schedule_delay_millis=SEND_EVERY_MS)
    )
    return provider
