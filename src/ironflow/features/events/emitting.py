"""The hot path of emit: events, runs and jobs of one commit, for all emits that wait for it.

An append to an entity's stream is an emit that takes the stream's next version.
"""

from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from ironflow.base.errors import IronflowError
from ironflow.base.ids import Ids
from ironflow.base.json import read_json
from ironflow.base.time import Millis
from ironflow.features.debounces import in_tx as debounces
from ironflow.features.events.contract import CannotWait
from ironflow.features.events.rules import ANY_VERSION, decide_append
from ironflow.features.functions.contract import FunctionNotActive, FunctionNotFound
from ironflow.features.functions.index import FunctionIndex, Startable
from ironflow.features.runs.creation import Creation, creation
from ironflow.features.runs.ledger import Ledger
from ironflow.features.schemas.enforcing import SchemaGuard
from ironflow.log import heads
from ironflow.log.dedup import FirstAnswer, Place, first_answers, is_repeat, release_keys, save_answers
from ironflow.log.heads import Stream
from ironflow.log.record import Record
from ironflow.storage.port import Tx


class Emission(NamedTuple):
    """An event to append and what it starts.

    function_id: only this one, whatever the triggers. expected_version: of the entity's stream, for an append to it.
    imported: from another log. Its key, its schema and its place in a stream are history, and not looked at.
    """

    record: Record
    now: Millis
    function_id: str = ""
    waited_for: bool = False
    expected_version: int = ANY_VERSION
    imported: bool = False


class Answer(NamedTuple):
    """entity_version: of the event in its entity's stream, if it is in one."""

    event_id: str
    run_ids: list[str]
    entity_version: int | None = None


class Emitter:
    """Applies emissions in a transaction. Made once: its `apply` is the function that commits gather items for."""

    def __init__(self, index: FunctionIndex, ledger: Ledger, ids: Ids, schemas: SchemaGuard) -> None:
        self._index = index
        self._ledger = ledger
        self._ids = ids
        self._schemas = schemas

    def apply(self, tx: Tx, emissions: list[Emission]) -> list[Answer | IronflowError]:
        """Appends the events and creates their runs; each emission gets its answer or its own refusal."""
        self._index.refresh(tx)
        first = self._first_answers(tx, emissions)
        streams = _Streams(tx, emissions)
        unfit = self._schemas.refusals(tx, [each.record for each in emissions if not each.imported])
        answers: list[Answer | IronflowError] = []
        records: list[Record] = []
        creations: list[Creation] = []
        new_keys: dict[Place, FirstAnswer] = {}
        refused: list[Place] = []
        for emission in emissions:
            place = _place(emission)
            known = new_keys.get(place) or first.get(place) if place else None
            if known is not None and is_repeat(known.created_at, emission.now):
                answers.append(Answer(known.event_id, known.run_ids, known.entity_version))
                continue
            try:
                if emission.record.id in unfit:
                    raise unfit[emission.record.id]
                functions = self._functions(emission)
                record = streams.placed(emission)
            except IronflowError as refusal:
                answers.append(refusal)
                if place:
                    refused.append(place)
                continue
            run_ids: list[str] = []
            for function in functions:
                if function.debounce is not None and not emission.function_id:
                    debounces.arm(tx, self._ids, function, function.debounce, record)
                    continue
                created = creation(self._ids.new("run"), function, record)
                creations.append(created)
                run_ids.append(created.command.run_id)
            records.append(record)
            answers.append(Answer(record.id, run_ids, record.entity_version))
            if place:
                new_keys[place] = FirstAnswer(record.id, run_ids, emission.now, record.entity_version)
        if new_keys:
            save_answers(tx, new_keys)
        if refused:
            # A key that was refused to one and then taken by another of the same commit is saved by now.
            release_keys(tx, refused)
        streams.save(tx)
        if not records:
            return answers
        self._ledger.start(tx, creations, records, emissions[-1].now)
        return answers

    def _first_answers(self, tx: Tx, emissions: list[Emission]) -> dict[Place, FirstAnswer]:
        places = [place for emission in emissions if (place := _place(emission)) is not None]
        return first_answers(tx, list(dict.fromkeys(places))) if places else {}

    def _functions(self, emission: Emission) -> list[Startable]:
        record = emission.record
        if emission.function_id:
            function = self._index.get(record.environment, emission.function_id)
            return [_invocable(function, emission.function_id, record.environment)]
        decoded: list[Any] = []

        def data() -> Any:
            if not decoded:
                decoded.append(read_json(record.data))
            return decoded[0]

        about = {"id": record.id, "source": record.source, "namespace": record.namespace}
        if record.metadata is not None:
            about["metadata"] = msgspec.json.decode(record.metadata)
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

        Raises VersionConflict, EntityTypeConflict, InvalidEntity.
        """
        record = emission.record
        if record.kind != "entity" or emission.imported:
            return record
        stream = _stream(record)
        head = decide_append(self._after[stream], record.entity_type or "", emission.expected_version, emission.now)
        self._after[stream] = head
        return replace(record, entity_type=head.entity_type, entity_version=head.version)

    def save(self, tx: Tx) -> None:
        heads.save(tx, self._before, self._after)


def _stream(record: Record) -> Stream:
    return (record.environment, record.entity_id or "")


def _place(emission: Emission) -> Place | None:
    """Where the emission's idempotency key is remembered, None without a key."""
    record = emission.record
    if record.idempotency_key is None or emission.imported:
        return None
    if record.kind == "entity":
        return (record.environment, f"append:{record.entity_id}", record.idempotency_key)
    scope = f"invoke:{emission.function_id}" if emission.function_id else "emit"
    return (record.environment, scope, record.idempotency_key)


def _invocable(function: Startable | None, function_id: str, environment: str) -> Startable:
    if function is None:
        raise FunctionNotFound(f"There is no function {function_id!r} in environment {environment!r}.")
    if function.status != "active":
        raise FunctionNotActive(f"Function {function_id!r} is {function.status}. Set its status to active first.")
    return function
