"""Following the log: a cursor, a doorbell and a batch.

The cursor is saved in the same transaction as what was made of the events, so each event counts exactly once for the
follower's own tables. `handle` may be run again with the same records.
"""

from collections.abc import Callable

from ironflow.base.time import Millis
from ironflow.log.read import read_after
from ironflow.log.record import Record
from ironflow.storage.port import Database, Tx

# A row to lock from the start: two nodes that follow under one name take turns from the first event on.
START = """INSERT INTO log_cursors (follower, position, updated_at) VALUES (:follower, 0, :now)
ON CONFLICT (follower) DO NOTHING"""
CURSOR = "SELECT position FROM log_cursors WHERE follower = :follower {for_update}"
SAVE_CURSOR = "UPDATE log_cursors SET position = :position, updated_at = :now WHERE follower = :follower"


class Follower:
    """Reads the log in order from where it stopped last. name: unique; the cursor is kept under it."""

    topic = "log"

    def __init__(self, db: Database, name: str, handle: Callable[[Tx, list[Record]], None], batch: int = 500) -> None:
        self._db = db
        self._name = name
        self._handle = handle
        self._batch = batch

    async def run_once(self, now: Millis) -> int:
        """Handles the next batch; how many records that were, 0 at the end of the log."""

        def advance(tx: Tx) -> int:
            row = tx.row(CURSOR, {"follower": self._name})
            if row is None:
                tx.run(START, {"follower": self._name, "now": now})
                row = tx.row(CURSOR, {"follower": self._name})
            found = read_after(tx, row[0] if row else 0, self._batch)
            if found:
                self._handle(tx, found)
                tx.run(SAVE_CURSOR, {"follower": self._name, "position": found[-1].position, "now": now})
            return len(found)

        return await self._db.write(advance)
