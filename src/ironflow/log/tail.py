"""The live end of the log: one reader for each node, however many listen.

    tail.join(heard)          # from now on `heard` is given every new record, in order, on the event loop
    tail.position             # everything up to here has been handed out; look further back with log/read.py
    tail.leave(heard)

Listeners do little and never wait: they put records into queues of their own. Nobody listens, nothing is read.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ironflow.base.time import Millis
from ironflow.log.read import head, read_after
from ironflow.log.record import Record
from ironflow.storage.port import Database

# At a time: few enough that handing them out leaves room for others, and no more than this of their data.
BATCH = 100
BATCH_BYTES = 8 * 1024 * 1024

Heard = Callable[[list[Record]], None]


@dataclass(frozen=True, slots=True)
class HandedOut:
    """What one round did. more: the log goes on."""

    records: int
    more: bool


class Tail:
    """A loop that reads the log's end at its doorbell and hands it to all listeners."""

    name = "log-tail"
    every_ms = 1_000
    topic = "log"

    def __init__(self, db: Database) -> None:
        self._db = db
        self._listeners: list[Heard] = []
        self.position = 0
        self._batch = BATCH

    async def join(self, heard: Heard) -> None:
        """Adds a listener; it is given what follows `position` as this returns."""
        if not self._listeners:
            at = await self._db.peek(head)
            # Another may have come first, meanwhile.
            if not self._listeners:
                self.position = at
        self._listeners.append(heard)

    def leave(self, heard: Heard) -> None:
        """Takes a listener away. With the last one the reading stops."""
        self._listeners.remove(heard)

    async def run_once(self, now: Millis) -> HandedOut:
        if not self._listeners:
            return HandedOut(records=0, more=False)
        after, limit = self.position, self._batch
        records = await self._db.peek(lambda tx: read_after(tx, after, limit))
        if self.position != after or not records:
            # All left and others came while this was read: what it found is not theirs.
            return HandedOut(records=0, more=self.position != after)
        self.position = records[-1].position
        self._batch = fitting(records, BATCH, BATCH_BYTES)
        for heard in list(self._listeners):
            heard(records)
        return HandedOut(records=len(records), more=len(records) == limit)


def fitting(records: list[Record], count_max: int, bytes_max: int) -> int:
    """How many records like these to read next: no more than `count_max`, nor than about `bytes_max` of their data."""
    size = sum(len(record.data) for record in records)
    return min(count_max, max(1, bytes_max * len(records) // size)) if size else count_max
