"""Looking at runs for those who wait for their end.

One commit ends many runs and wakes all who wait for them; they look together, in one snapshot.
"""

import asyncio

from ironflow.engine.model import Run
from ironflow.features.runs import store
from ironflow.storage.port import Database


class Looks:
    """Runs by id; whoever asks in the same turn of the event loop shares one statement."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._ids: list[str] = []
        self._next: asyncio.Task[dict[str, Run]] | None = None

    async def at(self, run_id: str) -> Run | None:
        """The run as it is now, without its steps; None when it is not kept. Raises StorageFailed."""
        self._ids.append(run_id)
        if self._next is None:
            self._next = asyncio.create_task(self._look())
        # Who gives up takes nothing from the others.
        return (await asyncio.shield(self._next)).get(run_id)

    async def _look(self) -> dict[str, Run]:
        ids, self._ids, self._next = self._ids, [], None
        return await self._db.peek(lambda tx: store.look(tx, ids))
