"""The loop that deletes shapes of waits which no wait has any more."""

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.waits import store
from ironflow.storage.port import Database

BATCH = 200


class ForgetShapes:
    """Deletes shapes that no wait has any more."""

    name = "waits-forget"
    topic = ""
    every_ms = 600_000
    notable = ()

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run_once(self, now: Millis) -> Ran:
        forgotten = await self._db.write(lambda tx: store.forget_shapes(tx, BATCH))
        return Ran({"forgotten": forgotten}, more=forgotten == BATCH)
