"""The numbers of /metrics, sent by OTLP: read from the same registry when they are sent, and counted nowhere else."""

from collections.abc import Iterable, Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from ironflow.base.loop import Ran
from ironflow.base.time import Clock, Millis
from ironflow.base.version import VERSION
from ironflow.sdk.user_code.threads import in_thread
from ironflow.server.metrics import Metrics
from ironflow.server.telemetry.exporting import Outage

_Labels = tuple[tuple[str, str], ...]
_SCOPE = InstrumentationScope("ironflow", VERSION)
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class SendMetrics:
    """A loop that sends the numbers as they are now. Names and labels are those of /metrics."""

    name = "telemetry-metrics"
    topic = ""
    notable = ()

    def __init__(
        self,
        metrics: Metrics,
        exporter: OTLPMetricExporter,
        outage: Outage,
        resource: Resource,
        clock: Clock,
        every_ms: int,
    ) -> None:
        self._metrics, self._exporter, self._outage, self._resource = metrics, exporter, outage, resource
        self._began_at = clock.now()
        self.every_ms = every_ms

    async def run_once(self, now: Millis) -> Ran:
        """One round."""
        families = list((await self._metrics.registry()).collect())
        data = metrics_data(families, self._resource, self._began_at, now)
        return Ran({"sent": int(await in_thread(self._send, data))})

    def _send(self, data: MetricsData) -> bool:
        try:
            arrived = self._exporter.export(data) is MetricExportResult.SUCCESS
        except OSError as fault:
            self._outage.add(False, type(fault).__name__)
            return False
        self._outage.add(arrived)
        return arrived


def metrics_data(families: Iterable[Family], resource: Resource, began_at: Millis, now: Millis) -> MetricsData:
    """The families of one moment. began_at: since when counters count."""
    found = [metric for family in families if (metric := _metric(family, began_at * 10**6, now * 10**6)) is not None]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(_SCOPE, found, "")], "")])


def _metric(family: Family, began: int, now: int) -> Metric | None:
    """began, now: in nanoseconds. None for a family without numbers."""
    if not family.samples:
        return None
    about = family.name, family.documentation, "s" if family.name.endswith("_seconds") else ""
    if family.type == "histogram":
        return Metric(*about, Histogram(_histogram_points(family.samples, began, now), _CUMULATIVE))
    points = [
        NumberDataPoint(dict(each.labels), began if family.type == "counter" else 0, now, each.value)
        for each in family.samples
        if not each.name.endswith("_created")
    ]
    if family.type == "counter":
        # As it is read at /metrics; a gauge may have the name without the ending.
        return Metric(f"{family.name}_total", *about[1:], Sum(points, _CUMULATIVE, is_monotonic=True))
    return Metric(*about, Gauge(points))


def _histogram_points(samples: Sequence[Sample], began: int, now: int) -> list[HistogramDataPoint]:
    below: dict[_Labels, list[tuple[float, int]]] = {}
    totals: dict[_Labels, float] = {}
    for each in samples:
        labels = tuple(sorted((name, value) for name, value in each.labels.items() if name != "le"))
        if each.name.endswith("_bucket"):
            below.setdefault(labels, []).append((float(each.labels["le"]), int(each.value)))
        elif each.name.endswith("_sum"):
            totals[labels] = each.value
    return [_histogram_point(labels, counts, totals.get(labels, 0.0), began, now) for labels, counts in below.items()]


def _histogram_point(
    labels: _Labels, below: Sequence[tuple[float, int]], total: float, began: int, now: int
) -> HistogramDataPoint:
    """below: for each bound, the last one infinite, how many values are at or below it."""
    counts = [count - before for (_, count), (_, before) in zip(below, [(0.0, 0), *below[:-1]], strict=True)]
    return HistogramDataPoint(
        attributes=dict(labels),
        start_time_unix_nano=began,
        time_unix_nano=now,
        count=below[-1][1],
        sum=total,
        bucket_counts=counts,
        explicit_bounds=[bound for bound, _ in below[:-1]],
        min=None,  # pyright: ignore[reportArgumentType]
        max=None,  # pyright: ignore[reportArgumentType]
    )
