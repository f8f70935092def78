"""What happens: appending, reading, history with the runs that events started, and snapshots."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.entity_streams import is_state_event
from ironflow.base.errors import IronflowError
from ironflow.base.ids import Ids
from ironflow.base.json import NULL, json_text, to_json
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.features.entities import in_tx as entities
from ironflow.features.events.in_tx import (
    Answer,
    Emission,
    Emitter,
    InvalidEvent,
    StreamDeleted,
    check_entity,
    check_not_deleted,
    delete_unneeded,
    record_of,
    tombstone,
)
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.keys import in_tx as keys
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.runs.in_tx import RunRepository
from ironflow.features.streams import contract, messages, rules, store
from ironflow.log.dedup import is_used
from ironflow.log.heads import Head
from ironflow.log.holds import Hold
from ironflow.log.record import Record
from ironflow.storage.port import Database, Tx

# Clients compare the whole text. Source: protocol/connectrpc.md 3.
NOT_FOUND = "stream not found"
PAGE = 256
STEPS_SHOWN_MAX = 100
# Small, so that appends get their turn in between.
PURGE_BATCH = 200


class Limits(NamedTuple):
    """event_bytes, state_bytes: the largest accepted. snapshots_kept: of each entity, 0 for all."""

    event_bytes: int
    state_bytes: int
    snapshots_kept: int


class _Wanted(NamedTuple):
    """Which events of a stream. from_version: 0 for the end to begin at. limit, since, until: 0 for no matter."""

    environment: str
    entity_id: str
    from_version: int
    limit: int
    backward: bool = False
    since: Millis = 0
    until: Millis = 0


class Streams:
    """The streams feature. An append is an emit that takes its stream's next version: it goes the emitter's way."""

    def __init__(
        self, db: Database, emitter: Emitter, index: FunctionIndex, ids: Ids, limits: Limits, holds: Sequence[Hold]
    ) -> None:
        self._db = db
        self._holds = holds
        self._emitter_apply = emitter.apply
        self._index = index
        self._ids = ids
        self._limits = limits

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.append: self.append,
            contract.append_many: self.append_many,
            contract.read: self.read,
            contract.info: self.info,
            contract.list_: self.list_,
            contract.history: self.history,
            contract.flat_history: self.flat_history,
            contract.create_snapshot: self.create_snapshot,
            contract.get_snapshot: self.get_snapshot,
            contract.delete: self.delete,
            contract.of_run: self.of_run,
        }

    async def append(self, call: Call, request: contract.AppendEvent) -> contract.Appended:
        emission = await self._emission(call, request, request.idempotency_key)
        return _appended(await self._db.write_many(self._emitter_apply, emission))

    async def append_many(self, call: Call, request: contract.AppendMany) -> contract.AppendedMany:
        rules.check_appends(request.appends)
        emissions: list[Emission] = []
        for index, each in enumerate(request.appends):
            try:
                # A policy for some entities or events holds for each event as for a single append.
                call.authorise(call, contract.append.scope, each)
                emission = await self._emission(call, each, request.idempotency_key)
            except IronflowError as refusal:
                raise rules.refusal_of_append(index, each, refusal) from None
            emissions.append(replace(emission, key_scope=rules.append_many_scope(index)))

        def change(tx: Tx) -> list[Answer]:
            answers: list[Answer] = []
            for index, answer in enumerate(self._emitter_apply(tx, emissions)):
                if isinstance(answer, IronflowError):
                    raise rules.refusal_of_append(index, request.appends[index], answer)
                answers.append(answer)
            if request.idempotency_key:
                next_scope = rules.append_many_scope(len(answers))
                goes_on = is_used(tx, (call.environment, next_scope, request.idempotency_key), call.now)
                rules.check_same_appends([each.duplicate for each in answers], goes_on, request.idempotency_key)
            return answers

        return contract.AppendedMany(appended=[_appended(each) for each in await self._db.write(change)])

    async def _emission(
        self, call: Call, request: contract.AppendEvent | contract.StreamAppend, idempotency_key: str
    ) -> Emission:
        """Raises InvalidEntity, InvalidEvent, EventTooLarge, InvalidIdempotencyKey."""
        check_entity(request.entity_id, request.entity_type, request.expected_version)
        await self._check_not_reserved(call.environment, request.entity_id, request.event_name)
        event = record_of(
            event_id=self._ids.new("evt"),
            environment=call.environment,
            name=request.event_name,
            data=request.data,
            metadata=request.metadata,
            version=request.version,
            namespace="default",
            idempotency_key=idempotency_key,
            run_id=call.run_id,
            emitted_by=call.principal.name,
            data_bytes_max=self._limits.event_bytes,
            now=call.now,
            entity=(request.entity_id, request.entity_type),
            trace=call.trace,
        )
        return Emission(event, call.now, expected_version=request.expected_version)

    async def _check_not_reserved(self, environment: str, entity_id: str, name: str) -> None:
        """Raises InvalidEvent for an event by which only the handlers of an entity change its state."""
        if not is_state_event(entity_id, name):
            return
        if await self._db.peek(lambda tx: entities.is_reserved(tx, self._index, environment, entity_id, name)):
            raise InvalidEvent(
                f"Event {name!r} of stream {entity_id!r} carries the state of an entity: its handlers alone append it. "
                "Call one of them, or append an event of another name."
            )

    async def read(self, call: Call, request: contract.ReadStream) -> contract.StreamEvents:
        wanted = _Wanted(
            environment=call.environment,
            entity_id=request.entity_id,
            from_version=request.from_version,
            limit=request.limit,
            backward=rules.check_direction(request.direction),
        )

        # The messages are made where the rows are read: many of them would keep the event loop from others.
        def look(tx: Tx) -> contract.StreamEvents:
            head, found, more = _with_head(tx, wanted)
            return contract.StreamEvents(
                events=[messages.event_message(each) for each in found],
                total_count=head.event_count if head is not None else 0,
                next_version=more,
            )

        return await self._db.read(look)

    async def info(self, call: Call, request: contract.GetStreamInfo) -> contract.StreamInfo:
        head = await self._db.peek(lambda tx: store.head(tx, call.environment, request.entity_id))
        if head is None:
            raise contract.StreamNotFound(NOT_FOUND)
        return messages.info_message(head)

    async def list_(self, call: Call, request: contract.ListStreams) -> contract.Streams:
        limit = request.limit or rules.LIST_DEFAULT

        def look(tx: Tx) -> tuple[list[Head], int]:
            asked = (call.environment, request.entity_type, request.search, request.deleted)
            # One more than asked shows whether there is a next page.
            page = store.list_heads(tx, *asked, request.cursor, limit + 1, request.offset)
            return page, store.count_heads(tx, *asked)

        found, total = await self._db.read(look)
        page = found[:limit]
        return contract.Streams(
            streams=[messages.info_message(head) for head in page],
            total_count=total,
            next_cursor=page[-1].entity_id if len(found) > limit else None,
        )

    async def history(self, call: Call, request: contract.GetEntityHistory) -> contract.EntityHistory:
        # Each entry shows the runs that its event started, with their steps.
        call.require("runs:read")
        wanted = _Wanted(
            environment=call.environment,
            entity_id=request.entity_id,
            from_version=request.from_version,
            limit=request.limit or rules.HISTORY_DEFAULT,
            backward=rules.check_direction(request.direction),
            since=to_millis(request.from_timestamp) if request.from_timestamp else 0,
            until=to_millis(request.to_timestamp) if request.to_timestamp else 0,
        )

        def look(tx: Tx) -> contract.EntityHistory:
            head, found, more = _with_head(tx, wanted)
            runs = RunRepository.started_by(tx, [each.id for each in found])
            with_steps = [run.id for started in runs.values() for run in started if run.step_count]
            steps = RunRepository.first_steps(tx, with_steps, STEPS_SHOWN_MAX)
            return contract.EntityHistory(
                entries=[messages.entry_message(each, runs.get(each.id, []), steps) for each in found],
                next_cursor=more,
                total_events=head.event_count if head is not None else 0,
                info=messages.history_info(head) if head is not None else None,
            )

        return await self._db.read(look)

    async def flat_history(self, call: Call, request: contract.GetFlatHistory) -> contract.FlatHistory:
        wanted = _Wanted(call.environment, request.entity_id, request.from_version, request.limit)

        def look(tx: Tx) -> contract.FlatHistory:
            _, found, more = _with_head(tx, wanted)
            return contract.FlatHistory(
                events=[messages.flat_message(each) for each in found],
                entries=[messages.line_message(each) for each in found],
                next_version=more,
            )

        return await self._db.read(look)

    async def create_snapshot(self, call: Call, request: contract.CreateSnapshot) -> contract.SnapshotCreated:
        rules.check_state_bytes(len(bytes(request.state)), self._limits.state_bytes)
        snapshot = store.SnapshotRow(
            id=self._ids.new("snap"),
            entity_version=request.entity_version,
            state=json_text(request.state) or "null",
            created_at=call.now,
        )

        def change(tx: Tx) -> None:
            head = store.head(tx, call.environment, request.entity_id)
            if head is None:
                raise contract.StreamNotFound(NOT_FOUND)
            check_not_deleted(head)
            rules.check_snapshot(head, request.entity_type, request.entity_version)
            if not store.add_snapshot(tx, call.environment, request.entity_id, snapshot):
                raise contract.SnapshotExists(
                    f"Entity {request.entity_id[:80]!r} has a snapshot of version {request.entity_version} already."
                )
            if self._limits.snapshots_kept:
                store.drop_old_snapshots(tx, call.environment, request.entity_id, self._limits.snapshots_kept)

        await self._db.write(change)
        return contract.SnapshotCreated(snapshot_id=snapshot.id)

    async def get_snapshot(self, call: Call, request: contract.GetSnapshot) -> contract.Snapshot:
        last = request.before_version or rules.NEWEST

        def look(tx: Tx) -> tuple[Head | None, store.SnapshotRow | None]:
            head = store.head(tx, call.environment, request.entity_id)
            return head, store.snapshot(tx, call.environment, request.entity_id, last)

        head, found = await self._db.peek(look)
        if head is None or found is None:
            at = f" at or below version {request.before_version}" if request.before_version else ""
            raise contract.SnapshotNotFound(f"There is no snapshot of entity {request.entity_id[:80]!r}{at}.")
        return contract.Snapshot(
            snapshot_id=found.id,
            entity_id=head.entity_id,
            entity_type=head.entity_type,
            entity_version=found.entity_version,
            state=to_json(found.state) or NULL,
            created_at=to_datetime(found.created_at),
        )

    async def delete(self, call: Call, request: contract.DeleteStream) -> contract.DeletedStream:
        """Safe to repeat; a purge goes on where an earlier one ended, in transactions of a few events."""
        last = tombstone(
            self._ids.new("evt"),
            call.environment,
            request.entity_id,
            request.reason,
            call.principal.name,
            call.now,
        )

        def end(tx: Tx) -> Head:
            if store.head(tx, call.environment, request.entity_id) is None:
                raise contract.StreamNotFound(NOT_FOUND)
            (answer,) = self._emitter_apply(tx, [Emission(last, call.now)])
            if isinstance(answer, IronflowError) and not isinstance(answer, StreamDeleted):
                raise answer
            drop_kept(tx, call.environment, request.entity_id)
            head = store.head(tx, call.environment, request.entity_id)
            if head is None:
                raise contract.StreamNotFound(NOT_FOUND)
            return head

        head = await self._db.write(end)
        deleted = contract.DeletedStream(entity_id=head.entity_id, entity_version=head.version)
        after: int | None = 0 if request.purge else None
        while after is not None:
            removed, kept, after = await self._db.write(lambda tx, after=after: self._purge(tx, head, after))
            deleted.purged += removed
            deleted.kept += kept
        return deleted

    def _purge(self, tx: Tx, head: Head, after: int) -> tuple[int, int, int | None]:
        """How many of the next events were removed, how many not, and the version to go on after; None at the end."""
        found = store.events_below(tx, head, after, PURGE_BATCH)
        removed = delete_unneeded(tx, found, self._holds)
        store.count_fewer(tx, head, removed)
        more = found[-1].entity_version if len(found) == PURGE_BATCH else None
        return removed, len(found) - removed, more

    async def of_run(self, call: Call, request: contract.GetRunStreams) -> contract.RunStreams:
        def look(tx: Tx) -> list[str]:
            run_id = keys.run_id_of(tx, call.environment, request.run_id)
            run = RunRepository.look(tx, [run_id]).get(run_id)
            if run is None or run.environment != call.environment:
                raise RunNotFound(
                    f"There is no run {request.run_id[:80]!r} in environment {call.environment!r}.",
                    run_id=request.run_id,
                )
            return store.entities_of_run(tx, call.environment, run_id, request.cursor, request.limit + 1)

        found = await self._db.read(look)
        page = found[: request.limit]
        return contract.RunStreams(entity_ids=page, next_cursor=page[-1] if len(found) > request.limit else None)


def drop_kept(tx: Tx, environment: str, entity_id: str) -> None:
    """What is kept of a stream beside its events goes: it was deleted."""
    store.drop_snapshots(tx, environment, entity_id)
    entities.delete(tx, environment, entity_id)


def _appended(answer: Answer) -> contract.Appended:
    return contract.Appended(
        entity_version=answer.entity_version or 0,
        event_id=answer.event_id,
        sequence=answer.position,
        run_ids=answer.run_ids,
        duplicate=answer.duplicate or None,
    )


def _with_head(tx: Tx, wanted: _Wanted) -> tuple[Head | None, list[Record], int | None]:
    """The stream's head, the events wanted, and the version to go on from; None at the end. Raises AnswerTooLarge."""
    head = store.head(tx, wanted.environment, wanted.entity_id)
    if head is None:
        return None, [], None
    # One more than asked shows whether there is a next page.
    limit = wanted.limit + 1 if wanted.limit else rules.NEWEST
    first, last = wanted.from_version, rules.NEWEST
    if wanted.backward:
        first, last = 0, wanted.from_version or rules.NEWEST
    found: list[Record] = []
    size = 0
    while len(found) < limit:
        asked = min(PAGE, limit - len(found))
        page = store.events(
            tx,
            wanted.environment,
            wanted.entity_id,
            first=first,
            last=last,
            backward=wanted.backward,
            limit=asked,
            since=wanted.since,
            until=wanted.until,
        )
        found += page
        size += rules.answer_bytes(page)
        rules.check_answer_bytes(size, len(found))
        if len(page) < asked:
            break
        at = page[-1].entity_version or 0
        first, last = (first, at - 1) if wanted.backward else (at + 1, last)
    if wanted.limit and len(found) > wanted.limit:
        return head, found[:-1], found[-1].entity_version
    return head, found, None
