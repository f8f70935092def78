"""Who may write to a run: claims, leases, fences, and what happens when no word comes in time.

Source: protocol/worker-rest.md 7 to 9.
"""

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.control import paused_at_boundary
from ironflow.engine.errors import StaleExecution
from ironflow.engine.facts import Admitted, JobReturned, Leased, LeaseLost, LeaseRenewed, RunFailed
from ironflow.engine.failure import decide_failure
from ironflow.engine.model import ErrorValue, Lease, Run, error_text
from ironflow.engine.outcome import NOTHING, Outcome


def check_fence(run: Run, fence: commands.Fence) -> Lease:
    """The run's lease, if `fence` is its. Raises StaleExecution."""
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
    """A queued run gets a slot; nothing for one that does not wait for any."""
    if run.lease is None or run.lease.state != "queued":
        return NOTHING
    return Outcome((Admitted(at=now),))


def decide_claim(run: Run, command: commands.Claim, now: Millis) -> Outcome:
    """The ready job goes to the worker, with the next execution number; nothing when it is not ready any more."""
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
    )
    if command.acked:
        lease = _begun(run, lease, command.lease_ms, now)
    return Outcome((Leased(at=now, lease=lease),))


def decide_ack(run: Run, command: commands.Ack, now: Millis) -> Outcome:
    """The execution begins: the lease and the function's timeout start. A repeated ack changes nothing."""
    lease = check_fence(run, command.fence)
    if lease.state == "held":
        return NOTHING
    return Outcome((LeaseRenewed(at=now, lease=_begun(run, lease, command.lease_ms, now)),))


def decide_renewal(run: Run, command: commands.Renew, now: Millis) -> Outcome:
    """A heartbeat renews the lease of a job that its worker lists and still holds; others it leaves alone."""
    lease = run.lease
    if lease is None or lease.job_id != command.job_id or lease.worker_id != command.worker_id:
        return NOTHING
    if lease.state != "held":
        return NOTHING
    return Outcome((LeaseRenewed(at=now, lease=renewed(lease, command.lease_ms, now)),))


def decide_give_back(run: Run, command: commands.GiveBack, now: Millis) -> Outcome:
    """The job goes back into the queue, if that execution is still the live one; a run that is to pause does so."""
    if run.lease is None or not run.lease.live or run.lease.job_id != command.job_id:
        return NOTHING
    if run.pause_requested:
        return Outcome((paused_at_boundary(now, ""),))
    return Outcome((JobReturned(at=now, avoid=""),))


def renewed(lease: Lease, lease_ms: int, now: Millis) -> Lease:
    """The lease for `lease_ms` from now, but not beyond the function's timeout."""
    return replace(lease, expires_at=min(now + lease_ms, lease.deadline_at))


def heard(run: Run, lease: Lease, lease_ms: int, now: Millis) -> Lease:
    """The lease after a checkpoint: renewed, or begun when the checkpoint came without an ack before it."""
    return _begun(run, lease, lease_ms, now) if lease.state == "reserved" else renewed(lease, lease_ms, now)


def decide_lease_expired(run: Run, command: commands.LeaseExpired, now: Millis) -> Outcome:
    """The function's timeout is a failure by policy; a lost lease is a new place in the queue, same attempt.

    With a job id, its worker has said that it has that job no more, and the lease is over before its time.
    A run whose leases are lost again and again without a new step fails: its worker dies of it each time.
    Source: protocol/worker-rest.md 9.
    """
    lease = run.lease
    if lease is None or not lease.live or (lease.expires_at > now and lease.job_id != command.job_id):
        return NOTHING
    if run.pause_requested:
        return Outcome((paused_at_boundary(now, ""),))
    if lease.state == "reserved":
        # Nobody began; the job goes to whoever asks next.
        return Outcome((JobReturned(at=now, avoid=""),))
    if lease.deadline_at <= now:
        error = ErrorValue(
            message=f"The execution ran longer than the function's timeout of {run.policy.timeout_ms} ms.",
            code="TIMEOUT",
            retryable=True,
        )
        return decide_failure(run, error, report="", now=now)
    if run.losses + 1 >= command.losses_max:
        error = ErrorValue(
            message=f"{run.losses + 1} workers in a row fell silent on this run without finishing a step.",
            code="WORKER_LOST",
        )
        return Outcome((RunFailed(at=now, error=error_text(error), report=""),))
    return Outcome((LeaseLost(at=now, losses=run.losses + 1),))


def _begun(run: Run, lease: Lease, lease_ms: int, now: Millis) -> Lease:
    deadline_at = now + run.policy.timeout_ms
    return replace(lease, state="held", deadline_at=deadline_at, expires_at=min(now + lease_ms, deadline_at))
