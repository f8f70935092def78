"""What a run is after a fact. The only place that changes a run; state at any moment is a fold of facts by it."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from ironflow.engine import facts
from ironflow.engine.model import Lease, Reason, Run, Status, Step


def evolve(run: Run | None, fact: facts.Fact) -> Run:
    """`run` after `fact`; None before the first, which is RunCreated."""
    if run is None:
        if not isinstance(fact, facts.RunCreated):
            raise ValueError(f"a run begins with RunCreated, not {type(fact).__name__}")
        return _created(fact)
    return replace(_changed(run, fact), updated_at=fact.at, version=run.version + 1)


def fold(run: Run | None, happened: Iterable[facts.Fact]) -> Run:
    """`run` after all of `happened`, in order. Raises ValueError when nothing ever happened."""
    for fact in happened:
        run = evolve(run, fact)
    if run is None:
        raise ValueError("no facts, no run")
    return run


def _created(fact: facts.RunCreated) -> Run:
    run = Run(
        id=fact.run_id,
        environment=fact.environment,
        function_id=fact.function_id,
        function_version=fact.function_version,
        event_id=fact.event_id,
        event_name=fact.event_name,
        status="waiting",
        reason="throttle",
        next_at=fact.start_at,
        policy=fact.policy,
        created_at=fact.at,
        updated_at=fact.at,
        actor_id=fact.actor_id,
        parent_run_id=fact.parent_run_id,
        parent_step_id=fact.parent_step_id,
        slot_key=fact.slot_key,
        limit_key=fact.limit_key,
        holds_slot=fact.holds_slot,
        watched=fact.watched,
        recorded=fact.recorded,
    )
    return run if fact.start_at is not None else _queued(run, fact)


def _changed(run: Run, fact: facts.Fact) -> Run:
    match fact:
        case facts.StepsRecorded(steps=steps):
            # A lease that brought something new was not lost for nothing.
            return replace(_with_steps(run, steps), losses=0)
        case facts.Leased(lease=lease):
            return replace(
                run,
                status="running",
                reason="",
                lease=lease,
                execution_seq=lease.execution_seq,
                worker_id=lease.worker_id,
                started_at=fact.at if run.started_at is None else run.started_at,
                next_at=None,
            )
        case facts.RunCompleted(output=output, report=report):
            return _ended(run, fact, "completed", output=output, error=None, last_report=report)
        case facts.RunFailed(error=error, report=report):
            return _ended(run, fact, "failed", error=error, last_report=report)
        case facts.RunCancelled(cause=cause):
            return _ended(run, fact, "cancelled", cancellation_cause=cause)
        case facts.LeaseRenewed(lease=lease):
            return replace(run, lease=lease)
        case facts.Admitted():
            return run if run.lease is None else replace(run, lease=replace(run.lease, state="ready"))
        case facts.Woken():
            return _queued(run, fact)
        case facts.RetryStarted(attempt=attempt):
            return replace(_queued(run, fact), attempt=attempt)
        case facts.LeaseLost(losses=losses):
            return replace(_queued(run, fact), losses=losses)
        case facts.JobReturned(avoid=avoid):
            # It keeps its slot: nobody has begun.
            return replace(run, status="pending", lease=Lease(state="ready", ready_at=fact.at, avoid=avoid))
        case _:
            return _held_up(run, fact)


def _held_up(run: Run, fact: facts.Fact) -> Run:
    """Facts that make a run wait, pause or go on, and those that people bring about."""
    match fact:
        case facts.Waiting(reason=reason, until=until, step_id=step_id, report=report):
            return replace(
                run,
                status="waiting",
                reason=reason,
                next_at=until,
                open_step=step_id,
                lease=None,
                last_report=report,
            )
        case facts.AttemptFailed(error=error, retry_at=retry_at, report=report):
            return replace(
                run, status="waiting", reason="retry", next_at=retry_at, lease=None, error=error, last_report=report
            )
        case facts.PauseRequested():
            return replace(run, pause_requested=True)
        case facts.RunPaused(reason=reason, error=error, report=report):
            return replace(
                run,
                status="paused",
                reason=reason,
                paused_from=_waited_for(run),
                pause_requested=False,
                next_at=None,
                lease=None,
                error=run.error if error is None else error,
                last_report=report or run.last_report,
            )
        case facts.RunResumed(attempt=attempt):
            resumed = _requeued(run, fact)
            return replace(resumed, attempt=attempt, error=None, ended_at=None, losses=0, pause_requested=False)
        case facts.StepInjected(step=step) | facts.StepPatched(step=step):
            return _with_steps(run, (step,))
        case facts.StepsDropped(from_sequence=first):
            return replace(run, steps={name: step for name, step in run.steps.items() if step.sequence < first})
        case _:
            raise ValueError(f"a run cannot have {type(fact).__name__} happen to it")


def _waited_for(run: Run) -> Reason:
    """What a run waits for that is about to be paused; empty for one that had a slot of its key, if it needs one."""
    if run.status == "waiting":
        return run.reason
    return "slot" if run.lease is not None and run.lease.state == "queued" else ""


def _with_steps(run: Run, changed: tuple[Step, ...]) -> Run:
    steps = dict(run.steps)
    for step in changed:
        steps[step.step_id] = step
    return replace(
        run,
        steps=steps,
        step_count=max(run.step_count, max(step.number for step in changed) + 1),
        next_sequence=max(run.next_sequence, max(step.sequence for step in changed) + 1),
    )


def _queued(run: Run, fact: facts.Fact) -> Run:
    state = "ready" if run.slot_key is None else "queued"
    return replace(
        run,
        status="pending",
        reason="",
        paused_from="",
        open_step=None,
        next_at=None,
        lease=Lease(state=state, ready_at=fact.at),
    )


def _requeued(run: Run, fact: facts.Fact) -> Run:
    """A resumed run in the queue. One that held a slot while it was paused comes before all that queue for it."""
    queued = _queued(run, fact)
    if run.status != "paused" or run.paused_from or not run.holds_slot or queued.lease is None:
        return queued
    return replace(queued, lease=replace(queued.lease, ready_at=run.created_at))


def _ended(run: Run, fact: facts.Fact, status: Status, **more: Any) -> Run:
    return replace(
        run,
        status=status,
        reason="",
        paused_from="",
        open_step=None,
        pause_requested=False,
        next_at=None,
        lease=None,
        ended_at=fact.at,
        **more,
    )
