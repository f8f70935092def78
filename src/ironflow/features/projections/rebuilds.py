"""What happens: a projection is built anew beside the version that readers see, and takes its place in the end."""

from dataclasses import replace
from typing import Any

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.features.events.contract import EventNotFound
from ironflow.features.projections import contract, feeding, messages, rules, saving, store
from ironflow.features.projections.rules import ProjectionRow, RebuildRow
from ironflow.features.projections.saving import TOPIC, notify_key
from ironflow.log.read import head, records
from ironflow.log.scan import Counted, count
from ironflow.storage.port import Database, Tx

# Rebuilds of a projection that are remembered.
KEPT = 20
# Counted in one transaction; a longer log is counted piece by piece.
COUNT_PIECE = 50_000


class Rebuilds:
    """Starting, watching and cancelling rebuilds. Saves end them, or the loop where nothing is left to save."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db = db
        self._ids = ids

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.rebuild: self.rebuild,
            contract.start_rebuild: self.start_rebuild,
            contract.rebuild_job: self.rebuild_job,
            contract.get_rebuild: self.get_rebuild,
            contract.cancel_rebuild: self.cancel,
        }

    async def rebuild(self, call: Call, request: contract.Rebuild) -> contract.RebuildAnswer:
        return contract.RebuildAnswer(job=await self._start(call, request))

    async def start_rebuild(self, call: Call, request: contract.Rebuild) -> contract.RebuildShown:
        return contract.RebuildShown.of(await self._start(call, request))

    async def rebuild_job(self, call: Call, request: contract.Named) -> contract.RebuildAnswer:
        return contract.RebuildAnswer(job=await self._last(call, request.name))

    async def get_rebuild(self, call: Call, request: contract.Named) -> contract.RebuildShown:
        return contract.RebuildShown.of(await self._last(call, request.name))

    async def cancel(self, call: Call, request: contract.Named) -> contract.StatusChanged:
        def change(tx: Tx) -> contract.StatusChanged:
            projection, rebuild = saving.load_with_rebuild(tx, call.environment, request.name, to_write=True)
            if rebuild is None:
                raise contract.RebuildNotFound(f"{request.name!r} is not being rebuilt.")
            store.save_rebuild(tx, replace(rebuild, status="cancelled", ended_at=call.now))
            store.drop_generation(tx, rebuild.generation, call.now)
            after = rules.decide_cancelled(projection, call.now)
            store.save(tx, after)
            tx.notify(TOPIC, notify_key(call.environment, request.name))
            return contract.StatusChanged(status=rules.status_of(after))

        return await self._db.write(change)

    async def _last(self, call: Call, name: str) -> contract.RebuildJob:
        def look(tx: Tx) -> contract.RebuildJob:
            saving.load(tx, call.environment, name)
            found = store.last_rebuild(tx, call.environment, name)
            if found is None:
                raise contract.RebuildNotFound(f"{name!r} was never rebuilt.")
            return messages.job_message(found, call.now)

        return await self._db.read(look)

    async def _start(self, call: Call, request: contract.Rebuild) -> contract.RebuildJob:
        planned, projection = await self._db.read(lambda tx: self._planned(tx, call, request))
        if not request.dry_run:
            # Before the events are counted, which may take long.
            _check(projection, request, planned)
        total = await self._count(projection, planned)
        planned = replace(planned, events_total=total)
        if request.dry_run:
            return messages.job_message(planned, call.now, dry_run=True)

        def change(tx: Tx) -> contract.RebuildJob:
            current = saving.load(tx, call.environment, request.name, to_write=True)
            target = current.cursor if planned.partition_key is not None else max(planned.target, current.cursor)
            begun = replace(planned, target=planned.target if request.to_event_id else target)
            _check(current, request, begun)
            store.create_rebuild(tx, begun, KEPT)
            after = rules.decide_rebuild(current, begun, call.now)
            if begun.events_total == 0 or begun.target <= begun.start_position:
                done = replace(begun, cursor=begun.target)
                saving.finish(tx, after, done, call.now)
                return messages.job_message(replace(done, status="completed", ended_at=call.now), call.now)
            store.save(tx, after)
            tx.notify(TOPIC, notify_key(call.environment, request.name))
            return messages.job_message(begun, call.now)

        return await self._db.write(change)

    def _planned(self, tx: Tx, call: Call, request: contract.Rebuild) -> tuple[RebuildRow, ProjectionRow]:
        projection = saving.load(tx, call.environment, request.name)
        asked = [each for each in (request.from_event_id, request.to_event_id) if each]
        found = records(tx, asked)
        for event_id in asked:
            if event_id not in found or found[event_id].environment != call.environment:
                raise EventNotFound(f"There is no event {event_id[:140]!r} in this environment.")
        start = found[request.from_event_id].position - 1 if request.from_event_id else 0
        target = found[request.to_event_id].position if request.to_event_id else head(tx)
        partition = rules.partition_named(request.partition) if request.partition else None
        return (
            RebuildRow(
                id=self._ids.new("rebuild"),
                environment=call.environment,
                name=request.name,
                generation=self._ids.new("generation"),
                status="running",
                partition_key=partition,
                from_event_id=request.from_event_id,
                to_event_id=request.to_event_id,
                start_position=start,
                target=projection.cursor if partition is not None else target,
                cursor=start,
                events_total=0,
                events_done=0,
                error="",
                started_at=call.now,
                ended_at=None,
            ),
            projection,
        )

    async def _count(self, projection: ProjectionRow, planned: RebuildRow) -> int:
        """How many events there are to look at."""
        wanted = feeding.filter_of(projection)
        events, position = 0, planned.start_position
        while position < planned.target:
            until = min(position + COUNT_PIECE, planned.target)

            def piece(tx: Tx, low: int = position, high: int = until) -> Counted:
                return count(tx, wanted, low, high, COUNT_PIECE + 1)

            counted = await self._db.read(piece)
            events += counted.records
            position = until
        return events


def _check(projection: ProjectionRow, request: contract.Rebuild, planned: RebuildRow) -> None:
    rules.check_rebuild(
        projection,
        request.partition,
        planned.start_position,
        planned.target,
        request.from_event_id,
        request.to_event_id,
    )
