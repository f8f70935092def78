"""The live end of the log: one reader for each node, however many listen.

    tail.join(heard)          # from now on `heard` is given every new record, in order, on the event loop
    tail.position             # everything up to here has been handed out; look further back with log/read.py
    tail.leave(heard)

Listeners do little and never wait: they put records into queues of their own. Nobody listens, nothing is read.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ironflow.base.time import Millis
from ironflow.log.read import head, read_after
from ironflow.log.record import Record
from ironflow.storage.port import Database

BATCH = 200

Heard = Callable[[list[Record]], None]


@dataclass(frozen=True, slots=True)
class HandedOut:
    """What one round did. more: the log goes on."""

    records: int
    more: bool


class Tail:
    """A loop that reads the log's end at its doorbell and hands it to all listeners.

    pace: waited for before each reading, so that whoever is handed records can work them off.
    """

    name = "log-tail"
    every_ms = 1_000
    topic = "log"

    def __init__(self, db: Database) -> None:
        self._db = db
        self._listeners: list[Heard] = []
        self.position = 0
        self.pace: Callable[[], Awaitable[None]] | None = None

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
        if self.pace is not None:
            await self.pace()
        after = self.position
        records = await self._db.peek(lambda tx: read_after(tx, after, BATCH))
        if self.position != after or not records:
            # All left and others came while this was read: what it found is not theirs.
            return HandedOut(records=0, more=self.position != after)
        self.position = records[-1].position
        for heard in list(self._listeners):
            heard(records)
        return HandedOut(records=len(records), more=len(records) == BATCH)
