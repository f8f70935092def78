"""What goes on by itself: projections follow the log, new versions take over, what nobody needs any more is removed."""

import asyncio
from dataclasses import dataclass, replace

from ironflow.base.time import Millis
from ironflow.features.projections.in_tx import moved
from ironflow.features.sql_projections import rules, store
from ironflow.features.sql_projections.following import Follower
from ironflow.features.sql_projections.rules import Generation
from ironflow.log.read import head
from ironflow.storage.port import Database, Tx
from ironflow.storage.sandbox import Sandbox

# Generations that are looked at in a round, and how many of them at a time.
ROUND = 1000
AT_A_TIME = 4
# Where no projection follows the log, events need not be looked at one commit after another.
REST_MS = 20


@dataclass(frozen=True, slots=True)
class Followed:
    """moved: generations that got further. next_at: when a failed statement is run again.

    rest_ms: how long the next event may wait.
    """

    moved: int
    more: bool
    next_at: Millis | None = None
    rest_ms: int = 0


class FollowLog:
    """Applies what is new in the log to every projection."""

    name = "sql-projections"
    every_ms = 1_000
    topic = "log"

    def __init__(self, db: Database, sandbox: Sandbox, follower: Follower) -> None:
        self._db = db
        self._sandbox = sandbox
        self._follower = follower

    async def run_once(self, now: Millis) -> Followed:
        # Where there is no projection, no thread is troubled.
        if not await self._db.peek(lambda tx: store.any_due(tx, now)):
            return Followed(0, more=False, rest_ms=REST_MS)
        generations = await self._db.read(lambda tx: store.due(tx, now, ROUND))
        turn = asyncio.Semaphore(AT_A_TIME)

        async def advance(generation: Generation) -> tuple[Generation, Generation, bool]:
            async with turn:
                after, more = await self._follower.advance(generation, now)
                return generation, after, more

        rounds = await asyncio.gather(*map(advance, generations))
        changed = [after for before, after, _ in rounds if after != before]
        if changed:
            await self._db.write(lambda tx: _note(tx, changed))
        await self._swap(now)
        next_at = await self._db.read(lambda tx: store.next_retry_at(tx, now))
        return Followed(len(changed), any(more for _, _, more in rounds), next_at)

    async def _swap(self, now: Millis) -> None:
        """Lets new versions that have caught up take over."""
        for environment, name in await self._db.read(lambda tx: store.building(tx, ROUND)):

            def swap(tx: Tx, environment: str = environment, name: str = name) -> str | None:
                found = store.projection(tx, environment, name, to_write=True)
                if found is None or found.building is None or not rules.decide_swap(found, head(tx)):
                    return None
                building = found.building
                store.free_tables(tx, environment, name)
                store.take_tables(tx, environment, name, building.definition.table_names)
                store.save(tx, replace(found, serving=replace(building, target=0), building=None, updated_at=now))
                moved(tx, environment, name)
                return found.serving.place

            old = await self._db.write(swap)
            if old is not None:
                self._follower.forget(old)
                await self._sandbox.drop(old)


def _note(tx: Tx, changed: list[Generation]) -> None:
    for each in changed:
        store.note_progress(tx, each)
        moved(tx, each.environment, each.name)


@dataclass(frozen=True, slots=True)
class Swept:
    removed: int
    more: bool = False


class SweepPlaces:
    """Removes places that belong to no projection: a server was killed before it could."""

    name = "sql-projections-sweep"
    every_ms = 3_600_000

    def __init__(self, db: Database, sandbox: Sandbox) -> None:
        self._db = db
        self._sandbox = sandbox

    async def run_once(self, now: Millis) -> Swept:
        # Looked for first: a place that is made meanwhile is not among them.
        there = await self._sandbox.places()
        kept = await self._db.read(store.places)
        gone = [place for place in there if place not in kept]
        for place in gone:
            await self._sandbox.drop(place)
        return Swept(len(gone))
