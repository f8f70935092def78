"""`GET /metrics`: numbers for Prometheus, read when asked for. Nothing is counted twice on the hot path."""

from collections.abc import Callable
from typing import NamedTuple

from ironflow.dispatch import Counts
from ironflow.features.jobs.store import queue
from ironflow.features.runs.queries import count_by_status
from ironflow.log.read import head
from ironflow.storage.port import Database, Tx
from ironflow.transports.http import Request, Response

# Runs by status, ready jobs by environment and function, the log's head.
Rows = tuple[dict[str, int], list[tuple[str, str, int]], int]


class Live(NamedTuple):
    """Who listens. connections: by kind. dropped: events passed over because their subscriber was slow, in all."""

    connections: dict[str, int]
    subscriptions: int
    dropped: int


class Metrics:
    """The wire that answers /metrics."""

    def __init__(
        self,
        db: Database,
        counts: Counts,
        polls_waiting: Callable[[], int],
        misfits: dict[tuple[str, str], int],
        live: Callable[[], Live],
    ) -> None:
        self._db = db
        self._counts = counts
        self._polls_waiting = polls_waiting
        self._misfits = misfits
        self._live = live

    async def __call__(self, request: Request) -> Response:
        from ironflow.server.scrape import scrape

        def look(tx: Tx) -> Rows:
            return count_by_status(tx), queue(tx), head(tx)

        return scrape(self._counts, self._polls_waiting(), self._misfits, self._live(), await self._db.read(look))
