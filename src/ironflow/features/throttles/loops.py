"""The loop that deletes starts older than every throttle's period."""

from ironflow.base.loop import Ran
from ironflow.base.time import DAY_MS, Millis
from ironflow.features.throttles import store
from ironflow.storage.port import Database

# No throttle looks back further than this.
PERIOD_MS_MAX = 400 * DAY_MS


class ForgetStarts:
    """Deletes starts that are older than every throttle's period."""

    name = "throttles-forget"
    topic = ""
    every_ms = 600_000
    notable = ()

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run_once(self, now: Millis) -> Ran:
        return Ran({"forgotten": await self._db.write(lambda tx: store.forget_old(tx, now - PERIOD_MS_MAX))})
