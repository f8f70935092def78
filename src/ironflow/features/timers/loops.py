"""What goes on by itself: due timers wake their runs, many in one transaction."""

from collections.abc import Callable
from dataclasses import dataclass

from ironflow.base.time import Millis
from ironflow.features.timers import store
from ironflow.features.timers.store import Timer
from ironflow.storage.due import run_due
from ironflow.storage.port import Database, Tx

BATCH = 500

Wake = Callable[[Tx, list[Timer], Millis], None]


@dataclass(frozen=True, slots=True)
class Fired:
    """What one round did. more: the batch was full. next_at: when the next timer is due."""

    fired: int
    more: bool
    next_at: Millis | None


class FireTimers:
    """Takes due timers and wakes their runs in the same transaction.

    wake: given by the composition; what a due timer does is the runs' business.
    """

    name = "timers"
    topic = "timers"
    every_ms = 1_000

    def __init__(self, db: Database, wake: Wake) -> None:
        self._db = db
        self._wake = wake

    async def run_once(self, now: Millis) -> Fired:
        def fire(tx: Tx) -> int:
            due = store.take_due(tx, now, BATCH)
            if due:
                self._wake(tx, due, now)
            return len(due)

        fired, next_at = await run_due(self._db, store.next_due, fire, now)
        return Fired(fired, more=fired == BATCH, next_at=next_at)
