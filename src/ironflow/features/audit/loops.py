"""What goes on by itself: notes past their retention are removed; facts of runs go with their runs."""

from dataclasses import dataclass

from ironflow.base.time import DAY_MS, Millis
from ironflow.features.audit import store
from ironflow.storage.port import Database

BATCH = 500


@dataclass(frozen=True, slots=True)
class Purged:
    """What one round did. more: the batch was full."""

    purged: int
    more: bool


class PurgeNotes:
    """Removes notes that are older than `retention_days`; 0 keeps them for ever."""

    name = "audit-purge"
    every_ms = 60_000

    def __init__(self, db: Database, retention_days: float) -> None:
        self._db = db
        self._retention_ms = int(retention_days * DAY_MS)

    async def run_once(self, now: Millis) -> Purged:
        if not self._retention_ms:
            return Purged(0, more=False)
        purged = await self._db.write(lambda tx: store.purge(tx, now - self._retention_ms, BATCH))
        return Purged(purged, more=purged == BATCH)
