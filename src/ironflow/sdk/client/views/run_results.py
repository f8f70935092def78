"""The result of waiting for a run: its output, or an error for how it ended.

Source: protocol/connectrpc.md 5.1 (TriggerSync), protocol/errors-and-defaults.md 1.
"""

from datetime import timedelta
from typing import Any, NamedTuple

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import DeadlineExceeded, FailedPrecondition, RunCancelledError, RunFailedError
from ironflow.features.runs.contract import RunStatus
from ironflow.sdk.client.views import Failure, Run, RunResult

# Codes that say nothing but that something failed.
PLAIN_CODES = (None, "", "ERROR", "STEP_FAILED")
WAIT_DEFAULT_S = 30.0
# What the answer of a call that waits may take beyond the wait.
_ANSWER_S = 5.0
_FIRST_LOOK_S, _LOOK_FACTOR, _LOOK_MAX_S = 0.02, 1.5, 1.0


class NoRunStarted(FailedPrecondition):
    """The event was recorded, but no active function is triggered by it. Is the worker that registers it running?"""

    code = "NO_RESULTS"


def wait_times(timeout: Duration | None) -> tuple[int, float]:
    """For a call that waits at the server: milliseconds to wait there (0: its default), seconds for the whole call."""
    waited_ms = 0 if timeout is None else max(duration_ms(timeout), 1)
    return waited_ms, (waited_ms / 1000 or WAIT_DEFAULT_S) + _ANSWER_S


def output_of(result: RunResult) -> Any:
    """The run's output. Raises RunFailedError, RunCancelledError, or DeadlineExceeded for a run that goes on."""
    which = f"run {result.run_id} of {result.function_id}"
    match result.status:
        case RunStatus.COMPLETED:
            return result.output
        case RunStatus.FAILED:
            error = result.error or Failure(message="no reason was recorded")
            raise RunFailedError(
                f"{which} failed: {error.message}",
                run_id=result.run_id,
                error=result.error,
                code="" if error.code in PLAIN_CODES else error.code,
                error_class=error.error_class or "",
                details=error.details if isinstance(error.details, dict) else None,
            )
        case RunStatus.CANCELLED:
            raise RunCancelledError(f"{which} was cancelled", run_id=result.run_id, error=result.error)
    raise DeadlineExceeded(
        f"{which} is still {result.status.value}; it goes on. Wait longer, or look at it later.",
        details={"run_id": result.run_id, "status": result.status.value},
    )


class EmitResult(NamedTuple):
    """How the runs of an event ended, all of them completed. What is named in the singular is of the first.

    duration: from the start of the run to its end. runs: in the order in which the event started them.
    """

    output: Any
    run_id: str
    function_id: str
    status: RunStatus
    duration: timedelta
    runs: list[RunResult]
    event_id: str


def emit_result(results: list[RunResult], event: str, event_id: str) -> EmitResult:
    """The result of an event whose runs were waited for.

    Raises NoRunStarted when it started none. A run that failed comes before one that was cancelled, and that before one
    that goes on: RunFailedError, RunCancelledError, DeadlineExceeded.
    """
    if not results:
        raise NoRunStarted(
            f"event {event!r} was recorded as {event_id}, but no active function is triggered by it. "
            "Is the worker that registers it running?",
            details={"event_id": event_id},
        )
    for status in (RunStatus.FAILED, RunStatus.CANCELLED):
        for result in results:
            if result.status is status:
                output_of(result)
    outputs = [output_of(result) for result in results]
    first = results[0]
    return EmitResult(
        output=outputs[0],
        run_id=first.run_id,
        function_id=first.function_id,
        status=first.status,
        duration=timedelta(milliseconds=first.duration_ms),
        runs=results,
        event_id=event_id,
    )


def still_going(run: Run, waited_s: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"run {run.id} of {run.function_id} is still {run.state or run.status.value} after {waited_s:.3g} s.",
        details={"run_id": run.id, "status": run.status.value},
    )


def next_look_s(last_s: float | None) -> float:
    """Seconds until a waited-for run is looked at again, after `last_s`; None for the first time."""
    return _FIRST_LOOK_S if last_s is None else min(last_s * _LOOK_FACTOR, _LOOK_MAX_S)
