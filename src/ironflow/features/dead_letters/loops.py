"""What goes on by itself: dead letters are deleted when their retention is over."""

from ironflow.base.loop import Ran
from ironflow.base.time import DAY_MS, Millis
from ironflow.features.dead_letters import store
from ironflow.storage.port import Database

BATCH = 500


class PurgeDeadLetters:
    """Deletes dead letters older than `retention_days`; 0 keeps them for ever."""

    name = "dead-letters-purge"
    every_ms = 60_000
    topic = ""
    notable = ("purged",)

    def __init__(self, db: Database, retention_days: float) -> None:
        self._db = db
        self._retention_ms = int(retention_days * DAY_MS)

    async def run_once(self, now: Millis) -> Ran:
        if not self._retention_ms:
            return Ran()
        oldest = now - self._retention_ms
        purged = await self._db.write(lambda tx: store.delete_old(tx, oldest, BATCH))
        return Ran({"purged": purged}, more=purged == BATCH)
