"""Where decisions become rows: the only way by which runs change.

    runs = repository.load(tx, ids, step_ids)
    repository.save(tx, [(run, decide(run, command, now)) ...], now)

What a change brings about in other runs (a child starts, a parent goes on, a slot is free) follows in the same
transaction.
"""

from collections.abc import Iterable, Sequence
from typing import assert_never

from msgspec.structs import replace

from ironflow.base.ids import Ids
from ironflow.base.json import read_json
from ironflow.base.time import Millis
from ironflow.base.trace_context import RunTracing, TraceContext, with_trace
from ironflow.engine import commands
from ironflow.engine.decide import Decision, decide, replaced_by
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
    StartSuccessor,
)
from ironflow.engine.model import Run, read_family
from ironflow.features.functions.in_tx import FunctionIndex, Startable
from ironflow.features.runs import chains, restarting, store
from ironflow.features.runs.claims import Claims
from ironflow.features.runs.creation import Creation, Lineage, creation
from ironflow.features.runs.following import child_ended, due_command, event_text
from ironflow.features.runs.held import HeldRuns
from ironflow.features.runs.inheriting import Inheritance
from ironflow.features.runs.unit_of_work import Change, write_changes
from ironflow.features.slots import in_tx as slots
from ironflow.features.slots.in_tx import SlotPool
from ironflow.features.throttles import in_tx as throttles
from ironflow.features.timers import in_tx as timers
from ironflow.features.timers.in_tx import Timer
from ironflow.features.waits import in_tx as waits
from ironflow.features.waits.in_tx import Wait
from ironflow.log.append import append
from ironflow.log.read import records
from ironflow.log.record import HAPPENED, Record
from ironflow.storage.port import Tx

# What an invoked run's event is called. Source: protocol/step-semantics.md 6.
INVOKED = "ironflow/function.invoked"


