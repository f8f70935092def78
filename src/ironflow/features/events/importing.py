"""Events of another log are added to this one: with their ids and times, once, in the order given."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.base.json import Json
from ironflow.base.spelling import reader
from ironflow.base.time import to_millis
from ironflow.features.events import contract, rules
from ironflow.features.events.contract import ImportRefused
from ironflow.features.events.emitting import Answer, Emission
from ironflow.log import heads
from ironflow.log.append import append
from ironflow.log.heads import Head, Stream
from ironflow.log.read import lock_head, records
from ironflow.log.record import Record
from ironflow.storage.port import Tx

# Drops what a feature keeps of a stream, given its environment and id: it was deleted.
DropOf = Callable[[Tx, str, str], None]
Apply = Callable[[Tx, list[Emission]], Sequence[Answer | IronflowError]]


class StreamEnds:
    """The end of streams that are deleted by an import. others: of features that know this one."""

    def __init__(self) -> None:
        self.others: list[DropOf] = []

    def drop_of(self, tx: Tx, record: Record) -> None:
        """record: an event that was imported; nothing is done unless it ends its stream."""
        if record.kind == "entity" and record.name == rules.TOMBSTONE and record.entity_id:
            for drop in self.others:
                drop(tx, record.environment, record.entity_id)


def imported_records(call: Call, items: Sequence[Json], data_bytes_max: int) -> list[Record]:
    """What the items say. Raises ImportRefused naming the first that cannot be an event."""
    found: list[Record] = []
    for index, item in enumerate(items):
        try:
            found.append(_record(call, reader(contract.ImportedEvent).read(item), data_bytes_max))
        except IronflowError as refusal:
            raise refused(index, refusal.message) from None
    return found


def bring_in(tx: Tx, emit: Apply | None, found: Sequence[Record], call: Call, ends: StreamEnds) -> contract.Imported:
    """Adds the records that are not here yet. emit: starts runs with them; None only records them.

    Raises ImportRefused for an id of another environment, and for an event that does not fit its entity's stream.
    """
    streams = heads.hold(tx, (_stream(each) for each in found if each.kind == "entity"), call.now)
    # No other transaction adds the same ids between the look and the append.
    lock_head(tx)
    here = records(tx, [each.id for each in found])
    after = dict(streams)
    fresh: dict[str, Record] = {}
    for index, record in enumerate(found):
        if record.id in fresh:
            continue
        there = here.get(record.id)
        if there is not None:
            if there.environment != call.environment:
                raise refused(index, f"the id {record.id!r} is that of an event in another environment of this server")
            continue
        if record.kind == "entity":
            after[_stream(record)] = _placed(index, after[_stream(record)], record)
        fresh[record.id] = record
    heads.save(tx, streams, after)
    run_ids: list[str] = []
    if emit is None:
        append(tx, list(fresh.values()))
    elif fresh:
        for answer in emit(tx, [Emission(record, call.now, imported=True) for record in fresh.values()]):
            if isinstance(answer, IronflowError):
                raise answer
            run_ids += answer.run_ids
    for record in fresh.values():
        ends.drop_of(tx, record)
    return contract.Imported(imported=len(fresh), known=len(found) - len(fresh), run_ids=run_ids)


def refused(index: int, reason: str) -> ImportRefused:
    return ImportRefused(
        f"Event {index} of the batch cannot be imported: {reason.rstrip('.')}. None of the batch was.",
        details={"index": index, "reason": reason},
    )


def _record(call: Call, event: contract.ImportedEvent, data_bytes_max: int) -> Record:
    """Raises what record_of raises, InvalidEvent, InvalidEntity."""
    record = rules.record_of(
        event_id=event.id,
        environment=call.environment,
        name=event.name,
        data=event.data,
        metadata=event.metadata,
        version=event.version,
        namespace=event.namespace,
        idempotency_key=event.idempotency_key,
        run_id=event.run_id,
        emitted_by=event.emitted_by,
        data_bytes_max=data_bytes_max,
        now=to_millis(event.timestamp),
        imported=True,
        tombstone_of_import=bool(event.entity_id),
    )
    rules.check_event_id(event.id)
    record = replace(record, source=event.source, imported_at=call.now)
    if not event.entity_id:
        return record
    rules.check_entity(event.entity_id, event.entity_type, rules.ANY_VERSION)
    if not event.entity_type or not event.entity_version:
        raise contract.InvalidEntity("an event of a stream has entity_type and entity_version")
    return replace(
        record,
        kind="entity",
        entity_id=event.entity_id,
        entity_type=event.entity_type,
        entity_version=event.entity_version,
    )


def _placed(index: int, head: Head, record: Record) -> Head:
    """The head after an imported event, which must be the next of its stream. Raises ImportRefused."""
    version = record.entity_version or 0
    if head.deleted_at is not None:
        raise refused(index, f"the stream of {record.entity_id!r} was deleted here")
    if head.version and (version != head.version + 1 or record.entity_type != head.entity_type):
        raise refused(
            index,
            f"it is version {version} of {record.entity_type} {record.entity_id!r}, whose stream here is of type "
            f"{head.entity_type} at version {head.version}",
        )
    return Head(
        environment=head.environment,
        entity_id=head.entity_id,
        entity_type=record.entity_type or "",
        version=version,
        event_count=head.event_count + 1,
        created_at=head.created_at if head.version else record.created_at,
        updated_at=record.created_at,
        deleted_at=record.created_at if record.name == rules.TOMBSTONE else None,
    )


def _stream(record: Record) -> Stream:
    return (record.environment, record.entity_id or "")
