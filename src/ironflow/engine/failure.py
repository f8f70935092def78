"""What follows from a failed attempt: a retry, a pause or the end of the run."""

from ironflow.base.time import Millis
from ironflow.engine.effects import SetTimer
from ironflow.engine.facts import AttemptFailed, CompensationStarted, RunCancelled, RunFailed, RunPaused
from ironflow.engine.model import ErrorValue, NotBegun, Run, error_text, read_error, read_not_begun
from ironflow.engine.outcome import Outcome
from ironflow.engine.retry import decide_retry_at, decide_retry_delay

# The handler reached a recorded step as a step of another type: its code does not fit the recorded history.
DIVERGED = "STEP_DIVERGED"
# The error code of a worker that was handed a job of a function it does not have; it sends no ack before.
NO_SUCH_FUNCTION = "FUNCTION_NOT_FOUND"
# Those of a worker that lacks what another may have.
LACKING = (NO_SUCH_FUNCTION, "CANNOT_DECODE")
# Those of an execution whose request to an endpoint had no answer.
UNANSWERED = "PUSH_"
# An execution that could not begin is not tried again sooner.
NOT_BEGUN_MS = 1_000
# The error with which a run is undone that is to be cancelled.
CANCELLED = "RUN_CANCELLED"


def decide_failure(
    run: Run,
    error: ErrorValue,
    report: str,
    now: Millis,
    *,
    uncompensated: bool = False,
    uncompensated_steps: tuple[str, ...] = (),
) -> Outcome:
    """Another attempt after a delay, a pause for a person, or the end.

    report: `report_id` of the update that reported the failure, empty when none did. uncompensated: its worker has not
    run the compensations. uncompensated_steps: compensations that it has run, and that failed.
    Source: protocol/errors-and-defaults.md 1, "What the engine does with a failed step or handler".
    """
    text = error_text(error)
    if error.code == DIVERGED:
        # Another attempt would diverge again, and failing would discard the run: a person decides.
        return Outcome((RunPaused(at=now, reason="diverged", error=text, report=report),))
    retry_at = decide_retry_at(run.policy, run.attempt, error, now)
    if retry_at is not None:
        failed = AttemptFailed(at=now, error=text, retry_at=retry_at, report=report)
        return Outcome((failed,), (SetTimer(kind="retry", due_at=retry_at),))
    if (error.retryable or error.exhausted) and run.policy.on_exhausted == "pause":
        return Outcome((RunPaused(at=now, reason="exhausted", error=text, report=report),))
    if uncompensated or uncompensated_steps:
        return decide_end(run, text, report, now, uncompensated_steps)
    return Outcome((RunFailed(at=now, error=text, report=report),))


def decide_end(run: Run, error: str, report: str, now: Millis, failed: tuple[str, ...] = ()) -> Outcome:
    """The end of a run whose compensations its worker has not run: where it can, one more execution runs them.

    error: as JSON text. failed: compensations that its worker has run, and that failed; where one of them is to be
    tried again, an execution does that after the delay of the run's retry.
    Source: docs/reference/semantics.md, "Waiting together, time-outs, early events".
    """
    if failed:
        retry_at = decide_compensation_retry_at(run, failed, now)
        if retry_at is not None:
            started = CompensationStarted(at=now, error=error, report=report, retry_at=retry_at)
            return Outcome((started,), (SetTimer(kind="retry", due_at=retry_at),))
        return _over(run, error, report, now)
    if run.compensating is not None:
        return _over(run, run.compensating, report, now)
    if not run.policy.compensation_timeout_ms or not run.step_count:
        return Outcome((RunFailed(at=now, error=error, report=report),))
    return Outcome((CompensationStarted(at=now, error=error, report=report),))


def _over(run: Run, error: str, report: str, now: Millis, not_begun: NotBegun | None = None) -> Outcome:
    """No compensation of the run is left, or none that can be run: not_begun says why."""
    if run.cancelling is not None:
        return Outcome((RunCancelled(at=now, cause=run.cancelling, report=report, not_begun=not_begun),))
    return Outcome((RunFailed(at=now, error=error, report=report, not_begun=not_begun),))


def decide_undoing(run: Run, cause: str, report: str, now: Millis) -> Outcome:
    """The execution that runs the compensations of a run that is to be cancelled. cause: why."""
    error = error_text(ErrorValue(message=f"The run is being cancelled: {cause}", code=CANCELLED))
    return Outcome((CompensationStarted(at=now, error=run.compensating or error, report=report),))


def decide_not_begun(run: Run, error: ErrorValue, report: str, now: Millis) -> Outcome | None:
    """The next execution of a run whose execution for compensations could not begin; None where it ends.

    A worker that lacks something leaves the run to others, however long it takes to start one. An endpoint that does
    not answer is asked as often as an attempt of the run is made.
    Source: docs/guides/functions-and-steps.md, "Compensations".
    """
    times = read_not_begun(run.not_begun).times + 1
    not_begun = NotBegun(times, error.message)
    undone_for = run.compensating or ""
    unanswered = error.code.startswith(UNANSWERED)
    if error.code not in LACKING and not unanswered:
        return None
    if unanswered and (not error.retryable or times >= run.policy.max_attempts):
        return _over(run, undone_for, report, now, not_begun)
    retry_at = now + max(decide_retry_delay(run.policy, times, error.retry_after_ms), NOT_BEGUN_MS)
    started = CompensationStarted(at=now, error=undone_for, report=report, retry_at=retry_at, not_begun=not_begun)
    return Outcome((started,), (SetTimer(kind="retry", due_at=retry_at),))


def decide_compensation_retry_at(run: Run, failed: tuple[str, ...], now: Millis) -> Millis | None:
    """When compensations that failed are tried again; None when they are not.

    run: with these steps. failed: their ids. Source: docs/guides/functions-and-steps.md, "Compensations".
    """
    if not run.policy.compensation_timeout_ms:
        return None
    known = (run.steps.get(step_id) for step_id in failed)
    delays = [
        decide_retry_delay(run.policy, step.attempt, read_error(step.error or "").retry_after_ms)
        for step in known
        if step is not None and step.type == "compensate" and step.status == "failed" and not step.failure
    ]
    return now + max(delays) if delays else None
