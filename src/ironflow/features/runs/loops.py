"""What goes on by itself: ended runs past their retention are removed, waiting ones get slots that became free."""

from dataclasses import dataclass

from ironflow.base.time import DAY_MS, Millis
from ironflow.features.runs import slots, store, throttles, waits
from ironflow.features.runs.ledger import Ledger
from ironflow.features.runs.notices import deleted
from ironflow.storage.port import Database, Tx

BATCH = 200
# No throttle looks back further than this.
THROTTLE_PERIOD_MS_MAX = 400 * DAY_MS


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

        def purge(tx: Tx) -> int:
            purged = store.purge_ended(tx, oldest, BATCH)
            for run_id, environment in purged:
                tx.tell(deleted(environment, run_id, now))
            return len(purged)

        purged = await self._db.write(purge)
        return Purged(purged, more=purged == BATCH)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What one round did."""

    admitted: int
    more: bool = False


class AdmitQueued:
    """Looks again at runs that wait for a slot: a limit may have been raised, or a function removed."""

    name = "runs-admit"
    every_ms = 5_000

    def __init__(self, db: Database, ledger: Ledger) -> None:
        self._db = db
        self._ledger = ledger

    async def run_once(self, now: Millis) -> Admitted:
        places = await self._db.read(lambda tx: slots.queued_places(tx, BATCH))

        def admit(tx: Tx) -> int:
            return self._ledger.admit(tx, places, now)

        return Admitted(await self._db.write(admit) if places else 0)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What one round did. more: the batch was full."""

    forgotten: int
    more: bool


class ForgetShapes:
    """Forgets kinds of waits that nobody uses any more, and starts of throttled runs that matter no more."""

    name = "runs-forget"
    every_ms = 600_000

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run_once(self, now: Millis) -> Forgotten:
        forgotten = await self._db.write(lambda tx: waits.forget_shapes(tx, BATCH))
        await self._db.write(lambda tx: throttles.forget_old(tx, now - THROTTLE_PERIOD_MS_MAX))
        return Forgotten(forgotten, more=forgotten == BATCH)
