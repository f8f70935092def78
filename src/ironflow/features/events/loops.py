"""What goes on by itself: old idempotency keys are forgotten, and old events removed, in small transactions."""

import logging
from collections.abc import Sequence

from ironflow.base.loop import Ran
from ironflow.base.time import DAY_MS, Millis
from ironflow.features.debounces import in_tx as debounces
from ironflow.features.events import rules, store
from ironflow.features.runs.in_tx import RunRepository
from ironflow.log.dedup import WINDOW_MS, delete_old_keys
from ironflow.log.holds import Held, Hold
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)

BATCH = 1_000
PURGE_BATCH = 500


class ForgetKeys:
    """Deletes idempotency keys whose window is over."""

    name = "events-forget-keys"
    every_ms = 60_000
    topic = ""
    notable = ()

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run_once(self, now: Millis) -> Ran:
        oldest = now - WINDOW_MS
        forgotten = await self._db.write(lambda tx: delete_old_keys(tx, oldest, BATCH))
        return Ran({"forgotten": forgotten}, more=forgotten == BATCH)


class PurgeEvents:
    """Removes events recorded more than `retention_days` ago from the beginning of the log; 0 keeps all.

    Kept all the same: what some reader of the log has not read, events of runs that are there, of gathering lanes,
    and of entities' streams, which are what their entities are. Source: decision 0019.
    """

    name = "events-purge"
    every_ms = 60_000
    topic = ""
    notable = ("purged",)

    def __init__(self, db: Database, retention_days: float, holds: Sequence[Hold]) -> None:
        self._db = db
        self._retention_ms = int(retention_days * DAY_MS)
        self._holds = holds
        # What lies before was looked at in this pass. A server that stops begins a new one.
        self._after = 0
        # The reader of the log that the last round waited for.
        self.held: Held | None = None

    async def run_once(self, now: Millis) -> Ran:
        if not self._retention_ms:
            return Ran()
        after, oldest = self._after, now - self._retention_ms

        def purge(tx: Tx) -> tuple[int, int | None, Held | None]:
            readers = [held for hold in self._holds if (held := hold(tx)) is not None]
            held = min(readers, key=_position) if readers else None
            marks = store.marks_after(tx, after, PURGE_BATCH)
            old = rules.old_prefix(marks, oldest, held.position if held else None)
            ids = [each.id for each in old]
            # Lanes first: one that starts its run between the two looks is found by the second.
            needed = debounces.gathered(tx, ids)
            needed |= RunRepository.started_by(tx, ids).keys()
            removed = [each.id for each in old if rules.decide_purge(each, needed)]
            store.delete(tx, removed)
            looked_to = old[-1].position if len(old) == PURGE_BATCH else None
            # The reader stands in the way only where there is something old behind it.
            waits = held is not None and len(old) < len(marks) and rules.is_old(marks[len(old)], oldest)
            return len(removed), looked_to, held if waits else None

        purged, looked_to, held = await self._db.write(purge)
        self._after = looked_to or 0
        if held is not None and (self.held is None or held.reader != self.held.reader):
            logger.warning("event retention waits for a reader of the log", extra=held._asdict())
        self.held = held
        return Ran({"purged": purged}, more=looked_to is not None)


def _position(held: Held) -> int:
    return held.position
