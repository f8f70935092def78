"""What a caller who waited for a run gets: its output, or an error that says how it ended.

Source: protocol/connectrpc.md 5.1 (TriggerSync), protocol/errors-and-defaults.md 1.
"""

from typing import Any

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import DeadlineExceeded, FailedPrecondition, RunCancelledError, RunFailedError
from ironflow.features.runs.contract import RunStatus
from ironflow.sdk.views import Run, RunResult

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
            reason = result.error.message if result.error else "no reason was recorded"
            raise RunFailedError(f"{which} failed: {reason}", run_id=result.run_id, error=result.error)
        case RunStatus.CANCELLED:
            raise RunCancelledError(f"{which} was cancelled", run_id=result.run_id, error=result.error)
    raise DeadlineExceeded(
        f"{which} is still {result.status.value}; it goes on. Wait longer, or look at it later.",
        details={"run_id": result.run_id, "status": result.status.value},
    )


def first_output(results: list[RunResult], event: str, event_id: str) -> Any:
    """The output of the first run that an event started. Raises NoRunStarted when it started none."""
    if not results:
        raise NoRunStarted(
            f"event {event!r} was recorded as {event_id}, but no active function is triggered by it. "
            "Is the worker that registers it running?",
            details={"event_id": event_id},
        )
    return output_of(results[0])


def still_going(run: Run, waited_s: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"run {run.id} of {run.function_id} is still {run.state or run.status.value} after {waited_s:.3g} s.",
        details={"run_id": run.id, "status": run.status.value},
    )


def next_look_s(last_s: float | None) -> float:
    """Seconds until a waited-for run is looked at again, after `last_s`; None for the first time."""
    return _FIRST_LOOK_S if last_s is None else min(last_s * _LOOK_FACTOR, _LOOK_MAX_S)
