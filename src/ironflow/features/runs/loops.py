"""What goes on by itself: ended runs past their retention are removed in small transactions, when that is set."""

from dataclasses import dataclass

from ironflow.base.time import Millis
from ironflow.features.runs import store
from ironflow.storage.port import Database

BATCH = 200
DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Purged:
    """What one round did. more: the batch was full."""

    purged: int
    more: bool


class PurgeRuns:
    """Removes runs that ended more than `retention_days` ago, with their steps; 0 keeps them for ever."""

    name = "runs-purge"
    every_ms = 60_000

    def __init__(self, db: Database, retention_days: float) -> None:
        self._db = db
        self._retention_ms = int(retention_days * DAY_MS)

    async def run_once(self, now: Millis) -> Purged:
        if not self._retention_ms:
            return Purged(0, more=False)
        oldest = now - self._retention_ms
        purged = await self._db.write(lambda tx: store.purge_ended(tx, oldest, BATCH))
        return Purged(purged, more=purged == BATCH)
