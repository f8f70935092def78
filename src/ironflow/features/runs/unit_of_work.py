"""The unit of work of a save: the rows of all changes, collected by table, so that each table takes one statement."""

from collections.abc import Sequence
from typing import assert_never

from ironflow.base.time import Millis
from ironflow.engine.decide import Decision
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
from ironflow.engine.facts import Fact, LeaseRenewed, StateChanged, StepsProgressed, StepsRecorded, ValuesSet
from ironflow.engine.model import Lease, Run, RunValue, Step
from ironflow.engine.recording import is_kept
from ironflow.features.keys import in_tx as keys
from ironflow.features.keys.in_tx import RunKey
from ironflow.features.runs import store, values
from ironflow.features.runs.notices import LongRuns, RunChanges
from ironflow.features.runs.rules import STEPS_ADVISED_MAX
from ironflow.features.slots import in_tx as slots
from ironflow.features.slots.in_tx import SlotPool
from ironflow.features.timers import in_tx as timers
from ironflow.features.timers.in_tx import Timer
from ironflow.features.waits import in_tx as waits
from ironflow.features.waits.in_tx import Wait
from ironflow.storage.port import Tx

# What such facts change of a run is written by `store.update_progress`. Comparing all other columns would take longer.
PROGRESS_FACTS: frozenset[type[Fact]] = frozenset(
    {StepsRecorded, StepsProgressed, LeaseRenewed, ValuesSet, StateChanged}
)

# A run before a decision (None for a new one), and what was decided.
Change = tuple[Run | None, Decision]


def job_key(environment: str, function_id: str) -> str:
    """The key of `jobs` notifications for a function."""
    return f"{environment}/{function_id}"


def revoked_key(environment: str, lease: Lease) -> str:
    """The key of `job_revoked` and `job_winding_down`: environment, worker and job id, parted by slashes."""
    return f"{environment}/{lease.worker_id}/{lease.job_id}"


def write_changes(tx: Tx, changes: Sequence[Change], now: Millis, *, handing_out: bool = True) -> set[SlotPool]:
    """Writes the rows of the changes; returns the pools with slots that may have become free or wanted.

    handing_out: False where the caller notifies `jobs` itself.
    """
    work = UnitOfWork()
    changed = [change for change in changes if change[1].run is not change[0]]
    if not changed:
        return work.pools
    for before, decision in changed:
        work.add(before, decision)
    work.write(tx, now)
    if handing_out:
        work.notify_jobs(tx)
    tx.publish_local(RunChanges([decision for _, decision in changed]))
    grown = [decision.run for before, decision in changed if before is not None and _has_grown(before, decision.run)]
    if grown:
        tx.publish_local(LongRuns(grown))
    return work.pools


def _is_progress(facts: Sequence[Fact]) -> bool:
    for fact in facts:  # noqa: SIM110 - a generator would take longer, with every report
        if type(fact) not in PROGRESS_FACTS:
            return False
    return True


def _has_grown(before: Run, after: Run) -> bool:
    return before.step_count <= STEPS_ADVISED_MAX < after.step_count


