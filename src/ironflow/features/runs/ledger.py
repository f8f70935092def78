"""Where decisions become rows: the only way by which runs change.

runs = ledger.load(tx, ids, step_ids)
ledger.save(tx, [(run, decide(run, command, now)) ...])
"""

from collections.abc import Sequence

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.decide import Decision, decide
from ironflow.engine.effects import DropTimers, SetTimer
from ironflow.engine.model import Run, Step
from ironflow.features.runs import store
from ironflow.features.timers import store as timers
from ironflow.features.timers.store import Timer
from ironflow.storage.port import Tx

load = store.load

Change = tuple[Run | None, Decision]


def save(tx: Tx, changes: Sequence[Change]) -> None:
    """Writes what the decisions say, one statement for each table.

    Rings `jobs` with its function when a run became claimable and `run_ended` with the run's id when it ended.
    """
    fresh: list[Run] = []
    changed: list[Run] = []
    leases: list[Run] = []
    without_lease: list[str] = []
    steps: list[tuple[str, Step]] = []
    new_timers: list[Timer] = []
    no_timers: list[str] = []
    for before, decision in changes:
        after = decision.run
        if after is before:
            continue
        (fresh if before is None else changed).append(after)
        lease_before = before.lease if before is not None else None
        if after.lease is None:
            if lease_before is not None:
                without_lease.append(after.id)
        elif after.lease != lease_before:
            leases.append(after)
            if after.lease.state == "ready":
                tx.ring("jobs", job_key(after.environment, after.function_id))
        known = before.steps if before is not None else {}
        if after.steps is not known:
            steps += [(after.id, step) for step in after.steps.values() if known.get(step.step_id) is not step]
        for effect in decision.effects:
            match effect:
                case SetTimer(kind=kind, due_at=due_at, step_id=step_id):
                    new_timers.append(Timer(after.id, kind, step_id, due_at))
                case DropTimers():
                    no_timers.append(after.id)
        if after.ended:
            tx.ring("run_ended", after.id)
    if fresh:
        store.insert_runs(tx, fresh)
    if changed:
        store.update_runs(tx, changed)
    if leases:
        store.save_leases(tx, leases)
    if without_lease:
        store.drop_leases(tx, without_lease)
    if steps:
        store.save_steps(tx, steps)
    timers.set_timers(tx, new_timers)
    timers.drop_timers(tx, no_timers)


def job_key(environment: str, function_id: str) -> str:
    """The key under which `jobs` rings for a function."""
    return f"{environment}/{function_id}"


def wake_due(tx: Tx, due: list[Timer], now: Millis) -> None:
    """What due timers do: sleeping steps are completed, retries start."""
    step_ids: dict[str, set[str]] = {}
    for timer in due:
        step_ids.setdefault(timer.run_id, set()).add(timer.step_id)
    runs = load(tx, list(step_ids), step_ids)
    changes: dict[str, Change] = {}
    for timer in due:
        run = runs.get(timer.run_id)
        if run is None:
            continue
        command = commands.RetryDue() if timer.kind == "retry" else commands.SleepOver(step_id=timer.step_id)
        before = changes[run.id][0] if run.id in changes else run
        decision = decide(runs[run.id], command, now)
        runs[run.id] = decision.run
        changes[run.id] = (before, decision)
    save(tx, list(changes.values()))
