"""Which execution may write to a run: claims, leases, fences, and what follows when a lease expires.

Source: protocol/worker-rest.md 7 to 9.
"""

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.control import paused_at_boundary
from ironflow.engine.errors import StaleExecution
from ironflow.engine.facts import Admitted, JobReturned, Leased, LeaseLost, LeaseRenewed
from ironflow.engine.failure import decide_end, decide_failure, decide_undoing
from ironflow.engine.model import ErrorValue, Lease, Run, error_text
from ironflow.engine.outcome import NOTHING, Outcome


def check_fence(run: Run, fence: commands.Fence) -> Lease:
    """The live lease of the run, if `fence` is its fence. Raises StaleExecution."""
    lease = run.lease
    if (
        lease is None
        or not lease.live
        or lease.job_id != fence.job_id
        or lease.token != fence.token
        or lease.execution_seq != fence.execution_seq
    ):
        raise StaleExecution(
            f"Job {fence.job_id} is not the live execution of run {run.id}, which is {run.status}. Drop the job."
        )
    return lease


def decide_admission(run: Run, now: Millis) -> Outcome:
    """A queued run gets its slots; NOTHING when it waits for none."""
    if run.lease is None or run.lease.state != "queued":
        return NOTHING
    return Outcome((Admitted(at=now),))


def decide_claim(run: Run, command: commands.Claim, now: Millis) -> Outcome:
    """The ready job is handed to the worker, with the next execution number; NOTHING when it is no longer ready."""
    if run.lease is None or run.lease.state != "ready":
        return NOTHING
    lease = Lease(
        state="reserved",
        ready_at=run.lease.ready_at,
        job_id=command.job_id,
        execution_seq=run.execution_seq + 1,
        token=command.token,
        worker_id=command.worker_id,
        expires_at=now + command.reservation_ms,
        sequence_base=run.next_sequence,
        log_position=command.log_position,
        node=command.node,
    )
    if command.acked:
        lease = _begun(run, replace(lease, grace_ms=command.grace_ms), command.lease_ms, now)
    return Outcome((Leased(at=now, lease=lease),))


def decide_ack(run: Run, command: commands.Ack, now: Millis) -> Outcome:
    """The execution begins: the lease and the timeout of the function start. A repeated ack changes nothing."""
    lease = check_fence(run, command.fence)
    if lease.state == "held":
        return NOTHING
    return Outcome((LeaseRenewed(at=now, lease=_begun(run, lease, command.lease_ms, now)),))


def decide_renewal(run: Run, command: commands.Renew, now: Millis) -> Outcome:
    """A heartbeat renews the lease of a job that its worker lists and still holds; other leases are unchanged."""
    lease = run.lease
    if lease is None or lease.job_id != command.job_id or lease.worker_id != command.worker_id:
        return NOTHING
    if lease.state != "held" or run.winding_down:
        return NOTHING
    return Outcome((LeaseRenewed(at=now, lease=renewed(lease, command.lease_ms, now)),))


def decide_give_back(run: Run, command: commands.GiveBack, now: Millis) -> Outcome:
    """The job goes back into the queue, if its lease is still live; a run with a requested pause pauses instead."""
    if run.lease is None or not run.lease.live or run.lease.job_id != command.job_id:
        return NOTHING
    if run.winding_down:
        return decide_undoing(run, run.cancelling or "", "", now)
    if run.pause_requested:
        return Outcome((paused_at_boundary(now, ""),))
    return Outcome((JobReturned(at=now, avoid=""),))


def renewed(lease: Lease, lease_ms: int, now: Millis) -> Lease:
    """The lease for `lease_ms` from now, but not beyond the function's timeout and the worker's grace."""
    return replace(lease, expires_at=min(now + lease_ms, lease.ends_at))


def lease_after_checkpoint(run: Run, lease: Lease, lease_ms: int, now: Millis) -> Lease:
    """The lease after a checkpoint: begun when no ack came before, renewed once an eighth of it has passed.

    Steps are reported one by one: a lease that is nearly new is not written again with each of them.
    """
    if lease.state == "reserved":
        return _begun(run, lease, lease_ms, now)
    if run.winding_down or lease.expires_at == lease.ends_at or lease.expires_at - now > lease_ms - lease_ms // 8:
        return lease
    return renewed(lease, lease_ms, now)


def decide_lease_expired(run: Run, command: commands.LeaseExpired, now: Millis) -> Outcome:
    """A run over the function's timeout fails by policy; one that lost its lease is queued again, same attempt.

    With a job id, the worker has reported that it no longer has that job, and its lease ends before it expires.
    The end of a server's node, or of the connection that a job was handed out on, says nothing about the run: that is
    no loss.
    A run that loses `losses_max` leases in a row without a new step fails: it may be what ends its workers. A run that
    fails here has one more execution for its compensations; that one ends with its own timeout.
    Source: protocol/worker-rest.md 9.
    """
    lease = run.lease
    if lease is None or not lease.live or (lease.expires_at > now and lease.job_id != command.job_id):
        return NOTHING
    if run.winding_down:
        return decide_undoing(run, run.cancelling or "", "", now)
    if run.pause_requested:
        return Outcome((paused_at_boundary(now, ""),))
    if lease.state == "reserved":
        # The execution has not begun; the job is ready for the next poll.
        return Outcome((JobReturned(at=now, avoid=""),))
    if lease.deadline_at <= now and run.compensating is not None:
        return decide_end(run, run.compensating, report="", now=now)
    if lease.deadline_at <= now:
        error = ErrorValue(
            message=f"The execution ran longer than the function's timeout of {run.policy.timeout_ms} ms.",
            code="TIMEOUT",
            retryable=True,
        )
        return decide_failure(run, error, report="", now=now, uncompensated=True)
    if command.no_loss:
        return Outcome((LeaseLost(at=now, losses=run.losses),))
    if run.losses + 1 >= command.losses_max:
        error = ErrorValue(
            message=f"{run.losses + 1} workers in a row lost the lease of this run without finishing a step.",
            code="WORKER_LOST",
        )
        return decide_end(run, error_text(error), report="", now=now)
    return Outcome((LeaseLost(at=now, losses=run.losses + 1),))


def execution_ms_max(run: Run) -> int:
    """How long the next execution may take."""
    return run.policy.timeout_ms if run.compensating is None else run.policy.compensation_timeout_ms


def _begun(run: Run, lease: Lease, lease_ms: int, now: Millis) -> Lease:
    begun = replace(lease, state="held", deadline_at=now + execution_ms_max(run))
    return renewed(begun, lease_ms, now)
