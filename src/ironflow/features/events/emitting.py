"""The hot path of emit: events, runs and jobs of one commit, for all emits that wait for it.

An append to an entity's stream is an emit that takes the stream's next version.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from ironflow.base.errors import Aborted, IronflowError, VersionConflict
from ironflow.base.ids import Ids
from ironflow.base.json import read_json
from ironflow.base.run_keys import IfRunning, RunKeyHeld
from ironflow.base.time import Millis
from ironflow.features.debounces import in_tx as debounces
from ironflow.features.events.contract import CannotWait, IdempotencyKeyReused, InvalidEntity
from ironflow.features.events.notices import Appended
from ironflow.features.events.rules import ANY_VERSION, TOMBSTONE, decide_append, difference_from_first
from ironflow.features.functions.contract import FunctionNotActive, FunctionNotFound
from ironflow.features.functions.in_tx import FunctionIndex, Startable
from ironflow.features.keys.in_tx import held_text
from ironflow.features.runs.in_tx import Claims, Creation, Inheritance, RunRepository, creation
from ironflow.features.schemas.in_tx import SchemaGuard
from ironflow.log import heads
from ironflow.log.dedup import FirstAnswer, Place, first_answers, is_repeat, release_keys, save_answers
from ironflow.log.heads import Stream
from ironflow.log.read import records as stored_records
from ironflow.log.record import Record
from ironflow.storage.port import Tx


class Emission(msgspec.Struct, frozen=True):
    """An event to append and what it starts.

    function_id: only this one, whatever the triggers. expected_version: of the entity's stream, for an append to it.
    key, if_running, entity_key: of a run that is started with function_id.
    imported: from another log. Its key, its schema and its place in a stream are history, and not looked at.
    key_scope: where the idempotency key is unique, instead of among the events of its name.
    """

    record: Record
    now: Millis
    function_id: str = ""
    waited_for: bool = False
    expected_version: int = ANY_VERSION
    imported: bool = False
    key_scope: str = ""
    key: str = ""
    if_running: IfRunning = ""
    entity_key: str = ""


class Answer(msgspec.Struct):
    """entity_version: of the event in its entity's stream, if it is in one. position: of the event in the log, 0 until
    it is appended.

    duplicate: the idempotency key was used before, and this is what the first emission was answered.
    payload_differs: the first emission with the key carried other data. False where its data is not kept any more.
    woken_run_ids: the runs that waited for the event; of the first emission only. existing: a run had the key already,
    and no other was started.
    """

    event_id: str
    run_ids: list[str]
    entity_version: int | None = None
    position: int = 0
    duplicate: bool = False
    payload_differs: bool = False
    woken_run_ids: Sequence[str] = ()
    existing: bool = False


class Emitter:
    """Applies emissions in a transaction. Made once: its `apply` is the function that commits gather items for."""

    def __init__(
        self,
        index: FunctionIndex,
        repository: RunRepository,
        ids: Ids,
        schemas: SchemaGuard,
        inheritance: Inheritance,
    ) -> None:
        self._index = index
        self._repository = repository
        self._ids = ids
        self._schemas = schemas
        self._inheritance = inheritance

    def apply(self, tx: Tx, emissions: list[Emission]) -> list[Answer | IronflowError]:
        """Appends the events and creates their runs; each emission gets its answer or its own refusal."""
        self._index.refresh(tx)
        if self._inheritance.keys:
            emissions = self._inheriting(tx, emissions)
        places = [_place(emission) for emission in emissions]
        first = _first_answers(tx, places)
        streams = _Streams(tx, emissions)
        unfit = self._schemas.refusals(tx, [each.record for each in emissions if not each.imported])
        answers: list[Answer | FirstAnswer | IronflowError] = []
        records: list[Record] = []
        creations: list[Creation] = []
        new_keys: dict[Place, FirstAnswer] = {}
        refused: list[Place] = []
        claims = Claims(tx)
        for emission, place in zip(emissions, places, strict=True):
            known = new_keys.get(place) or first.get(place) if place else None
            if known is not None and is_repeat(known.created_at, emission.now):
                answers.append(known)
                continue
            try:
                if emission.record.id in unfit:
                    raise unfit[emission.record.id]
                functions = self._functions(emission)
                record = streams.placed(emission)
                answer = Answer(record.id, [], record.entity_version)
                starts = self._starts(tx, emission, functions, record, answer, claims) if functions else ()
            except IronflowError as refusal:
                # A run key that changed meanwhile: everything of this commit is tried again.
                if isinstance(refusal, Aborted) and not isinstance(refusal, VersionConflict):
                    raise
                answers.append(refusal)
                if place:
                    refused.append(place)
                continue
            creations += starts
            records.append(record)
            answers.append(answer)
            if place:
                new_keys[place] = FirstAnswer(record.id, answer.run_ids, emission.now, record.entity_version)
        if new_keys:
            save_answers(tx, new_keys)
        if refused:
            # A key that was refused to one and then taken by another of the same commit is saved by now.
            release_keys(tx, refused)
        streams.save(tx)
        if not records:
            return _complete(tx, emissions, answers, [], {})
        tx.publish_local(Appended(records))
        # The repository appends the records after it has written the new runs, for positions are held until the commit,
        # and before it looks for waits that the events end.
        woken: dict[str, list[str]] = {}
        placed = self._repository.start(tx, creations, records, emissions[-1].now, woken, claims)
        return _complete(tx, emissions, answers, placed, woken)

    def _inheriting(self, tx: Tx, emissions: list[Emission]) -> list[Emission]:
        """With the metadata that events of runs inherit. What an import brings has its own."""
        fresh = iter(self._inheritance.applied(tx, [each.record for each in emissions if not each.imported]))
        return [each if each.imported else replace(each, record=next(fresh)) for each in emissions]

    def _starts(
        self,
        tx: Tx,
        emission: Emission,
        functions: list[Startable],
        record: Record,
        answer: Answer,
        claims: Claims,
    ) -> list[Creation]:
        """The runs that the event starts; the answer gets their ids. Raises RunKeyHeld for a run that is started by
        itself."""
        starts: list[Creation] = []
        for function in functions:
            if function.debounce is not None and not emission.function_id:
                debounces.arm(tx, self._ids, function, function.debounce, record)
                continue
            created = creation(self._ids.new("run"), function, record, key=emission.key, entity_key=emission.entity_key)
            claimed = claims.claim(created, emission.if_running or function.if_running)
            if claimed.starts:
                starts.append(created)
            elif claimed.claim == "refused":
                if emission.function_id:
                    raise RunKeyHeld(held_text(function.id, created.command.key or "", claimed.run_id))
                # The event is recorded all the same: it may start other functions.
                continue
            else:
                answer.existing = True
            answer.run_ids.append(claimed.run_id)
        return starts

    def _functions(self, emission: Emission) -> list[Startable]:
        record = emission.record
        if record.name == TOMBSTONE:
            return []
        if emission.function_id:
            function = self._index.get(record.environment, emission.function_id)
            function = _invocable(function, emission.function_id, record.environment)
            if emission.entity_key and function.entity is None:
                raise InvalidEntity(f"Function {function.id!r} is no handler of an entity: it takes no entity_key.")
            return [function]
        decoded: list[Any] = []

        def data() -> Any:
            if not decoded:
                decoded.append(read_json(record.data))
            return decoded[0]

        def about() -> dict[str, Any]:
            known: dict[str, Any] = {"id": record.id, "source": record.source, "namespace": record.namespace}
            if record.metadata is not None:
                known["metadata"] = msgspec.json.decode(record.metadata)
            return known

        found = self._index.started_by(record.environment, record.name, data, about)
        if not found and record.kind == "event":
            # Browser clients invoke a function by emitting its id.
            named = self._index.get(record.environment, record.name)
            found = [named] if named is not None and named.status == "active" else []
        if emission.waited_for and any(function.debounce for function in found):
            raise CannotWait()
        return found


class _Streams:
    """The streams that one transaction appends to, held until its commit."""

    def __init__(self, tx: Tx, emissions: list[Emission]) -> None:
        records = [each.record for each in emissions if each.record.kind == "entity" and not each.imported]
        self._before = heads.hold(tx, map(_stream, records), records[0].created_at) if records else {}
        self._after = dict(self._before)

    def placed(self, emission: Emission) -> Record:
        """The emission's record, of an entity's stream with its version there.

        Raises VersionConflict, EntityTypeConflict, InvalidEntity, StreamDeleted.
        """
        record = emission.record
        if record.kind != "entity" or emission.imported:
            return record
        stream = _stream(record)
        head = decide_append(
            self._after[stream],
            record.entity_type or "",
            emission.expected_version,
            emission.now,
            tombstone=record.name == TOMBSTONE,
        )
        self._after[stream] = head
        return replace(record, entity_type=head.entity_type, entity_version=head.version)

    def save(self, tx: Tx) -> None:
        heads.save(tx, self._before, self._after)


def _complete(
    tx: Tx,
    emissions: Sequence[Emission],
    answers: Sequence[Answer | FirstAnswer | IronflowError],
    placed: Sequence[Record],
    woken: Mapping[str, Sequence[str]],
) -> list[Answer | IronflowError]:
    """The answers with positions. A repetition is compared with the event that its key was first used for."""
    recorded: dict[str, Record] = {}
    if earlier := [each.event_id for each in answers if isinstance(each, FirstAnswer)]:
        recorded = {record.id: record for record in placed}
        recorded |= stored_records(tx, [event_id for event_id in earlier if event_id not in recorded])
    complete: list[Answer | IronflowError] = []
    appended = iter(placed)
    for emission, answer in zip(emissions, answers, strict=True):
        match answer:
            case Answer():
                answer.position = next(appended).position
                answer.woken_run_ids = woken.get(answer.event_id, ())
                complete.append(answer)
            case FirstAnswer():
                complete.append(_repeated(emission, answer, recorded.get(answer.event_id)))
            case _:
                complete.append(answer)
    return complete


def _repeated(emission: Emission, known: FirstAnswer, first: Record | None) -> Answer | IronflowError:
    """What a repetition is answered. first: the event of the first emission; None when retention removed it."""
    position = first.position if first is not None else 0
    difference = difference_from_first(first, emission.record) if first is not None else ""
    if difference and emission.record.kind == "entity":
        return IdempotencyKeyReused(
            f"The idempotency key {emission.record.idempotency_key!r} was used for the append of event "
            f"{known.event_id!r}, which has another {difference}. Nothing was appended. Send another key for another "
            "event, or the same name and data to get the first answer again."
        )
    return Answer(known.event_id, known.run_ids, known.entity_version, position, True, bool(difference))


def _stream(record: Record) -> Stream:
    return (record.environment, record.entity_id or "")


def _first_answers(tx: Tx, places: Sequence[Place | None]) -> dict[Place, FirstAnswer]:
    taken = list(dict.fromkeys(place for place in places if place is not None))
    return first_answers(tx, taken) if taken else {}


def _place(emission: Emission) -> Place | None:
    """Where the emission's idempotency key is remembered, None without a key."""
    record = emission.record
    if record.idempotency_key is None or emission.imported:
        return None
    if emission.key_scope:
        return (record.environment, emission.key_scope, record.idempotency_key)
    if record.kind == "entity":
        return (record.environment, f"append:{record.entity_id}", record.idempotency_key)
    scope = f"invoke:{emission.function_id}" if emission.function_id else f"emit:{record.name}"
    return (record.environment, scope, record.idempotency_key)


def _invocable(function: Startable | None, function_id: str, environment: str) -> Startable:
    if function is None:
        raise FunctionNotFound(
            f"There is no function {function_id!r} in environment {environment!r}.", function_id=function_id
        )
    if function.status != "active":
        raise FunctionNotActive(f"Function {function_id!r} is {function.status}. Set its status to active first.")
    return function
