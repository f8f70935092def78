"""How a run is cancelled: at once, or after its compensations. Source: protocol/step-semantics.md 11; ADR 0056."""

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.effects import CancelChild, DropTimers
from ironflow.engine.errors import RunCancelling, RunEnded
from ironflow.engine.facts import CancelRequested, LeaseRenewed, RunCancelled
from ironflow.engine.failure import decide_undoing
from ironflow.engine.model import Lease, Run
from ironflow.engine.outcome import NOTHING, Outcome

# What a worker that names no grace has to end an execution whose run is to be cancelled.
WIND_DOWN_MS = 30_000


def decide_cancel(run: Run, command: commands.Cancel, now: Millis) -> Outcome:
    """A run that has not ended ends now. Its lease, timers and waits are dropped; children it waits for are cancelled.

    run: with its open steps. One whose function compensates on cancel, and that has begun, is undone first. By force,
    or when it is asked for again, it ends at once all the same. Raises RunEnded.
    Source: docs/reference/semantics.md, "Cancelling that cleans up"; ADR 0056.
    """
    if run.ended:
        raise RunEnded(ended_text(run))
    if run.cancelling is not None and not (command.force or command.by_request):
        return NOTHING
    children = _children_cancelled(run, force=command.force or run.cancelling is not None)
    if command.force or run.cancelling is not None or not _is_undone_first(run):
        return Outcome((RunCancelled(at=now, cause=command.cause),), (DropTimers(), *children))
    requested = CancelRequested(at=now, cause=command.cause)
    lease = run.lease
    if run.compensating is not None and run.status != "paused":
        # Its compensations run already.
        return Outcome((requested,))
    if lease is not None and lease.state == "held":
        # Its worker ends the execution, and what that has done is recorded.
        return Outcome((requested, LeaseRenewed(at=now, lease=_winding_down(lease, now))), children)
    undoing = decide_undoing(run, command.cause, "", now)
    return Outcome((requested, *undoing.facts), (DropTimers(), *children))


def ended_text(run: Run) -> str:
    if run.restarted_as is not None:
        return f"Run {run.id} has ended already: it restarted as run {run.restarted_as}."
    return f"Run {run.id} has ended already: it is {run.status}."


def _is_undone_first(run: Run) -> bool:
    policy = run.policy
    return policy.compensates_on_cancel and policy.compensation_timeout_ms > 0 and run.started_at is not None


def _children_cancelled(run: Run, *, force: bool) -> tuple[CancelChild, ...]:
    """Those of handles go on: `ironflow run bulk start cancel --parent` cancels them."""
    cause = f"its parent {run.id} was cancelled"
    children = (step.child_run_id for step in run.steps.values() if step.open and not step.handle)
    return tuple(CancelChild(run_id=child, cause=cause, force=force) for child in children if child is not None)


def check_not_cancelling(run: Run) -> None:
    """Raises RunCancelling."""
    if run.cancelling is not None and not run.ended:
        raise RunCancelling(
            f"Run {run.id} is being cancelled: its compensations run. Cancel it again to end it at once."
        )


def _winding_down(lease: Lease, now: Millis) -> Lease:
    """The lease of an execution that its worker is to end, while it reports what it has done."""
    return replace(lease, expires_at=now + (lease.grace_ms or WIND_DOWN_MS))
