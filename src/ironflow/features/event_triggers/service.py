"""What happens: a batch of recorded events is looked at, and those that the function has not had start its runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.json import read_json
from ironflow.base.redacted import is_redacted
from ironflow.base.time import to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.debounces import in_tx as debounces
from ironflow.features.event_triggers import contract, rules, store
from ironflow.features.event_triggers.rules import Verdict
from ironflow.features.events import contract as events
from ironflow.features.events.in_tx import TOMBSTONE, Found, search
from ironflow.features.functions.in_tx import FunctionIndex, Startable
from ironflow.features.runs.in_tx import Claims, Creation, RunRepository, creation
from ironflow.log.read import records
from ironflow.log.record import Record
from ironflow.storage.port import Database, Tx

# Events looked at in one batch; one that starts fewer runs than asked for goes on with the next.
EVENTS_MAX = 500


class _Batch(NamedTuple):
    """What became of the events looked at. reached: the last position of them."""

    counts: Mapping[str, int]
    run_ids: Sequence[str]
    reached: int
    waiting: bool


class EventTriggers:
    """The feature of triggers of recorded events."""

    def __init__(self, db: Database, index: FunctionIndex, repository: RunRepository, ids: Ids) -> None:
        self._db = db
        self._index = index
        self._repository = repository
        self._ids = ids

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.trigger: self.trigger}

    async def trigger(self, call: Call, request: contract.TriggerRecorded) -> contract.RecordedTriggered:
        call.require(events.list_.scope)
        position = rules.position_of(request.cursor)

        def look(tx: Tx) -> Found:
            function = self._function(tx, call, request)
            patterns = self._index.patterns_of(call.environment, function.id)
            wanted = rules.filter_of(request, patterns, call.environment, call.now)
            return search(tx, wanted, position, EVENTS_MAX, newest_first=False)

        found = await self._db.read(look)
        if request.dry_run:
            batch = await self._db.read(lambda tx: self._count(tx, call, request, found.records))
        elif found.records:
            batch = await self._db.write(lambda tx: self._give(tx, call, request, found.records))
        else:
            batch = _Batch({}, [], found.looked_to, waiting=False)
        stopped = batch.waiting or bool(found.records and batch.reached < found.records[-1].position)
        next_position = batch.reached if stopped else found.looked_to if found.more else None
        return _answer(batch, next_position, to_datetime(rules.until_of(request, call.now)))

    def _give(self, tx: Tx, call: Call, request: contract.TriggerRecorded, looked_at: Sequence[Record]) -> _Batch:
        function = self._function(tx, call, request)
        store.lock(tx, call.environment, function.id)
        unfinished = store.unfinished(tx, call.environment, function.id, request.in_flight)
        capacity = rules.capacity(request.in_flight, unfinished, request.limit)
        if not capacity:
            return _Batch({}, [], looked_at[0].position - 1, waiting=unfinished >= request.in_flight)
        # Retention may have removed one since.
        here = records(tx, [each.id for each in looked_at])
        verdicts = self._verdicts(tx, function, [each for each in looked_at if each.id in here], request.failed)
        taken, reached = _up_to(looked_at, verdicts, capacity)
        counts = Counter(verdicts[each.id] for each in taken if each.id in verdicts)
        wanted = {each.id: self._ids.new("run") for each in taken if verdicts.get(each.id) == "start"}
        fresh = store.give(tx, call.environment, function.id, wanted, call.now)
        counts["known"] += len(wanted) - len(fresh)
        given = [(here[event_id], run_id) for event_id, run_id in wanted.items() if event_id in fresh]
        run_ids = self._start(tx, call, function, given)
        counts["start"] = len(run_ids)
        refused = {event.id for event, run_id in given if run_id not in run_ids}
        store.take_back(tx, call.environment, function.id, refused)
        counts["refused"] = len(refused)
        if run_ids:
            _note(tx, call, request, function, taken, len(run_ids))
        full = unfinished + len(run_ids) >= request.in_flight and reached < looked_at[-1].position
        return _Batch(counts, run_ids, reached, waiting=full)

    def _count(self, tx: Tx, call: Call, request: contract.TriggerRecorded, looked_at: Sequence[Record]) -> _Batch:
        function = self._function(tx, call, request)
        verdicts = self._verdicts(tx, function, looked_at, request.failed)
        return _Batch(Counter(verdicts.values()), [], looked_at[-1].position if looked_at else 0, waiting=False)

    def _function(self, tx: Tx, call: Call, request: contract.TriggerRecorded) -> Startable:
        self._index.refresh(tx)
        function = self._index.get(call.environment, request.function_id)
        return rules.check_startable(function, request.function_id, call.environment)

    def _verdicts(self, tx: Tx, function: Startable, looked_at: Sequence[Record], failed: bool) -> dict[str, Verdict]:
        """What becomes of each event, by its id."""
        ids = [each.id for each in looked_at]
        # An event that a debounce gathers starts a run of its own accord.
        given = store.given(tx, function.environment, function.id, ids) | debounces.gathered_of(tx, function.id, ids)
        started = RunRepository.started_by(tx, ids) if ids else {}
        return {
            each.id: rules.decide_trigger(
                matches=self._matches(function, each),
                redacted=is_redacted(each.data),
                given=each.id in given,
                run_statuses=[run.status for run in started.get(each.id, ()) if run.function_id == function.id],
                again_after_failure=failed,
            )
            for each in looked_at
        }

    def _matches(self, function: Startable, event: Record) -> bool:
        def about() -> dict[str, Any]:
            known: dict[str, Any] = {"id": event.id, "source": event.source, "namespace": event.namespace}
            return known | ({"metadata": msgspec.json.decode(event.metadata)} if event.metadata is not None else {})

        if event.name == TOMBSTONE:
            # It starts nothing when it is written, either.
            return False
        found = self._index.started_by(event.environment, event.name, lambda: read_json(event.data), about)
        return any(each.id == function.id for each in found)

    def _start(self, tx: Tx, call: Call, function: Startable, given: Sequence[tuple[Record, str]]) -> list[str]:
        """Starts the runs whose keys are free; their ids."""
        claims = Claims(tx)
        creations: list[Creation] = []
        for event, run_id in given:
            created = creation(run_id, function, event)
            created = created._replace(command=replace(created.command, priority=rules.PRIORITY))
            # A live run is never replaced by a recorded event.
            if claims.claim(created, "use").starts:
                creations.append(created)
        if creations:
            self._repository.start(tx, creations, [], call.now, claims=claims)
        return [each.command.run_id for each in creations]


def _up_to(looked_at: Sequence[Record], verdicts: Mapping[str, Verdict], capacity: int) -> tuple[list[Record], int]:
    """The first events, at most `capacity` of them to start runs, and the position of the last."""
    taken: list[Record] = []
    for each in looked_at:
        capacity -= verdicts.get(each.id) == "start"
        if capacity < 0:
            break
        taken.append(each)
    return taken, taken[-1].position if taken else looked_at[0].position - 1


def _note(
    tx: Tx,
    call: Call,
    request: contract.TriggerRecorded,
    function: Startable,
    taken: Sequence[Record],
    started: int,
) -> None:
    about = {"started": started, "first_event": taken[0].id, "last_event": taken[-1].id}
    summary = f"{started} recorded events were given to function {function.id}"
    audit_notes.record(
        tx, call, contract.trigger, request, "events.triggered", summary, function_id=function.id, **about
    )


def _answer(batch: _Batch, next_position: int | None, until: datetime) -> contract.RecordedTriggered:
    return contract.RecordedTriggered(
        started=batch.counts.get("start", 0),
        known=batch.counts.get("known", 0),
        unmatched=batch.counts.get("unmatched", 0),
        refused=batch.counts.get("refused", 0),
        redacted=batch.counts.get("redacted", 0),
        run_ids=list(batch.run_ids),
        waiting=batch.waiting,
        next_cursor=None if next_position is None else str(next_position),
        until=until,
    )
