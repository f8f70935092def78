"""What goes on by itself: projections follow the log, new versions take over, unused places are removed."""

import asyncio
from dataclasses import replace

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.projections.in_tx import moved
from ironflow.features.sql_projections import rules, store
from ironflow.features.sql_projections.applying import Applier
from ironflow.features.sql_projections.rules import Generation
from ironflow.log.follower import Follower
from ironflow.log.read import head
from ironflow.storage.port import Database, Tx
from ironflow.storage.sandbox import Sandbox

# Generations that are looked at in a round, and how many of them at a time.
ROUND = 1000
AT_A_TIME = 4
# Where no projection follows the log, events need not be looked at one commit after another.
REST_MS = 20


class FollowLog:
    """Applies what is new in the log to every projection."""

    name = "sql-projections"
    every_ms = 1_000
    topic = Follower.topic
    notable = ()

    def __init__(self, db: Database, sandbox: Sandbox, applier: Applier) -> None:
        self._db = db
        self._sandbox = sandbox
        self._applier = applier

    async def run_once(self, now: Millis) -> Ran:
        # Where there is no projection, no thread is troubled.
        if not await self._db.peek_once(lambda tx: store.any_due(tx, now)):
            return Ran(rest_ms=REST_MS)
        generations, next_at, are_building = await self._db.read(lambda tx: _look(tx, now))
        turn = asyncio.Semaphore(AT_A_TIME)

        async def advance(generation: Generation) -> tuple[Generation, Generation, bool]:
            async with turn:
                after, more = await self._applier.advance(generation, now)
                return generation, after, more

        rounds = await asyncio.gather(*map(advance, generations))
        changed = [after for before, after, _ in rounds if after != before]
        if changed:
            next_at = await self._db.write(lambda tx: _note(tx, changed, now))
        if are_building:
            await self._swap(now)
        return Ran({"advanced": len(changed)}, any(more for _, _, more in rounds), next_at)

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
                self._applier.forget(old)
                await self._sandbox.drop(old)


def _look(tx: Tx, now: Millis) -> tuple[list[Generation], Millis | None, bool]:
    """What is to be advanced, when the next failed statement is run again, and whether there are new versions."""
    return store.due(tx, now, ROUND), store.next_retry_at(tx, now), bool(store.building(tx, 1))


def _note(tx: Tx, changed: list[Generation], now: Millis) -> Millis | None:
    """Returns when the next failed statement is run again."""
    for each in changed:
        store.note_progress(tx, each)
        moved(tx, each.environment, each.name)
    return store.next_retry_at(tx, now)


class SweepPlaces:
    """Removes places that belong to no projection: a server was killed before it could."""

    name = "sql-projections-sweep"
    every_ms = 3_600_000
    topic = ""
    notable = ("removed",)

    def __init__(self, db: Database, sandbox: Sandbox) -> None:
        self._db = db
        self._sandbox = sandbox

    async def run_once(self, now: Millis) -> Ran:
        # Looked for first: a place that is made meanwhile is not among them.
        there = await self._sandbox.places()
        kept = await self._db.read(store.places)
        unused = [place for place in there if place not in kept]
        for place in unused:
            await self._sandbox.drop(place)
        return Ran({"removed": len(unused)})
