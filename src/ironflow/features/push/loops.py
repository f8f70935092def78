"""Loops: endpoints are tried again when their circuit breakers become half-open."""

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.endpoints import in_tx as endpoints
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.runs.in_tx import job_key
from ironflow.storage.port import Database, Tx

EVERY_MS = 10_000
BATCH = 500
# Breakers of endpoints that nothing was sent to for so long.
KEPT_MS = 24 * 3600 * 1000


class TryEndpoints:
    """Offers the jobs of endpoints whose breakers are half-open; and now and then of all, in case a notification of
    another node was lost. What other nodes register is read now and then, so that
    a node without push functions learns of them."""

    name = "endpoints"
    topic = endpoints.TOPIC
    every_ms = EVERY_MS
    notable = ("tried",)

    def __init__(self, db: Database, index: FunctionIndex) -> None:
        self._db = db
        self._index = index
        self._offered_at: Millis = 0
        self._refreshed_at: Millis = 0

    async def run_once(self, now: Millis) -> Ran:
        if now - self._refreshed_at >= EVERY_MS:
            self._refreshed_at = now
            await self._db.peek(self._index.refresh)
        if not self._index.has_pushed:
            return Ran()

        def look(tx: Tx) -> tuple[list[tuple[str, str]], Millis | None]:
            return endpoints.due(tx, 0, now, BATCH), endpoints.next_due(tx, now)

        due, next_at = await self._db.peek(look)
        for environment, url in due:
            for function in self._index.pushed_to(environment, url):
                self._db.notify("jobs", job_key(environment, function.id), local=True)
        if now - self._offered_at >= EVERY_MS:
            self._offered_at = now
            self._db.notify("jobs", local=True)
            await self._db.write(lambda tx: endpoints.forget(tx, now - KEPT_MS))
        return Ran({"tried": len(due)}, next_at=next_at)
