"""Reads of runs for requests that wait for their end.

One commit ends many runs and wakes every request that waits for one: they are read together, in one statement.
"""

import asyncio

from ironflow.engine.model import Run
from ironflow.features.runs import store
from ironflow.storage.port import Database


class Looks:
    """Runs by id. Calls in the same turn of the event loop share one statement."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._ids: list[str] = []
        self._next: asyncio.Task[dict[str, Run]] | None = None

    async def at(self, run_id: str) -> Run | None:
        """The run as it is now, without its steps; None when it is not kept. Raises StorageFailed."""
        self._ids.append(run_id)
        if self._next is None:
            self._next = asyncio.create_task(self._look())
        # Shielded: a call that is cancelled does not cancel the others.
        return (await asyncio.shield(self._next)).get(run_id)

    async def _look(self) -> dict[str, Run]:
        ids, self._ids, self._next = self._ids, [], None
        return await self._db.peek_once(lambda tx: store.look(tx, ids))