class UnitOfWork:
    """The rows that one save writes, collected by table.

    ended, claimable: runs that have ended, and runs whose job became claimable. pools: those with slots that may have
    become free or wanted.
    """

    def __init__(self) -> None:
        self.fresh: list[Run] = []
        self.changed: list[Run] = []
        # Runs that changed as steps and renewed leases change them.
        self.progressed: list[Run] = []
        self.leases: list[Run] = []
        self.without_lease: list[str] = []
        # Keys of jobs that were taken from their workers.
        self.revoked: list[str] = []
        # Of those that their workers are to end: their runs are to be cancelled.
        self.winding_down: list[str] = []
        # Steps that no row is there for, and those that change.
        self.new_steps: list[tuple[str, Step]] = []
        self.steps: list[tuple[str, Step]] = []
        self.values: list[tuple[str, RunValue]] = []
        self.facts: list[tuple[str, int, Fact]] = []
        self.timers: list[Timer] = []
        self.waits: list[Wait] = []
        self.effects: list[tuple[Run, Effect]] = []
        self.ended: list[Run] = []
        self.claimable: list[Run] = []
        # Runs that go on after their end, and take their keys again.
        self.rekeyed: list[Run] = []
        self.pools: set[SlotPool] = set()

    def add(self, before: Run | None, decision: Decision) -> None:
        """Collects the rows of one change. before: None for a new run."""
        after = decision.run
        if before is None:
            self.fresh.append(after)
        else:
            (self.progressed if _is_progress(decision.facts) else self.changed).append(after)
        self._add_lease(before.lease if before is not None else None, after)
        if after.status == "cancelled" and before is not None and before.lease is not None and before.lease.live:
            self.revoked.append(revoked_key(after.environment, before.lease))
        if after.winding_down and after.lease is not None and before is not None and before.cancelling is None:
            self.winding_down.append(revoked_key(after.environment, after.lease))
        known = before.steps if before is not None else {}
        if after.steps is not known:
            recorded = before.step_count if before is not None else 0
            for step in after.steps.values():
                if known.get(step.step_id) is not step:
                    # Numbers count the steps of a run as they are recorded first.
                    (self.new_steps if step.number >= recorded else self.steps).append((after.id, step))
        if after.values:
            self.values += [(after.id, value) for value in after.values.values()]
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
                case (
                    DropTimer()
                    | DropTimers()
                    | DropWait()
                    | StartChild()
                    | CancelChild()
                    | StartSuccessor()
                    | DropSteps()
                ):
                    self.effects.append((after, effect))
                case _:
                    assert_never(effect)
        if after.ended:
            self.ended.append(after)
        elif before is not None and before.ended and after.key is not None:
            self.rekeyed.append(after)

    def _add_lease(self, before: object, after: Run) -> None:
        if after.lease is None:
            if before is not None:
                self.without_lease.append(after.id)
        elif after.lease != before:
            self.leases.append(after)
            if after.lease.state == "ready":
                self.claimable.append(after)
        if after.slot_key is not None and (after.lease is None or after.lease.state == "queued"):
            self.pools.update(slots.pools_of(after))

    def write(self, tx: Tx, now: Millis) -> None:
        """Writes the rows, one statement for each table; notifies `run_ended`, `job_revoked` and `job_winding_down`."""
        # Removals first: a step may wait again under the same id.
        for run, effect in self.effects:
            _drop(tx, run.id, effect)
        if self.fresh:
            store.insert_runs(tx, self.fresh)
        if self.changed:
            store.update_runs(tx, self.changed)
        if self.progressed:
            store.update_progress(tx, self.progressed)
        if self.leases:
            store.save_leases(tx, self.leases)
        if self.without_lease:
            store.drop_leases(tx, self.without_lease)
        if self.new_steps:
            store.insert_steps(tx, self.new_steps)
        if self.steps:
            store.save_steps(tx, self.steps)
        if self.values:
            values.save(tx, self.values)
        if self.facts:
            store.add_facts(tx, self.facts)
        if self.waits:
            waits.add(tx, self.waits)
        timers.set_timers(tx, self.timers, now)
        # A failed run may be resumed; then it can be cancelled again. The successor of one that restarts takes them.
        watched = [run.id for run in self.ended if run.watched and run.status != "failed" and run.restarted_as is None]
        if watched:
            waits.drop_all(tx, watched)
        self._write_keys(tx)
        for run in self.ended:
            tx.notify("run_ended", run.id)
        for key in self.revoked:
            tx.notify("job_revoked", key)
        for key in self.winding_down:
            tx.notify("job_winding_down", key)

    def _write_keys(self, tx: Tx) -> None:
        for run in self.rekeyed:
            keys.take_again(tx, RunKey(run.environment, run.function_id, run.key or ""), run.id)
        keyed = [run.id for run in self.ended if run.key is not None and run.restarted_as is None]
        for run in self.ended:
            if run.key is not None and run.restarted_as is not None:
                keys.move(tx, RunKey(run.environment, run.function_id, run.key), run.id, run.restarted_as)
        if keyed:
            keys.free(tx, keyed)

    def notify_jobs(self, tx: Tx) -> None:
        """Notifies `jobs` of the functions that have a claimable job."""
        for key in {job_key(run.environment, run.function_id) for run in self.claimable}:
            tx.notify("jobs", key)


def _wait(run: Run, effect: AddWait) -> Wait:
    return Wait(
        run.id, "wait", effect.step_id, run.environment, effect.event, effect.path, effect.value, effect.expression
    )


def _drop(tx: Tx, run_id: str, effect: Effect) -> None:
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
            values.drop_from(tx, run_id, from_sequence)
        case StartChild() | CancelChild() | StartSuccessor() | SetTimer() | AddWait():
            # Children have decisions of their own; timers and waits are written after the removals.
            return
        case _:
            assert_never(effect)
