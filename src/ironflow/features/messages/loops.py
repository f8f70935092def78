"""The loop that deletes old messages."""

from ironflow.base.loop import Ran
from ironflow.base.time import DAY_MS, Millis
from ironflow.features.messages import store
from ironflow.storage.port import Database

BATCH = 500


class PurgeMessages:
    """Deletes messages a while after they were taken, or after the end of their runs; 0 keeps them."""

    name = "messages-purge"
    topic = ""
    every_ms = 60_000
    notable = ("purged",)

    def __init__(self, db: Database, retention_days: float) -> None:
        self._db = db
        self._retention_ms = int(retention_days * DAY_MS)

    async def run_once(self, now: Millis) -> Ran:
        if not self._retention_ms:
            return Ran()
        oldest = now - self._retention_ms
        purged = await self._db.write(lambda tx: store.purge(tx, oldest, BATCH))
        return Ran({"purged": purged}, more=purged == BATCH)
