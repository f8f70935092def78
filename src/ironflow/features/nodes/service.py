"""What happens: this process shows that it is alive, and takes over what others held that are not any more."""

import logging
from collections.abc import Awaitable, Callable

from ironflow.base.lifecycle import Lifecycle
from ironflow.base.time import Clock, Millis
from ironflow.features.nodes import store
from ironflow.storage.port import STORAGE_FAULTS, Database, Tx
from ironflow.storage.presence import Presence

logger = logging.getLogger(__name__)

# Heartbeats count where a pooler keeps a node from holding a lock, and after a restart or a failover of the database.
HEARTBEAT_MS = 5_000
SILENT_MS = 30_000
# Incarnations whose holds are taken over in one round.
BATCH = 20

# Given the id of an incarnation that has ended: takes over all that it held. It may be called again, also by others.
TakeOver = Callable[[str, Millis], Awaitable[None]]


class Nodes(Lifecycle):
    """The nodes feature. node: the incarnation of this process. name: of the node, for people."""

    def __init__(self, db: Database, clock: Clock, presence: Presence, node: str, name: str) -> None:
        self._db = db
        self._clock = clock
        self._presence = presence
        self._node, self._name = node, name
        self._started_at = clock.now()
        self._takeovers: list[TakeOver] = []
        # Since when this start of the database has been looked at.
        self._database_start, self._settling_since = "", self._started_at

    def on_ended(self, take_over: TakeOver) -> None:
        """Calls `take_over` for every incarnation that has ended, before its row is deleted."""
        self._takeovers.append(take_over)

    async def start(self) -> None:
        """Shows this incarnation, before it holds anything, and takes over what earlier ones held."""
        await self._presence.start()
        try:
            await self.show()
            await self.take_over()
        except STORAGE_FAULTS as fault:
            # The loop tries again.
            logger.warning("nodes not looked at", extra={"error": fault.message})

    async def stop(self) -> None:
        await self._presence.close()

    async def show(self) -> None:
        """Writes that this incarnation is there. One that holds no lock yet is not shown: others would end it."""
        lock_key, start = self._presence.lock_key, self._presence.database_start
        if lock_key is None:
            return
        await self._db.write(lambda tx: store.show(tx, self._node, self._name, lock_key, start, self._started_at))

    async def take_over(self) -> int:
        """Takes over what ended incarnations held. Returns their number."""
        patience = await self._db.peek(self._patience)
        ended = await self._db.peek(lambda tx: store.ended(tx, self._node, patience, BATCH))
        for node, name in ended:
            logger.info("node ended", extra={"node": name, "incarnation": node})
            for take_over in self._takeovers:
                await take_over(node, self._clock.now())
            await self._db.write(lambda tx, node=node: store.forget(tx, node, patience))
        return len(ended)

    def _patience(self, tx: Tx) -> store.Patience:
        start, now = store.database_start(tx), self._clock.now()
        if start != self._database_start:
            self._database_start, self._settling_since = start, now
        return store.Patience(SILENT_MS, settled=now - self._settling_since >= SILENT_MS)
