"""What goes on by itself: deliveries are deleted when their retention is over."""

from ironflow.base.ids import first_id_at
from ironflow.base.loop import Ran
from ironflow.base.time import DAY_MS, Millis
from ironflow.features.webhook_deliveries import store
from ironflow.storage.port import Database

BATCH = 500


class PurgeDeliveries:
    """Deletes deliveries older than `retention_days`; 0 keeps them for ever."""

    name = "webhook-deliveries-purge"
    every_ms = 60_000
    topic = ""
    notable = ("purged",)

    def __init__(self, db: Database, retention_days: float) -> None:
        self._db = db
        self._retention_ms = int(retention_days * DAY_MS)

    async def run_once(self, now: Millis) -> Ran:
        if not self._retention_ms:
            return Ran()
        before = first_id_at("whd", now - self._retention_ms)
        purged = await self._db.write(lambda tx: store.delete_before(tx, before, BATCH))
        return Ran({"purged": purged}, more=purged == BATCH)
