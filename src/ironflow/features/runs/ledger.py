"""Where decisions become rows: the only way by which runs change.

    runs = ledger.load(tx, ids, step_ids)
    ledger.save(tx, [(run, decide(run, command, now)) ...], now)

What a change brings about in other runs (a child starts, a parent goes on, a slot is free) follows in the same
transaction.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from ironflow.base.ids import Ids
from ironflow.base.json import read_json, write_json_text
from ironflow.base.time import Millis, to_datetime
from ironflow.engine import commands
from ironflow.engine.decide import Decision, decide
from ironflow.engine.effects import (
    AddWait,
    CancelChild,
    DropSteps,
    DropTimer,
    DropTimers,
    DropWait,
    Effect,
    SetTimer,
    StartChild,
)
from ironflow.engine.facts import Fact
from ironflow.engine.model import Run, Step
from ironflow.engine.recording import is_kept
from ironflow.features.functions.index import FunctionIndex
from ironflow.features.runs import slots, store, throttles, waits
from ironflow.features.runs.creation import Creation, Lineage, creation
from ironflow.features.runs.notices import RunChanges
from ironflow.features.runs.slots import Place
from ironflow.features.runs.waits import Wait
from ironflow.features.timers import in_tx as timers
from ironflow.features.timers.in_tx import Timer
from ironflow.log.append import append
from ironflow.log.record import HAPPENED, Record
from ironflow.storage.port import Tx

Change = tuple[Run | None, Decision]

# What an invoked run's event is called. Source: protocol/step-semantics.md 6.
INVOKED = "ironflow/function.invoked"


def job_key(environment: str, function_id: str) -> str:
    """The key under which `jobs` rings for a function."""
    return f"{environment}/{function_id}"


class Ledger:
    """Loads runs and saves what was decided about them."""

    def __init__(self, index: FunctionIndex, ids: Ids) -> None:
        self._index = index
        self._ids = ids

    # What other rooms read inside their own transactions.
    load = staticmethod(store.load)
    look = staticmethod(store.look)
    memo = staticmethod(store.memo)
    awaited = staticmethod(store.awaited)
    steps_after = staticmethod(store.steps_after)
    find_steps = staticmethod(store.find_steps)
    started_by = staticmethod(store.started_by)
    first_steps = staticmethod(store.first_steps)

    def start(self, tx: Tx, creations: list[Creation], events: list[Record], now: Millis) -> list[Record]:
        """New runs, with the events that cancel them, and new events of the log; those with their positions.

        The events reach the runs that wait for them or are cancelled by them.
        """
        places = self._create(tx, creations, now) if creations else set[Place]()
        # Late, because positions are held until the commit; before matching, so that no wait registers in between.
        placed = append(tx, events)
        _watch(tx, creations)
        places |= self._reach(tx, [record for record in placed if record.kind in HAPPENED], now)
        self.admit(tx, places, now)
        return placed

    def save(self, tx: Tx, changes: Sequence[Change], now: Millis) -> None:
        """Writes what the decisions say, one statement for each table, and what follows from it.

        Rings `jobs` with its function when a run became claimable and `run_ended` with the run's id when it ended.
        """
        self.admit(tx, self._save(tx, changes, now), now)

    def admit(self, tx: Tx, places: Iterable[Place], now: Millis) -> int:
        """Gives free slots of these places to those that wait longest; to how many.

        Last in every transaction and in one order, so that no two wait for each other: runs, the log, slots.
        """
        admitted = 0
        for of_function in slots.by_function(places):
            admitted += self._admit_to(tx, of_function, now)
        return admitted

    def missing_slots(self, tx: Tx, run: Run, holders_max: int) -> list[tuple[str, list[str]]]:
        """The keys of the slots that a queued run waits for, with the runs that hold them, at most `holders_max`."""
        function = self._index.get(run.environment, run.function_id)
        missing: list[tuple[str, list[str]]] = []
        for place in slots.places_of(run):
            limit = slots.slot_limit(function, place.slot_key)
            held_by = slots.holders(tx, place, max(limit, holders_max))
            if limit and len(held_by) >= limit:
                missing.append((place.slot_key, held_by[:holders_max]))
        return missing

    def _admit_to(self, tx: Tx, places: list[Place], now: Millis) -> int:
        """As `admit`, to places of one function."""
        # A limit as this node knew it, or a function it has not heard of, would let too many through.
        self._index.refresh(tx)
        gate = slots.Gate(tx, places, self._index.get(places[0].environment, places[0].function_id))
        admitted = 0
        passed_over: set[str] = set()
        while queued := gate.next_admitted(passed_over):
            # Whoever holds a run may wait for this very place; it comes here itself when it has let go of the run.
            runs = store.load(tx, queued, skip_locked=True)
            _write(tx, [(run, decide(run, commands.Admit(), now)) for run in runs.values()], now)
            admitted += len(runs)
            if len(runs) == len(queued):
                break
            passed_over.update(run_id for run_id in queued if run_id not in runs)
        return admitted

    def _create(self, tx: Tx, creations: list[Creation], now: Millis) -> set[Place]:
        """New runs; the places that they queue for."""
        changes: list[Change] = []
        for each in creations:
            command = each.command
            if each.throttled is not None:
                command = replace(command, start_at=throttles.next_start(tx, command, each.throttled, now))
            changes.append((None, decide(None, command, now)))
        return self._save(tx, changes, now)

    def _save(self, tx: Tx, changes: Sequence[Change], now: Millis, *, handing_out: bool = True) -> set[Place]:
        """As `save`; the places whose slots may have become free or wanted."""
        places = _write(tx, changes, now, handing_out=handing_out)
        for before, decision in changes:
            run = decision.run
            if run is before:
                continue
            for effect in decision.effects:
                places |= self._follow(tx, run, effect, now)
            if run.ended and run.parent_run_id is not None and run.parent_step_id is not None:
                places |= self._tell_parent(tx, run, now)
        return places

    def _reach(self, tx: Tx, events: list[Record], now: Millis) -> set[Place]:
        """Events just appended reach the runs that wait for them or are cancelled by them."""
        matches = waits.matching(tx, events)
        if not matches:
            return set()
        positions = {event.id: event.position for event in events}
        runs = self._reached(tx, matches)
        changes: dict[str, Change] = {}
        for event, wait in matches:
            run = runs.get(wait.run_id)
            if run is None or run.ended:
                continue
            if wait.kind == "wait":
                command = commands.EventCame(step_id=wait.step_id, event=event_text(event))
            elif positions.get(run.event_id, 0) >= event.position:
                # The event that started the run, or one that came before it in the same commit.
                continue
            else:
                command = commands.Cancel(cause="cancel-on-event")
            decision = decide(run, command, now)
            gather(changes, run, decision)
            runs[run.id] = decision.run
        return self._save(tx, list(changes.values()), now)

    def _reached(self, tx: Tx, matches: list[tuple[Record, Wait]]) -> dict[str, Run]:
        """The runs of these waits, with the steps that wait and those that they wait in."""
        step_ids: dict[str, set[str]] = {}
        for _, wait in matches:
            step_ids.setdefault(wait.run_id, set()).add(wait.step_id)
        runs = store.load(tx, list(step_ids), step_ids)
        more = {run.id: {*step_ids[run.id], run.open_step} for run in runs.values() if run.open_step is not None}
        more = {run_id: names for run_id, names in more.items() if names != step_ids[run_id]}
        return runs | store.load(tx, list(more), more) if more else runs

    def load_whole(self, tx: Tx, run: Run) -> Run:
        """The run with the step that it waits in, if any."""
        if run.open_step is None:
            return run
        return store.load(tx, [run.id], {run.id: {run.open_step}})[run.id]

    def wake_due(self, tx: Tx, due: list[Timer], now: Millis, *, handing_out: bool = True) -> None:
        """What due timers do: sleeps end, retries start, waits time out.

        handing_out: False where the caller rings `jobs` itself, a little later.
        """
        step_ids: dict[str, set[str]] = {}
        for timer in due:
            step_ids.setdefault(timer.run_id, set()).add(timer.step_id)
        runs = store.load(tx, list(step_ids), step_ids, skip_locked=True)
        if len(runs) < len(step_ids):
            # Somebody has the run and may wait for its timers, to drop them; they come again at once.
            later = store.look(tx, [run_id for run_id in step_ids if run_id not in runs])
            timers.set_timers(tx, [timer for timer in due if timer.run_id in later], now)
        changes: dict[str, Change] = {}
        for timer in due:
            run = runs.get(timer.run_id)
            if run is None:
                continue
            decision = decide(run, _due_command(run, timer), now)
            gather(changes, run, decision)
            runs[run.id] = decision.run
        self.admit(tx, self._save(tx, list(changes.values()), now, handing_out=handing_out), now)

    def _follow(self, tx: Tx, run: Run, effect: Effect, now: Millis) -> set[Place]:
        match effect:
            case StartChild():
                return self._start_child(tx, run, effect, now)
            case CancelChild(run_id=run_id, cause=cause):
                child = store.load(tx, [run_id]).get(run_id)
                if child is None or child.ended:
                    return set()
                child = self.load_whole(tx, child)
                return self._save(tx, [(child, decide(child, commands.Cancel(cause=cause), now))], now)
            case _:
                # Rows of this run, written by `_write`.
                return set()

    def _start_child(self, tx: Tx, run: Run, start: StartChild, now: Millis) -> set[Place]:
        function = self._index.get(run.environment, start.function_id)
        if function is None:
            raise LookupError(f"function {start.function_id!r} was there a moment ago")
        event = Record(
            id=self._ids.new("evt"),
            environment=run.environment,
            kind="invoke",
            name=INVOKED,
            data=start.input,
            source="invoke",
            run_id=run.id,
            created_at=now,
        )
        created = [creation(start.run_id, function, event, Lineage(run.id, start.step_id))]
        places = self._create(tx, created, now)
        append(tx, [event])
        _watch(tx, created)
        return places

    def _tell_parent(self, tx: Tx, child: Run, now: Millis) -> set[Place]:
        """The step that waits for this child takes over its result."""
        parent_id, step_id = child.parent_run_id or "", child.parent_step_id or ""
        parent = store.load(tx, [parent_id], {parent_id: {step_id}}).get(parent_id)
        if parent is None or parent.ended:
            return set()
        command = commands.ChildEnded(
            step_id=step_id,
            child_run_id=child.id,
            function_id=child.function_id,
            output=child.output,
            error=None if child.status == "completed" else _cause(child),
        )
        return self._save(tx, [(parent, decide(parent, command, now))], now)


def _watch(tx: Tx, creations: list[Creation]) -> None:
    """Registers the events that cancel new runs."""
    watches = [watch for each in creations for watch in each.watches]
    if watches:
        waits.add(tx, watches)


def gather(changes: dict[str, Change], run: Run, decision: Decision) -> None:
    """Adds what was decided about `run` to `changes`; several decisions about one run are one change."""
    earlier = changes.get(run.id)
    if earlier is None:
        changes[run.id] = (run, decision)
        return
    before, first = earlier
    facts, effects = (*first.facts, *decision.facts), (*first.effects, *decision.effects)
    changes[run.id] = (before, Decision(run=decision.run, facts=facts, effects=effects))


def _cause(child: Run) -> str:
    """Why a child did not complete, in its own words."""
    if child.status == "cancelled":
        return f"cancelled: {child.cancellation_cause}"
    error = read_json(child.error) if child.error else None
    return str(error.get("message", "")) if isinstance(error, dict) else "failed"


def _due_command(run: Run, timer: Timer) -> commands.Command:
    match timer.kind:
        case "sleep":
            return commands.SleepOver(step_id=timer.step_id)
        case "wait":
            return commands.WaitTimedOut(step_id=timer.step_id)
        case "invoke":
            step = run.steps.get(timer.step_id)
            return commands.InvokeTimedOut(step_id=timer.step_id, function_id=step.name if step else "")
        case "start":
            return commands.StartDue()
        case _:
            return commands.RetryDue()


def event_text(record: Record) -> str:
    """An event as a waiting step returns it. Source: protocol/step-semantics.md 5, "Result"."""
    about = {
        "id": record.id,
        "name": record.name,
        "version": record.version,
        "timestamp": to_datetime(record.created_at),
        "source": record.source or None,
        "idempotencyKey": record.idempotency_key,
        "emittedBy": record.emitted_by,
        "entityId": record.entity_id,
        "entityType": record.entity_type,
        "entityVersion": record.entity_version,
    }
    text = write_json_text({name: value for name, value in about.items() if value is not None})
    metadata = f',"metadata":{record.metadata}' if record.metadata else ""
    # The data goes in as it was sent, byte for byte.
    return f'{text[:-1]},"data":{record.data}{metadata}}}'


def _write(tx: Tx, changes: Sequence[Change], now: Millis, *, handing_out: bool = True) -> set[Place]:
    """Rows of the changes themselves; the places whose slots may have become free or wanted."""
    rows = _Rows()
    changed = [change for change in changes if change[1].run is not change[0]]
    if not changed:
        return rows.places
    for before, decision in changed:
        rows.add(before, decision)
    rows.write(tx, now)
    if handing_out:
        rows.ring_jobs(tx)
    tx.tell(RunChanges([decision for _, decision in changed]))
    return rows.places


class _Rows:
    """What one save writes, gathered by table."""

    def __init__(self) -> None:
        self.fresh: list[Run] = []
        self.changed: list[Run] = []
        self.leases: list[Run] = []
        self.without_lease: list[str] = []
        self.steps: list[tuple[str, Step]] = []
        self.facts: list[tuple[str, int, Fact]] = []
        self.timers: list[Timer] = []
        self.waits: list[Wait] = []
        self.effects: list[tuple[Run, Effect]] = []
        self.ended: list[Run] = []
        self.claimable: list[Run] = []
        self.places: set[Place] = set()

    def add(self, before: Run | None, decision: Decision) -> None:
        after = decision.run
        (self.fresh if before is None else self.changed).append(after)
        self._add_lease(before.lease if before is not None else None, after)
        known = before.steps if before is not None else {}
        if after.steps is not known:
            self.steps += [(after.id, step) for step in after.steps.values() if known.get(step.step_id) is not step]
        if after.recorded:
            first = after.version - len(decision.facts) + 1
            numbered = enumerate(decision.facts, start=first)
            self.facts += [(after.id, version, fact) for version, fact in numbered if is_kept(fact, after.recorded)]
        for effect in decision.effects:
            match effect:
                case SetTimer(kind=kind, due_at=due_at, step_id=step_id):
                    self.timers.append(Timer(after.id, kind, step_id, due_at))
                case AddWait():
                    self.waits.append(_wait(after, effect))
                case _:
                    self.effects.append((after, effect))
        if after.ended:
            self.ended.append(after)

    def _add_lease(self, before: object, after: Run) -> None:
        if after.lease is None:
            if before is not None:
                self.without_lease.append(after.id)
        elif after.lease != before:
            self.leases.append(after)
            if after.lease.state == "ready":
                self.claimable.append(after)
        if after.slot_key is not None and (after.lease is None or after.lease.state == "queued"):
            self.places.update(slots.places_of(after))

    def write(self, tx: Tx, now: Millis) -> None:
        # Rows that are taken away first: a step may wait again under the same id.
        for run, effect in self.effects:
            _take_away(tx, run.id, effect)
        if self.fresh:
            store.insert_runs(tx, self.fresh)
        if self.changed:
            store.update_runs(tx, self.changed)
        if self.leases:
            store.save_leases(tx, self.leases)
        if self.without_lease:
            store.drop_leases(tx, self.without_lease)
        if self.steps:
            store.save_steps(tx, self.steps)
        if self.facts:
            store.add_facts(tx, self.facts)
        if self.waits:
            waits.add(tx, self.waits)
        timers.set_timers(tx, self.timers, now)
        # A failed run may be resumed; then it can be cancelled again.
        watched = [run.id for run in self.ended if run.watched and run.status != "failed"]
        if watched:
            waits.drop_all(tx, watched)
        for run in self.ended:
            tx.ring("run_ended", run.id)

    def ring_jobs(self, tx: Tx) -> None:
        for key in {job_key(run.environment, run.function_id) for run in self.claimable}:
            tx.ring("jobs", key)


def _wait(run: Run, effect: AddWait) -> Wait:
    return Wait(
        run.id, "wait", effect.step_id, run.environment, effect.event, effect.path, effect.value, effect.expression
    )


def _take_away(tx: Tx, run_id: str, effect: Effect) -> None:
    match effect:
        case DropTimer(kind=kind, step_id=step_id):
            timers.drop_timer(tx, run_id, kind, step_id)
        case DropWait(step_id=step_id):
            waits.drop(tx, [(run_id, step_id)])
        case DropTimers():
            timers.drop_timers(tx, [run_id])
            waits.drop_waits(tx, run_id)
        case DropSteps(from_sequence=from_sequence):
            store.drop_steps(tx, run_id, from_sequence)
        case _:
            # Not rows of this run: `Ledger` follows it.
            return
