"""One scrape of /metrics. Imported when the first one is asked for: the library takes a while to load."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from ironflow.dispatch import Counts
from ironflow.server.metrics import Live, Rows
from ironflow.transports.http import Response


def scrape(counts: Counts, polls_waiting: int, misfits: dict[tuple[str, str], int], live: Live, rows: Rows) -> Response:
    """The numbers in Prometheus' text format. misfits: events that do not fit their schema by (name, outcome)."""
    registry = CollectorRegistry()
    registry.register(_Numbers(counts, polls_waiting, misfits, live, rows))
    ProcessCollector(registry=registry)
    return Response(200, generate_latest(registry), CONTENT_TYPE_LATEST.encode())


class _Numbers(Collector):
    """One scrape's numbers."""

    def __init__(
        self, counts: Counts, polls_waiting: int, misfits: dict[tuple[str, str], int], live: Live, rows: Rows
    ) -> None:
        self._counts = counts
        self._polls_waiting = polls_waiting
        self._misfits = misfits
        self._live = live
        self._runs, self._queue, self._head = rows

    def collect(self) -> Iterator[Metric]:
        calls = CounterMetricFamily("ironflow_operations", "Operations answered.", labels=["operation", "outcome"])
        for (operation, outcome), count in list(self._counts.calls.items()):
            calls.add_metric([operation, outcome], count)
        yield calls
        seconds = CounterMetricFamily("ironflow_operation_seconds", "Time in operations.", labels=["operation"])
        for operation, total in list(self._counts.seconds.items()):
            seconds.add_metric([operation], total)
        yield seconds
        misfits = CounterMetricFamily(
            "ironflow_event_schema_misfits", "Events that do not fit their schema.", labels=["event_name", "outcome"]
        )
        for (name, outcome), count in list(self._misfits.items()):
            misfits.add_metric([name, outcome], count)
        yield misfits
        runs = GaugeMetricFamily("ironflow_runs", "Runs that are not completed, by status.", labels=["status"])
        for status, count in self._runs.items():
            runs.add_metric([status], count)
        yield runs
        ready = GaugeMetricFamily(
            "ironflow_jobs_ready", "Jobs no worker has taken.", labels=["environment", "function_id"]
        )
        for environment, function_id, count in self._queue:
            ready.add_metric([environment, function_id], count)
        yield ready
        yield GaugeMetricFamily("ironflow_polls_waiting", "Polls held until there is a job.", self._polls_waiting)
        open_ = GaugeMetricFamily("ironflow_connections", "Long-lived connections, by kind.", labels=["kind"])
        for kind, count in self._live.connections.items():
            open_.add_metric([kind], count)
        yield open_
        yield GaugeMetricFamily("ironflow_subscriptions", "Subscriptions that are followed.", self._live.subscriptions)
        yield CounterMetricFamily(
            "ironflow_subscription_drops", "Events passed over for slow subscribers.", self._live.dropped
        )
        yield CounterMetricFamily("ironflow_log_position", "Events recorded since the beginning.", self._head)
