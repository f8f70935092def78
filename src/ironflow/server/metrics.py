"""`GET /metrics`: numbers for Prometheus, read when asked for. Nothing is counted twice on the hot path."""

from collections.abc import Sequence

from ironflow.dispatch import Counts
from ironflow.features.parts import Metric, Samples
from ironflow.storage.port import Database, Tx
from ironflow.transports.http import Request, Response


class Metrics:
    """The wire that answers /metrics. metrics: those of the features and transports, besides the count of calls.

    It is no operation: it is in Prometheus' text format, belongs to the operator and to no environment, and is public,
    as `/health` is. Source: protocol/operating.md 2.
    """

    def __init__(self, db: Database, counts: Counts, metrics: Sequence[Metric]) -> None:
        self._db = db
        self._counts = counts
        self._metrics = metrics

    async def __call__(self, request: Request) -> Response:
        from ironflow.server.scrape import scrape

        def look(tx: Tx) -> list[Samples]:
            return [metric.look(tx) for metric in self._metrics if metric.look is not None]

        looked = iter(await self._db.read(look))
        samples = [next(looked) if metric.look is not None else _read(metric) for metric in self._metrics]
        return scrape(self._counts, list(zip(self._metrics, samples, strict=True)))


def _read(metric: Metric) -> Samples:
    return metric.read() if metric.read is not None else {}
