"""What goes on by itself: idempotency keys older than their window are forgotten in small transactions."""

from dataclasses import dataclass

from ironflow.base.time import Millis
from ironflow.log.dedup import WINDOW_MS, delete_old_keys
from ironflow.storage.port import Database

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What one round did. more: the batch was full."""

    forgotten: int
    more: bool


class ForgetKeys:
    """Deletes idempotency keys whose window is over."""

    name = "events-forget-keys"
    every_ms = 60_000

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run_once(self, now: Millis) -> Forgotten:
        oldest = now - WINDOW_MS
        forgotten = await self._db.write(lambda tx: delete_old_keys(tx, oldest, BATCH))
        return Forgotten(forgotten, more=forgotten == BATCH)
