"""What happens: registering, leases, polling, saving, reading, pausing."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.base.ids import Ids
from ironflow.base.json import json_text
from ironflow.base.time import to_millis
from ironflow.features.projections import contract, feeding, looking_back, messages, rules, saving, store
from ironflow.features.projections.rules import Feed, Held, ProjectionRow, RebuildRow, Registration
from ironflow.features.projections.saving import TOPIC, History, Part, Saving, notify_key
from ironflow.log.read import head
from ironflow.log.scan import COUNT_MAX, count
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)

LIMIT_DEFAULT = 100
SAVED_MAX = 1_000
# In lists the lag is counted less far than for one projection.
LIST_LAG_MAX = 1_000
# A refused save: the streams of that writer end, so that its runner gets the events again.
REFUSALS = "projection_refusals"


class Projections:
    """Projections without feeding, rebuilding and waiting. history: states kept for looking back."""

    def __init__(self, db: Database, ids: Ids, history: History, state_bytes_max: int) -> None:
        self._db = db
        self._ids = ids
        self._history = history
        self._state_bytes_max = state_bytes_max

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.register: self.register,
            contract.acquire_lease: self.acquire_lease,
            contract.renew_lease: self.renew_lease,
            contract.release_lease: self.release_lease,
            contract.save: self.save,
            contract.save_many: self.save_many,
            contract.ack: self.ack,
            contract.get: self.get,
            contract.envelope: self.envelope,
            contract.recorded: self.recorded,
            contract.list_: self.list_,
            contract.statuses: self.statuses,
            contract.status: self.status,
            contract.partitions: self.partitions,
            contract.events: self.events,
            contract.pause: self.pause,
            contract.resume: self.resume,
            contract.unregister: self.unregister,
            contract.delete: self.delete,
        }

    async def register(self, call: Call, request: contract.Register) -> contract.Registered:
        asked = Registration(
            mode=request.mode or "managed",
            version=request.version or 1,
            events=tuple(dict.fromkeys(request.events)),
            partition_key=request.partition_key,
        )
        rules.check_registration(request.name, asked)
        fresh = rules.registered(call.environment, request.name, asked, self._ids.new("generation"), call.now)

        def change(tx: Tx) -> contract.Registered:
            if store.create(tx, fresh):
                tx.notify(TOPIC, notify_key(call.environment, request.name))
                return contract.Registered(status="registered", last_event_seq=0)
            found = saving.load(tx, call.environment, request.name, to_write=True)
            after = rules.decide_registration(found, asked, call.now)
            if after != found:
                store.save(tx, after)
                tx.notify(TOPIC, notify_key(call.environment, request.name))
            return contract.Registered(status="updated", last_event_seq=found.cursor)

        return await self._db.write(change)

    # Leases.

    async def acquire_lease(self, call: Call, request: contract.Acquire) -> contract.Acquired:
        token = self._ids.token()

        def change(tx: Tx) -> contract.Acquired:
            found = saving.load(tx, call.environment, request.name, to_write=True)
            after = rules.decide_acquire(found, token, call.now, feeds_both=request.feeds_both)
            if after is None:
                return contract.Acquired(granted=False)
            store.save(tx, after)
            tx.notify(TOPIC, notify_key(call.environment, request.name))
            return contract.Acquired(
                granted=True,
                lease=contract.Lease(token=token, epoch=after.lease_epoch),
                ttl=rules.LEASE,
                served=rules.served_beside(after),
            )

        return await self._db.write(change)

    async def renew_lease(self, call: Call, request: contract.HeldLease) -> contract.Renewed:
        held = held_of(request.lease) or Held("", 0)

        def change(tx: Tx) -> contract.Renewed:
            found = saving.load(tx, call.environment, request.name, to_write=True)
            rules.check_lease(found, held, call.now)
            store.save(tx, replace(found, lease_ends_at=call.now + rules.LEASE_MS))
            return contract.Renewed(ttl=rules.LEASE)

        return await self._db.write(change)

    async def release_lease(self, call: Call, request: contract.HeldLease) -> None:
        held = held_of(request.lease)

        def change(tx: Tx) -> None:
            found = store.projection(tx, call.environment, request.name, to_write=True)
            if found is not None and held == Held(found.lease_token, found.lease_epoch):
                store.save(tx, rules.without_lease(found))
                tx.notify(TOPIC, notify_key(call.environment, request.name))

        await self._db.write(change)

    # Saving.

    async def save(self, call: Call, request: contract.SaveState) -> contract.Ok:
        return await self._keep(call, request.name, request.lease, (self._part(request),), request.generation)

    async def save_many(self, call: Call, request: contract.SaveStates) -> contract.Ok:
        parts = tuple(self._part(each) for each in request.states)
        if not 1 <= len(parts) <= SAVED_MAX or len({part.partition for part in parts}) < len(parts):
            raise contract.InvalidSave(f"A save has the states of 1 to {SAVED_MAX} different partitions.")
        return await self._keep(call, request.name, request.lease, parts, request.generation)

    async def ack(self, call: Call, request: contract.Ack) -> contract.Ok:
        part = Part(request.last_event_seq, request.last_event_id, 0)
        return await self._keep(call, request.name, request.lease, (part,))

    def _part(self, saved: contract.SaveState | contract.PartitionState) -> Part:
        """Raises StateTooLarge, InvalidSave."""
        state = json_text(saved.state) or "null"
        if len(state) > self._state_bytes_max:
            raise contract.StateTooLarge(
                f"The state is {len(state)} bytes; this server keeps up to {self._state_bytes_max}. Partition it."
            )
        return Part(
            position=saved.last_event_seq,
            event_id=saved.last_event_id,
            event_at=to_millis(saved.last_event_time) if saved.last_event_time else 0,
            partition=rules.partition_named(saved.partition_key),
            state=state,
        )

    async def _keep(
        self, call: Call, name: str, lease: contract.Lease | None, parts: tuple[Part, ...], generation: str = ""
    ) -> contract.Ok:
        held = held_of(lease)
        asked = Saving(call.environment, name, held, call.now, parts, generation)
        try:
            lacks_key = await self._db.write(lambda tx: saving.apply(tx, asked, self._history))
        except IronflowError:
            self._db.notify(REFUSALS, writer_key(call.environment, name, held))
            raise
        if lacks_key:
            # Once for each projection and rebuild; the status counts them.
            logger.warning(
                "event without the partition key of a projection", extra={"projection": name, "env": call.environment}
            )
        return contract.Ok()

    # Reading.

    async def get(self, call: Call, request: contract.LoadProjection) -> contract.Projection:
        partition = request.partition or contract.GLOBAL
        if request.as_of is not None:
            at = to_millis(request.as_of)
            then = await looking_back.look_back(self._db, call.environment, request.name, partition, at)
            if then.missing is not None:
                raise looking_back.not_recorded(then, partition, at)
            return messages.projection_message(then.projection, then.rebuild, partition, then.state)

        def look(tx: Tx) -> contract.Projection:
            found, rebuild = saving.load_with_rebuild(tx, call.environment, request.name)
            generation = _generation_of(found, rebuild, partition)
            if request.generation:
                generation = rules.feed_named(found, rebuild, request.generation).generation
            state = store.newest_state(tx, generation, partition)
            return messages.projection_message(found, rebuild, partition, state)

        return await self._db.read(look)

    async def envelope(self, call: Call, request: contract.GetProjection) -> contract.Envelope:
        partition = request.partition or contract.GLOBAL
        if request.as_of is not None:
            at = to_millis(request.as_of)
            then = await looking_back.look_back(self._db, call.environment, request.name, partition, at)
            if then.missing is not None and then.state is None:
                raise looking_back.not_recorded(then, partition, at)
            return messages.envelope_message(
                then.projection, then.state, messages.as_of_message(at, then.state, then.missing)
            )

        def look(tx: Tx) -> contract.Envelope:
            found = saving.load(tx, call.environment, request.name)
            return messages.envelope_message(found, store.newest_state(tx, found.generation, partition))

        return await self._db.read(look)

    async def recorded(self, call: Call, request: contract.GetProjection) -> contract.StateRow:
        at = to_millis(request.as_of) if request.as_of else call.now

        def look(tx: Tx) -> contract.StateRow:
            found = saving.load(tx, call.environment, request.name)
            state = store.state_at(tx, found.generation, request.partition or contract.GLOBAL, at)
            if state is None:
                raise contract.NotRecorded(f"No state of {found.name!r} from that moment or before is kept.")
            return messages.state_message(found, state)

        return await self._db.read(look)

    async def list_(self, call: Call, request: contract.ListProjections) -> contract.Projections:
        limit = request.limit or LIMIT_DEFAULT

        def look(tx: Tx) -> contract.Projections:
            found, count = store.page(tx, call.environment, request.status, request.mode, limit, request.offset)
            shown = [messages.info_message(each, store.rebuild(tx, each.rebuild_id)) for each in found]
            return contract.Projections(projections=shown, total_count=count)

        return await self._db.read(look)

    async def statuses(self, call: Call, request: contract.ListStatuses) -> contract.Statuses:
        def look(tx: Tx) -> contract.Statuses:
            found = store.after(tx, call.environment, request.cursor, request.limit)
            shown = [_status(tx, each, LIST_LAG_MAX) for each in found]
            return contract.Statuses(
                projections=shown, next_cursor=found[-1].name if len(found) == request.limit else None
            )

        return await self._db.read(look)

    async def status(self, call: Call, request: contract.Named) -> contract.Status:
        return await self._db.read(lambda tx: _status(tx, saving.load(tx, call.environment, request.name)))

    async def partitions(self, call: Call, request: contract.ListPartitions) -> contract.Partitions:
        def look(tx: Tx) -> contract.Partitions:
            found = saving.load(tx, call.environment, request.name)
            keys = store.partitions_after(tx, found.generation, request.q, request.cursor, request.limit)
            more = keys[-1] if len(keys) == request.limit else None
            return contract.Partitions(partitions=keys, returned=len(keys), next_cursor=more)

        return await self._db.read(look)

    async def events(self, call: Call, request: contract.ReadEvents) -> contract.EventsRead:
        call.require("events:read")

        def look(tx: Tx) -> contract.EventsRead:
            found = saving.load(tx, call.environment, request.name)
            # No generation: nothing counts as saved.
            every = Feed("", request.after, until=request.until)
            partition = request.partition or None
            read = feeding.next_events(tx, found, every, request.after, request.limit, partition=partition)
            return contract.EventsRead(
                events=[feeding.event_message(each) for each in read.events], searched=read.searched, head=head(tx)
            )

        return await self._db.read(look)

    # Pausing and deleting.

    async def pause(self, call: Call, request: contract.Named) -> contract.StatusChanged:
        return await self._change(call, request.name, lambda found: replace(found, paused=True, updated_at=call.now))

    async def resume(self, call: Call, request: contract.Named) -> contract.StatusChanged:
        return await self._change(call, request.name, lambda found: rules.decide_resumed(found, call.now))

    async def unregister(self, call: Call, request: contract.Named) -> None:
        await self.delete(call, request)

    async def delete(self, call: Call, request: contract.Named) -> contract.StatusChanged:
        def change(tx: Tx) -> contract.StatusChanged:
            found, rebuild = saving.load_with_rebuild(tx, call.environment, request.name, to_write=True)
            for generation in {found.generation, rebuild.generation if rebuild else found.generation}:
                store.drop_generation(tx, generation, call.now)
            store.delete(tx, call.environment, request.name)
            tx.notify(TOPIC, notify_key(call.environment, request.name))
            return contract.StatusChanged(status="deleted")

        return await self._db.write(change)

    async def _change(
        self, call: Call, name: str, decide: Callable[[ProjectionRow], ProjectionRow]
    ) -> contract.StatusChanged:
        def change(tx: Tx) -> contract.StatusChanged:
            after = decide(saving.load(tx, call.environment, name, to_write=True))
            store.save(tx, after)
            tx.notify(TOPIC, notify_key(call.environment, name))
            return contract.StatusChanged(status=rules.status_of(after))

        return await self._db.write(change)


def held_of(lease: contract.Lease | None) -> Held | None:
    """The lease that a runner names; None for a runner without one."""
    return Held(lease.token, lease.epoch) if lease is not None and lease.token else None


def writer_key(environment: str, name: str, held: Held | None) -> str:
    """The notification key for refused saves of a runner. Runners without a lease share one."""
    return f"{notify_key(environment, name)}/{held.token if held else ''}"


def _generation_of(projection: ProjectionRow, rebuild: RebuildRow | None, partition: str) -> str:
    """Where a runner finds the state of a partition that it goes on from."""
    if rebuild is None or rebuild.partition_key not in (None, partition):
        return projection.generation
    return rebuild.generation


def _status(tx: Tx, projection: ProjectionRow, count_max: int | None = None) -> contract.Status:
    counted = count(tx, feeding.filter_of(projection), projection.cursor, head(tx), count_max or COUNT_MAX)
    return messages.status_message(projection, store.rebuild(tx, projection.rebuild_id), counted.records)
