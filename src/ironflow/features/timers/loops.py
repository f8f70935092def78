"""The loop that wakes the runs of due timers, many in one transaction."""

from typing import Protocol

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.timers import store
from ironflow.features.timers.store import Timer
from ironflow.storage.due import run_due
from ironflow.storage.port import Database, Tx

BATCH = 500
# So many due timers fire before the first of their runs is handed to a worker. Handing out takes as long as waking
# a run, and would delay the timer that is due last; a larger number would keep workers waiting for too long.
WOKEN_FIRST = 2_000


class Wake(Protocol):
    """What due timers do. handing_out: whether their runs are offered to workers at once."""

    def __call__(self, tx: Tx, due: list[Timer], now: Millis, *, handing_out: bool) -> None: ...


class FireTimers:
    """Takes due timers and wakes their runs in the same transaction.

    wake: given by the composition; what a due timer does is the runs' business.
    """

    name = "timers"
    topic = "timers"
    every_ms = store.LOOK_EVERY_MS
    notable = ()

    def __init__(self, db: Database, wake: Wake) -> None:
        self._db = db
        self._wake = wake

    async def run_once(self, now: Millis) -> Ran:
        def fire(tx: Tx) -> int:
            due = store.take_due(tx, now, BATCH)
            if due:
                self._wake(tx, due, now, handing_out=len(due) < BATCH)
            return len(due)

        fired, more, next_at = 0, True, None
        try:
            while more and fired < WOKEN_FIRST:
                batch, next_at = await run_due(self._db, store.next_due, fire, now)
                fired += batch
                more = batch == BATCH
        finally:
            if fired >= BATCH:
                self._db.notify("jobs")
        return Ran({"fired": fired}, more=more, next_at=next_at)
