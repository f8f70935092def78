"""`GET /metrics`: numbers for Prometheus, read when asked for. Nothing is counted twice on the hot path."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from ironflow.base.call import Call
from ironflow.base.errors import PermissionDenied
from ironflow.dispatch import Counts
from ironflow.features.parts import Metric, Samples
from ironflow.storage.port import Database, Tx
from ironflow.transports.http import Request, Response

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry


class Metrics:
    """The wire that answers /metrics. metrics: those of the features and transports, besides the count of calls.

    It is no operation: it is in Prometheus' text format, and belongs to the operator and to no environment.
    call_of: authenticates a request where the setting `metrics_key` demands a key; None where the page is public, as
    `/health` is. Source: protocol/operating.md 2.
    """

    def __init__(
        self,
        db: Database,
        counts: Counts,
        metrics: Sequence[Metric],
        call_of: Callable[[Request], Awaitable[Call]] | None = None,
    ) -> None:
        self._db = db
        self._counts = counts
        self._metrics = metrics
        self._call_of = call_of

    async def __call__(self, request: Request) -> Response:
        from ironflow.server.scrape import text_of

        if self._call_of is not None:
            call = await self._call_of(request)
            if call.principal.environment is not None:
                raise PermissionDenied("/metrics is of all environments: use a key that is not limited to one.")

        return text_of(await self.registry())

    async def registry(self) -> "CollectorRegistry":
        """The numbers as they are now; what OTLP sends is made from them too."""
        from ironflow.server.scrape import registry_of

        def look(tx: Tx) -> list[Samples]:
            return [metric.look(tx) for metric in self._metrics if metric.look is not None]

        looked = iter(await self._db.read(look))
        samples = [next(looked) if metric.look is not None else _read(metric) for metric in self._metrics]
        return registry_of(self._counts, list(zip(self._metrics, samples, strict=True)))


def _read(metric: Metric) -> Samples:
    return metric.read() if metric.read is not None else {}
