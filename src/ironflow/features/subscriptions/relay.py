"""Between nodes: the system's events of one node reach those who listen at another.

Only while there are listeners. A node with listeners sends a notification every few seconds; the others then write
what they publish into a table, in batches after their commits, and notify. NOTIFY carries node names and no events, for
events may exceed its limit. Rows are removed after a minute. On SQLite there is one node, and nothing of this happens.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from ironflow.base.loop import Ran
from ironflow.base.notice import Notice, Notices
from ironflow.base.time import Clock, Millis
from ironflow.features.subscriptions import store
from ironflow.features.subscriptions.system import SystemFeed
from ironflow.notify.port import Notifier
from ironflow.storage.port import STORAGE_FAULTS, Database, Tx

logger = logging.getLogger(__name__)

# Topics of notifications; nodes of other releases use them too.
WANTED, PUBLISHED = "system-wanted", "system-told"
# A node that listens asks this often, and each request holds for three times as long.
EVERY_MS = 5_000
EXPIRES_MS = 3 * EVERY_MS
GATHER_S = 0.01
BATCH = 500
# More than this is not kept for a database that cannot be written to.
WAITING_MAX = 10_000
KEPT_MS = 60_000


class Relay:
    """A loop and two listeners. node: this process's own name among nodes."""

    name = "system-relay"
    every_ms = EVERY_MS
    topic = ""
    notable = ()

    def __init__(self, db: Database, notifier: Notifier, feed: SystemFeed, clock: Clock, node: str) -> None:
        self._db = db
        self._feed = feed
        self._clock = clock
        self._node = node
        self._wanted_until = 0
        self._waiting: list[Notices] = []
        self._number = clock.now() * 1000
        # Node -> number of the last of its notices that was read.
        self._read: dict[str, int] = {}
        self._sending = self._reading = False
        self._unread: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        notifier.listen(WANTED, self._wanted)
        notifier.listen(PUBLISHED, self._published)
        feed.nodes = self

    # What others want

    def _wanted(self, nodes: set[str]) -> None:
        if nodes - {self._node, ""}:
            self._wanted_until = self._clock.now() + EXPIRES_MS

    def published(self, notices: Notices) -> None:
        """Called with everything that this node publishes."""
        if self._wanted_until < self._clock.now() or len(self._waiting) >= WAITING_MAX:
            return
        self._waiting.append(notices)
        if not self._sending:
            self._sending = True
            self._spawn(self._send())

    async def _send(self) -> None:
        try:
            await asyncio.sleep(GATHER_S)
            while self._waiting:
                waiting, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                notices = [notice for each in waiting for notice in each.notices()]
                first = self._number + 1
                self._number += len(notices)
                await self._db.write(lambda tx, notices=notices, first=first: self._write(tx, first, notices))
        except STORAGE_FAULTS as fault:
            logger.warning("system events could not be passed on", extra={"error": fault.message})
        finally:
            self._sending = False

    def _write(self, tx: Tx, first: int, notices: list[Notice]) -> None:
        store.add(tx, self._node, first, notices)
        tx.notify(PUBLISHED, self._node)

    # What is wanted here

    async def begin(self) -> None:
        """A first subscription starts here: asks the other nodes, and takes over what they published lately."""
        self._db.notify(WANTED, self._node)
        await self._take_over(set(await self._db.read(store.nodes)))

    def _published(self, nodes: set[str]) -> None:
        if not self._feed.wanted:
            return
        self._unread |= nodes - {self._node, ""}
        if self._unread and not self._reading:
            self._reading = True
            self._spawn(self._read_published())

    async def _read_published(self) -> None:
        try:
            while self._unread:
                nodes, self._unread = self._unread, set()
                await self._take_over(nodes)
        except STORAGE_FAULTS as fault:
            logger.warning("system events of other nodes could not be read", extra={"error": fault.message})
        finally:
            self._reading = False

    async def _take_over(self, nodes: set[str]) -> None:
        for node in sorted(nodes - {self._node}):
            while True:
                last = self._read.get(node, 0)
                found = await self._db.read(lambda tx, node=node, last=last: store.after(tx, node, last, BATCH))
                if self._read.get(node, 0) != last:
                    # Another came first, meanwhile.
                    continue
                for number, notice in found:
                    self._read[node] = number
                    self._feed.receive_remote(notice)
                if len(found) < BATCH:
                    break

    async def run_once(self, now: Millis) -> Ran:
        if self._feed.wanted:
            self._db.notify(WANTED, self._node)
        removed = await self._db.write(lambda tx: store.delete_old(tx, now - KEPT_MS, BATCH))
        return Ran({"removed": removed}, more=removed == BATCH)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
