"""What goes on by itself: recordings past their function's retention are forgotten in small transactions."""

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.functions import in_tx as functions
from ironflow.features.time_travel import store
from ironflow.storage.port import Database, Tx

BATCH = 100


class ForgetRecordings:
    """Deletes the facts of runs that ended longer ago than their function says now. The runs themselves stay."""

    name = "recordings-forget"
    every_ms = 60_000
    topic = ""
    notable = ("forgotten",)

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run_once(self, now: Millis) -> Ran:
        forgotten = 0
        more = False
        for place in await self._db.read(functions.retentions):

            def forget(tx: Tx, place: functions.Retention = place) -> int:
                return store.expire(tx, place.environment, place.function_id, now - place.kept_ms, BATCH)

            runs = await self._db.write(forget)
            forgotten += runs
            more = more or runs == BATCH
        return Ran({"forgotten": forgotten}, more=more)
