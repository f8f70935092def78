"""The live end of the log: one reader for each node, however many listen.

    await tail.add(listener)      # from now on the listener is given every new record, in order, on the event loop
    tail.position                 # everything up to here has been handed out; older records are found by log/scan.py
    tail.remove(listener)

Listeners return at once: they put records into queues of their own. Without listeners nothing is read.
"""

from collections.abc import Callable

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.log.follower import PROBE, Follower
from ironflow.log.read import head
from ironflow.log.record import Record
from ironflow.log.scan import EVERYTHING
from ironflow.storage.port import Database

# At a time: few enough that handing them out leaves time for others, and no more than this of their data.
BATCH = 100
BATCH_BYTES = 8 * 1024 * 1024

Listener = Callable[[list[Record]], None]


class Tail:
    """A loop that follows the log from its end and hands every record to all listeners. Its cursor is in memory."""

    name = "log-tail"
    every_ms = 1_000
    topic = Follower.topic
    notable = ()

    def __init__(self, db: Database) -> None:
        self._db = db
        self._listeners: list[Listener] = []
        self._follower = Follower(EVERYTHING, 0, batch_max=BATCH, bytes_max=BATCH_BYTES)
        # Records in the next read: few until a page is full, so that the first ones show how large they are.
        self._limit = PROBE

    @property
    def position(self) -> int:
        return self._follower.position

    async def add(self, listener: Listener) -> None:
        """Adds a listener; it is given what follows `position` as this returns."""
        if not self._listeners:
            at = await self._db.peek(head)
            # Another may have been added first, meanwhile.
            if not self._listeners:
                self._follower.advance(at)
        self._listeners.append(listener)

    def remove(self, listener: Listener) -> None:
        """Takes a listener away. With the last one the reading stops."""
        self._listeners.remove(listener)

    async def run_once(self, now: Millis) -> Ran:
        if not self._listeners:
            return Ran()
        after, limit = self.position, self._limit
        page = await self._db.peek_once(lambda tx: self._follower.read_next(tx, limit))
        if self.position != after:
            # All listeners left and others came while this was read: these records are not for them.
            return Ran(more=True)
        self._follower.advance(page.reached, page.items)
        self._limit = self._follower.batch if self._follower.is_behind else PROBE
        if page.items:
            for listener in list(self._listeners):
                listener(page.items)
        return Ran({"records": len(page.items)}, more=self._follower.is_behind)
