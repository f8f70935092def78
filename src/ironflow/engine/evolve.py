"""What a run is after a fact. The only place that changes a run; state at any moment is a fold of facts by it."""

from collections.abc import Iterable

from msgspec.structs import replace

from ironflow.engine import facts
from ironflow.engine.model import Lease, Run


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
    return Run(
        id=fact.run_id,
        environment=fact.environment,
        function_id=fact.function_id,
        function_version=fact.function_version,
        event_id=fact.event_id,
        event_name=fact.event_name,
        status="pending",
        policy=fact.policy,
        created_at=fact.at,
        updated_at=fact.at,
        actor_id=fact.actor_id,
        parent_run_id=fact.parent_run_id,
        parent_step_id=fact.parent_step_id,
        lease=Lease(state="ready", ready_at=fact.at),
    )


def _changed(run: Run, fact: facts.Fact) -> Run:
    match fact:
        case facts.StepsRecorded():
            return _with_steps(run, fact)
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
        case facts.Waiting(reason=reason, until=until, report=report):
            return replace(run, status="waiting", reason=reason, next_at=until, lease=None, last_report=report)
        case facts.Woken():
            return _queued(run, fact)
        case facts.AttemptFailed(error=error, retry_at=retry_at, report=report):
            return replace(
                run, status="waiting", reason="retry", next_at=retry_at, lease=None, error=error, last_report=report
            )
        case facts.RetryStarted(attempt=attempt):
            return replace(_queued(run, fact), attempt=attempt)
        case facts.LeaseLost(losses=losses):
            return replace(_queued(run, fact), losses=losses)
        case facts.JobReturned(avoid=avoid):
            return replace(run, status="pending", lease=Lease(state="ready", ready_at=fact.at, avoid=avoid))
        case facts.RunPaused(reason=reason, error=error, report=report):
            return replace(
                run,
                status="paused",
                reason=reason,
                next_at=None,
                lease=None,
                error=run.error if error is None else error,
                last_report=report,
            )
        case _:
            raise ValueError(f"a run cannot have {type(fact).__name__} happen to it")


def _with_steps(run: Run, fact: facts.StepsRecorded) -> Run:
    steps = dict(run.steps)
    for step in fact.steps:
        steps[step.step_id] = step
    return replace(
        run,
        steps=steps,
        step_count=max(run.step_count, max(step.number for step in fact.steps) + 1),
        next_sequence=max(run.next_sequence, max(step.sequence for step in fact.steps) + 1),
        # A lease that brought something new was not lost for nothing.
        losses=0,
    )


def _queued(run: Run, fact: facts.Fact) -> Run:
    return replace(run, status="pending", reason="", next_at=None, lease=Lease(state="ready", ready_at=fact.at))


def _ended(run: Run, fact: facts.Fact, status: str, **more: object) -> Run:
    return replace(run, status=status, reason="", next_at=None, lease=None, ended_at=fact.at, **more)
