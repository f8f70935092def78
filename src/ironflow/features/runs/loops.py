"""Loops: remove ended runs past their retention, admit queued runs to free slots."""

from ironflow.base.loop import Ran
from ironflow.base.time import DAY_MS, Millis
from ironflow.features.runs import store
from ironflow.features.runs.deleting import RunDeletion
from ironflow.features.runs.repository import RunRepository
from ironflow.features.slots import in_tx as slots
from ironflow.storage.port import Database, Tx

BATCH = 200


class PurgeRuns:
    """Removes runs that ended more than `retention_days` ago, with their steps; 0 keeps them for ever."""

    name = "runs-purge"
    every_ms = 60_000
    topic = ""
    notable = ("purged",)

    def __init__(self, db: Database, deletion: RunDeletion, retention_days: float) -> None:
        self._db = db
        self._deletion = deletion
        self._retention_ms = int(retention_days * DAY_MS)

    async def run_once(self, now: Millis) -> Ran:
        if not self._retention_ms:
            return Ran()
        oldest = now - self._retention_ms

        def purge(tx: Tx) -> int:
            ended = store.ended_before(tx, oldest, BATCH)
            self._deletion.delete_ended(tx, ended, now)
            return len(ended)

        purged = await self._db.write(purge)
        return Ran({"purged": purged}, more=purged == BATCH)


class AdmitQueued:
    """Admits runs that wait for a slot, as a limit may have been raised or a function removed."""

    name = "runs-admit"
    every_ms = 5_000
    topic = ""
    notable = ()

    def __init__(self, db: Database, repository: RunRepository) -> None:
        self._db = db
        self._repository = repository

    async def run_once(self, now: Millis) -> Ran:
        pools = await self._db.read(lambda tx: slots.queued_pools(tx, BATCH))

        def admit(tx: Tx) -> int:
            return self._repository.admit(tx, pools, now)

        return Ran({"admitted": await self._db.write(admit) if pools else 0})
