"""One scrape of /metrics. Imported when the first one is asked for: the library takes a while to load."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ironflow.base.measures import Spread
from ironflow.dispatch import Counts
from ironflow.features.parts import Metric, Samples
from ironflow.transports.http import Response


def registry_of(counts: Counts, metrics: list[tuple[Metric, Samples]]) -> CollectorRegistry:
    """The numbers of one moment."""
    registry = CollectorRegistry()
    registry.register(_Numbers(counts, metrics))
    ProcessCollector(registry=registry)
    return registry


def text_of(registry: CollectorRegistry) -> Response:
    """The numbers in Prometheus' text format."""
    return Response(200, generate_latest(registry), CONTENT_TYPE_LATEST.encode())


def _histogram(metric: Metric, series: Mapping[tuple[str, ...], Spread]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, spread in list(series.items()):
        family.add_metric(labels, spread.buckets(), spread.total)
    return family


class _Numbers(Collector):
    """One scrape's numbers."""

    def __init__(self, counts: Counts, metrics: list[tuple[Metric, Samples]]) -> None:
        self._counts = counts
        self._metrics = metrics

    def collect(self) -> Iterator[Family]:
        calls = CounterMetricFamily("ironflow_operations", "Operations answered.", labels=["operation", "outcome"])
        for (operation, outcome), count in list(self._counts.calls.items()):
            calls.add_metric([operation, outcome], count)
        yield calls
        seconds = CounterMetricFamily("ironflow_operation_seconds", "Time in operations.", labels=["operation"])
        for operation, total in list(self._counts.seconds.items()):
            seconds.add_metric([operation], total)
        yield seconds
        for metric, samples in self._metrics:
            if metric.spread is not None:
                yield _histogram(metric, metric.spread())
                continue
            family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            numbers = family(metric.name, metric.help, labels=metric.labels)
            for labels, number in list(samples.items()):
                numbers.add_metric(labels, number)
            yield numbers
