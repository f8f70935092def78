"""Between nodes: the system's events of one node reach those who listen at another.

Only while somebody listens. A node with listeners says so every few seconds by a ring; the others then write what they
tell into a table, in batches after their commits, and ring. NOTIFY carries node names and no events: those may be
larger than it takes. Rows are removed after a minute. On SQLite there is one node, and nothing of this happens.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from ironflow.base.notice import Notice, Notices
from ironflow.base.time import Clock, Millis
from ironflow.broker.port import Broker
from ironflow.features.subscriptions import store
from ironflow.features.subscriptions.system import SystemFeed
from ironflow.storage.port import Database, StorageFailed, Tx

logger = logging.getLogger(__name__)

WANTED, TOLD = "system-wanted", "system-told"
# A node that listens says so this often, and is believed for three times as long.
EVERY_MS = 5_000
BELIEVED_MS = 3 * EVERY_MS
GATHER_S = 0.01
BATCH = 500
# More than this is not kept for a database that cannot be written to.
WAITING_MAX = 10_000
KEPT_MS = 60_000


@dataclass(frozen=True, slots=True)
class Kept:
    """What one round did. more: there are older rows left."""

    removed: int
    more: bool


class Relay:
    """A loop and two ears. node: this process's own name among nodes."""

    name = "system-relay"
    every_ms = EVERY_MS

    def __init__(self, db: Database, broker: Broker, feed: SystemFeed, clock: Clock, node: str) -> None:
        self._db = db
        self._feed = feed
        self._clock = clock
        self._node = node
        self._believed_until = 0
        self._waiting: list[Notices] = []
        self._number = clock.now() * 1000
        # Node -> number of the last of its notices that was read.
        self._read: dict[str, int] = {}
        self._sending = self._reading = False
        self._heard_of: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        broker.listen(WANTED, self._wanted)
        broker.listen(TOLD, self._told)
        feed.relay = self

    # What others want

    def _wanted(self, nodes: set[str]) -> None:
        if nodes - {self._node, ""}:
            self._believed_until = self._clock.now() + BELIEVED_MS

    def told(self, notices: Notices) -> None:
        """Called with everything that this node tells."""
        if self._believed_until < self._clock.now() or len(self._waiting) >= WAITING_MAX:
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
        except StorageFailed as fault:
            logger.warning("system events could not be passed on", extra={"error": fault.message})
        finally:
            self._sending = False

    def _write(self, tx: Tx, first: int, notices: list[Notice]) -> None:
        store.add(tx, self._node, first, notices)
        tx.ring(TOLD, self._node)

    # What is wanted here

    async def begin(self) -> None:
        """Somebody begins to listen here: others are asked, and what they told lately is taken over."""
        self._db.ring(WANTED, self._node)
        await self._take_over(set(await self._db.read(store.nodes)))

    def _told(self, nodes: set[str]) -> None:
        if not self._feed.wanted:
            return
        self._heard_of |= nodes - {self._node, ""}
        if self._heard_of and not self._reading:
            self._reading = True
            self._spawn(self._read_told())

    async def _read_told(self) -> None:
        try:
            while self._heard_of:
                nodes, self._heard_of = self._heard_of, set()
                await self._take_over(nodes)
        except StorageFailed as fault:
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
                    self._feed.heard_from_afar(notice)
                if len(found) < BATCH:
                    break

    async def run_once(self, now: Millis) -> Kept:
        if self._feed.wanted:
            self._db.ring(WANTED, self._node)
        removed = await self._db.write(lambda tx: store.delete_old(tx, now - KEPT_MS, BATCH))
        return Kept(removed, more=removed == BATCH)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
