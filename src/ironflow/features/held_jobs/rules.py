"""What is decided about held jobs; pure."""

from ironflow.engine.errors import StaleExecution
from ironflow.features.held_jobs.contract import PendingReport
from ironflow.features.jobs.contract import AckJob, ReportedError, UpdateJob, Verdict


def update_of(pending: PendingReport, worker_id: str) -> UpdateJob:
    """The update that a polling worker would send."""
    return UpdateJob(
        worker=worker_id,
        job=pending.fence.job_id,
        status=pending.ended or "progress",
        output=pending.output,
        error=pending.error,
        yielded=pending.yielded,
        yields=list(pending.yields),
        cancels=list(pending.cancels),
        uncompensated=pending.uncompensated,
        uncompensated_steps=list(pending.uncompensated_steps),
        unasked_steps=list(pending.unasked_steps),
        caused_by=list(pending.caused_by),
        step_offset=pending.step_offset,
        steps=list(pending.steps),
        logs=list(pending.logs),
        values=list(pending.values),
        state=pending.state,
        restart=pending.restart,
        started=[each for each in pending.started if each.id not in {step.id for step in pending.steps}],
        # The start of a step is no boundary at which a run pauses.
        running=0 if pending.steps else 1,
        execution_seq=pending.fence.execution_seq,
        lease_token=pending.fence.token,
    )


def ack_of(pending: PendingReport, worker_id: str) -> AckJob:
    """The ack that a polling worker would send."""
    fence = pending.fence
    return AckJob(worker=worker_id, job=fence.job_id, execution_seq=fence.execution_seq, lease_token=fence.token)


def failure_of(pending: PendingReport, error: ReportedError, *, with_steps: bool) -> PendingReport:
    """What is reported of an execution in place of a report that is refused. with_steps: its steps stand."""
    return PendingReport(
        pending.fence,
        steps=pending.steps if with_steps else (),
        step_offset=pending.step_offset if with_steps else 0,
        ended="failed",
        error=error,
        uncompensated=True,
    )


def is_over(report: UpdateJob, verdict: Verdict) -> bool:
    """Whether the executor has the job no longer: its end is durable, or its run is paused or another's."""
    if verdict.control in ("paused", "cancelled", "lost"):
        return True
    return verdict.error == StaleExecution.code or (verdict.error is None and report.status != "progress")