class RunRepository:
    """Loads runs and saves what was decided about them."""

    def __init__(
        self,
        index: FunctionIndex,
        ids: Ids,
        inheritance: Inheritance,
        held: HeldRuns,
        tracing: RunTracing | None = None,
    ) -> None:
        self._index = index
        self._ids = ids
        self._inheritance = inheritance
        self._tracing = tracing
        self._held = held

    # What other features read inside their own transactions.
    load = staticmethod(store.load)
    look = staticmethod(store.look)
    memo = staticmethod(store.memo)
    awaited = staticmethod(store.awaited)
    with_open_steps = staticmethod(store.with_open_steps)
    steps_after = staticmethod(store.steps_after)
    find_steps = staticmethod(store.find_steps)
    started_by = staticmethod(store.started_by)
    first_steps = staticmethod(store.first_steps)

    def load_held(self, tx: Tx, ids: list[str], step_ids: dict[str, set[str]]) -> dict[str, Run]:
        """As `load`, of runs whose jobs workers report on."""
        return self._held.load(tx, ids, step_ids)

    def start(
        self,
        tx: Tx,
        creations: list[Creation],
        events: list[Record],
        now: Millis,
        woken: dict[str, list[str]] | None = None,
        claims: Claims | None = None,
    ) -> list[Record]:
        """Writes new runs with their cancel events, and appends events. Returns the events with their positions.

        woken: gets, by event id, the ids of the runs whose waits the event ended. claims: of the keys of these runs.
        The events reach the runs that wait for them or are cancelled by them. They are appended here and not by the
        feature that made them, because the order within the transaction matters: runs, positions, waits.
        """
        if claims is not None and claims.superseded:
            creations = [_superseded(each, claims) for each in creations]
        pools = self._create(tx, creations, now) if creations else set[SlotPool]()
        if claims is not None and claims.replaced:
            pools |= self._replace(tx, claims.replaced, now)
        # Late, because positions are held until the commit; before matching, so that no wait registers in between.
        placed = append(tx, events)
        _watch(tx, creations)
        pools |= self._reach(tx, [record for record in placed if record.kind in HAPPENED], now, woken)
        self.admit(tx, pools, now)
        return placed

    def save(self, tx: Tx, changes: Sequence[Change], now: Millis) -> None:
        """Writes the decisions, one statement for each table, and carries out their effects on other runs.

        Notifies `jobs` with the function of a run that became claimable, `run_ended` with the id of one that ended.
        """
        self.admit(tx, self.write(tx, changes, now), now)

    def write(self, tx: Tx, changes: Sequence[Change], now: Millis) -> set[SlotPool]:
        """As `save`, without giving out slots: the pools to admit to, once nothing more goes into the log."""
        return self._save(tx, changes, now)

    def admit(self, tx: Tx, pools: Iterable[SlotPool], now: Millis) -> int:
        """Gives the free slots of these pools to the runs that wait longest. Returns how many runs got them.

        Every transaction locks in this order, so that no two deadlock: runs, the log, slots.
        """
        admitted = 0
        for of_function in slots.by_function(pools):
            admitted += self._admit_to(tx, of_function, now)
        return admitted

    def is_pinned(self, run: Run) -> bool:
        """Whether the run goes on with workers of the version that it began with only."""
        function = self._index.get(run.environment, run.function_id)
        return function is not None and function.on_code_change == "pin"

    def missing_slots(self, tx: Tx, run: Run, holders_max: int) -> list[tuple[str, list[str]]]:
        """The keys of the slots that a queued run waits for, with the runs that hold them, at most `holders_max`."""
        function = self._index.get(run.environment, run.function_id)
        missing: list[tuple[str, list[str]]] = []
        for pool in slots.pools_of(run):
            limit = self._slot_limit(pool, function)
            held_by = slots.holders(tx, pool, max(limit, holders_max))
            if limit and len(held_by) >= limit:
                missing.append((pool.slot_key, held_by[:holders_max]))
        return missing

    def _slot_limit(self, pool: SlotPool, function: Startable | None) -> int:
        scope = slots.scope_of(pool.slot_key)
        return self._index.scope_limit(pool.environment, scope) if scope else slots.slot_limit(function, pool.slot_key)

    def _admit_to(self, tx: Tx, pools: list[SlotPool], now: Millis) -> int:
        """As `admit`, to pools of one function."""
        # An outdated limit, or a function unknown to this node, would admit too many.
        self._index.refresh(tx)
        function = self._index.get(pools[0].environment, pools[0].function_id)
        gate = slots.Gate(tx, pools, function, {pool.slot_key: self._slot_limit(pool, function) for pool in pools})
        admitted = 0
        passed_over: set[str] = set()
        while queued := gate.next_admitted(passed_over):
            # A transaction that has a run locked may wait for this pool. It admits the run itself later.
            runs = store.load(tx, queued, skip_locked=True)
            write_changes(tx, [(run, decide(run, commands.Admit(), now)) for run in runs.values()], now)
            admitted += len(runs)
            if len(runs) == len(queued):
                break
            passed_over.update(run_id for run_id in queued if run_id not in runs)
        return admitted

    def _create(self, tx: Tx, creations: list[Creation], now: Millis) -> set[SlotPool]:
        """Writes new runs; returns the pools that they queue for."""
        changes: list[Change] = []
        for each in creations:
            command = each.command
            if each.throttled is not None:
                throttled = throttles.next_start(tx, command, each.throttled, now)
                command = replace(command, start_at=max(throttled or 0, command.start_at or 0) or None)
            changes.append((None, decide(None, command, now)))
        return self._save(tx, changes, now)

    def _save(self, tx: Tx, changes: Sequence[Change], now: Millis, *, handing_out: bool = True) -> set[SlotPool]:
        """As `save`; returns the pools with slots that may have become free or wanted."""
        pools = write_changes(tx, changes, now, handing_out=handing_out)
        changed = [(before, decision) for before, decision in changes if decision.run is not before]
        children = [
            (decision.run, effect)
            for _, decision in changed
            for effect in decision.effects
            if isinstance(effect, StartChild)
        ]
        if children:
            pools |= self._start_children(tx, children, now)
        finished: list[Run] = []
        for before, decision in changed:
            run = decision.run
            for effect in decision.effects:
                if isinstance(effect, StartSuccessor):
                    pools |= self._restart(tx, run, effect, now, paused=before is not None and before.pause_requested)
                pools |= self._follow(tx, effect, now)
            if run.family is not None and before is not None and before.started_at is None:
                pools |= self._child_started(tx, run, now)
            if (
                run.ended
                and run.restarted_as is None
                and run.parent_run_id is not None
                and run.parent_step_id is not None
            ):
                finished.append(run)
        return pools | self._resume_parents(tx, finished, now) if finished else pools

    def _replace(self, tx: Tx, replaced: dict[str, str], now: Millis) -> set[SlotPool]:
        """Cancels runs whose keys others have taken over. They are locked by now."""
        found = store.load(tx, sorted(replaced))
        changes: list[Change] = []
        for run in found.values():
            if not run.ended:
                whole = store.with_open_steps(tx, run)
                changes.append((whole, decide(whole, commands.Cancel(cause=replaced_by(replaced[run.id])), now)))
        return self._save(tx, changes, now)

    def _reach(self, tx: Tx, events: list[Record], now: Millis, woken: dict[str, list[str]] | None) -> set[SlotPool]:
        """Events just appended reach the runs that wait for them or are cancelled by them. woken: as of `start`."""
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
                command = commands.EventReceived(step_id=wait.step_id, event=event_text(event))
            elif positions.get(run.event_id, 0) >= event.position:
                # The event that started the run, or one that came before it in the same commit.
                continue
            else:
                command = commands.Cancel(cause="cancel-on-event")
            decision = decide(run, command, now)
            if woken is not None and wait.kind == "wait" and decision.run is not run:
                by_event = woken.setdefault(event.id, [])
                by_event += [run.id] if run.id not in by_event else []
            gather(changes, run, decision)
            runs[run.id] = decision.run
        return self._save(tx, list(changes.values()), now)

    def _reached(self, tx: Tx, matches: list[tuple[Record, Wait]]) -> dict[str, Run]:
        """The runs of these waits, with the steps that wait."""
        step_ids: dict[str, set[str]] = {}
        for _, wait in matches:
            step_ids.setdefault(wait.run_id, set()).add(wait.step_id)
        runs = store.load(tx, list(step_ids), step_ids)
        # A run that is cancelled cancels what its open steps have started.
        cancelled = {wait.run_id for _, wait in matches if wait.kind == "cancel"}
        return runs | {run_id: store.with_open_steps(tx, runs[run_id]) for run_id in cancelled if run_id in runs}

    def wake_due(self, tx: Tx, due: list[Timer], now: Millis, *, handing_out: bool = True) -> None:
        """Fires due timers: sleeps end, retries start, waits time out.

        handing_out: False where the caller notifies `jobs` itself, a little later.
        """
        step_ids: dict[str, set[str]] = {}
        for timer in due:
            step_ids.setdefault(timer.run_id, set()).add(timer.step_id)
        runs = store.load(tx, list(step_ids), step_ids, skip_locked=True)
        if len(runs) < len(step_ids):
            # Another transaction has the run locked and may wait for its timers: they are due again at once.
            later = store.look(tx, [run_id for run_id in step_ids if run_id not in runs])
            timers.set_timers(tx, [timer for timer in due if timer.run_id in later], now)
        changes: dict[str, Change] = {}
        for timer in due:
            run = runs.get(timer.run_id)
            if run is None:
                continue
            decision = decide(run, due_command(run, timer), now)
            gather(changes, run, decision)
            runs[run.id] = decision.run
        self.admit(tx, self._save(tx, list(changes.values()), now, handing_out=handing_out), now)

    def _follow(self, tx: Tx, effect: Effect, now: Millis) -> set[SlotPool]:
        match effect:
            case CancelChild():
                return self._cancel_child(tx, effect, now)
            case StartChild() | StartSuccessor():
                # All children are created together, and a successor apart.
                return set()
            case SetTimer() | DropTimer() | DropTimers() | AddWait() | DropWait() | DropSteps():
                # Rows of this run, which its unit of work writes.
                return set()
            case _:
                assert_never(effect)

    def _cancel_child(self, tx: Tx, effect: CancelChild, now: Millis) -> set[SlotPool]:
        # Of a child that has restarted: the step names the first link of its chain, which may be purged.
        child = chains.load_named(tx, effect.run_id)
        if child is None or child.ended:
            return set()
        child = store.with_open_steps(tx, child)
        command = commands.Cancel(cause=effect.cause, force=effect.force)
        return self._save(tx, [(child, decide(child, command, now))], now)

    def _start_children(self, tx: Tx, starts: list[tuple[Run, StartChild]], now: Millis) -> set[SlotPool]:
        """The children of the reports of one commit, with their parents: many rows of a table in one statement."""
        events = self._inheritance.applied(tx, [self._input(tx, run, start, now) for run, start in starts])
        created: list[Creation] = []
        for (run, start), event in zip(starts, events, strict=True):
            function = self._index.get(run.environment, start.function_id)
            if function is None:
                raise LookupError(f"function {start.function_id!r} is not in the index")
            created.append(
                creation(
                    start.run_id,
                    function,
                    event,
                    Lineage(run.id, start.step_id),
                    start_at=now + start.delay_ms if start.delay_ms else None,
                    parent_timeout_ms=start.parent_timeout_ms,
                    entity_key=start.entity_key,
                )
            )
        pools = self._create(tx, created, now)
        # As in `start`: the input of a child is appended after its run is written.
        append(tx, events)
        _watch(tx, created)
        return pools | self._cancel_late(tx, [start.run_id for _, start in starts if start.cancelled], now)

    def _input(self, tx: Tx, parent: Run, start: StartChild, now: Millis) -> Record:
        return Record(
            id=self._ids.new("evt"),
            environment=parent.environment,
            kind="invoke",
            name=INVOKED,
            data=start.input,
            source="invoke",
            run_id=parent.id,
            created_at=now,
            metadata=with_trace(None, start.trace or self._trace_of(tx, parent)),
        )

    def _trace_of(self, tx: Tx, run: Run) -> TraceContext | None:
        """The span of a run whose worker names none, on a server that records spans."""
        if self._tracing is None:
            return None
        began = records(tx, [run.event_id]).get(run.event_id)
        return self._tracing.context(run.id, began.metadata if began is not None else None)

    def _restart(self, tx: Tx, run: Run, start: StartSuccessor, now: Millis, *, paused: bool) -> set[SlotPool]:
        """Creates the run that goes on in place of this one. The row of its key has been given to it."""
        self._index.refresh(tx)
        function = self._index.get(run.environment, run.function_id)
        began = records(tx, [run.event_id]).get(run.event_id)
        event = Record(
            id=self._ids.new("evt"),
            environment=run.environment,
            kind="invoke",
            name=INVOKED,
            data=start.input,
            metadata=began.metadata if began is not None else None,
            source="restart",
            run_id=run.id,
            created_at=now,
        )
        watches = waits.cancels(tx, run.id) if run.watched else []
        delay_ms = chains.restart_delay_ms(tx, run)
        created, takes_watches = restarting.successor(
            run, start, event, function, watches, paused=paused, delay_ms=delay_ms
        )
        pools = self._create(tx, [created], now)
        # As in `start`: the event is appended after its run is written, and before what cancels the run is registered.
        append(tx, [event])
        if takes_watches:
            waits.hand_over(tx, run.id, start.run_id)
        else:
            waits.drop_all(tx, [run.id])
            _watch(tx, [created])
        return pools

    def _cancel_late(self, tx: Tx, run_ids: list[str], now: Millis) -> set[SlotPool]:
        """Cancels new children for events that came before they were created."""
        if not run_ids:
            return set()
        runs = store.load(tx, sorted(run_ids))
        cancel = commands.Cancel(cause="cancel-on-event")
        return self._save(tx, [(run, decide(run, cancel, now)) for run in runs.values()], now)

    def _child_started(self, tx: Tx, child: Run, now: Millis) -> set[SlotPool]:
        """Begins the time-out of the parent that counts from its child's start."""
        timeout_ms = read_family(child.family).parent_timeout_ms
        parent_id, step_id = child.parent_run_id or "", child.parent_step_id or ""
        if child.started_at is None or not timeout_ms:
            return set()
        parent = store.load(tx, [parent_id], {parent_id: {step_id}}).get(parent_id)
        if parent is None:
            return set()
        command = commands.ChildStarted(step_id=step_id, child_run_id=child.id, timeout_ms=timeout_ms)
        return self._save(tx, [(parent, decide(parent, command, now))], now)

    def _resume_parents(self, tx: Tx, children: list[Run], now: Millis) -> set[SlotPool]:
        """Completes the steps of the parents that wait for these children with the children's results."""
        step_ids: dict[str, set[str]] = {}
        for child in children:
            step_ids.setdefault(child.parent_run_id or "", set()).add(child.parent_step_id or "")
        parents = store.load(tx, list(step_ids), step_ids)
        changes: dict[str, Change] = {}
        for child in children:
            parent = parents.get(child.parent_run_id or "")
            if parent is None:
                continue
            decision = decide(parent, child_ended(child, child.parent_step_id or ""), now)
            gather(changes, parent, decision)
            parents[parent.id] = decision.run
        return self._save(tx, list(changes.values()), now)


def taken(tx: Tx, run_id: str) -> set[str]:
    """Ids of the events that waits of the run have ended with."""
    events = [read_json(text) for text in store.awaited(tx, run_id)]
    return {str(event["id"]) for event in events if isinstance(event, dict) and "id" in event}


def _superseded(each: Creation, claims: Claims) -> Creation:
    """A run that another of the same commit replaces is cancelled at once, and no event cancels it any more."""
    by = claims.superseded.get(each.command.run_id)
    return each if by is None else Creation(replace(each.command, superseded_by=by), [], None)


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
