"""What happens when that has come which a run waits for: a time, an event, the end of a child."""

import msgspec
from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.effects import DropTimer, DropWait, Effect
from ironflow.engine.facts import Fact, RetryStarted, RunFailed, StepsRecorded, Woken
from ironflow.engine.model import ErrorValue, Run, Step, error_text
from ironflow.engine.outcome import NOTHING, Outcome

WAIT_TIMEOUT = "WAIT_TIMEOUT"


class InvokeFailure(msgspec.Struct, frozen=True):
    """The error of an invoking step, as SDKs read it. Source: protocol/step-semantics.md 6."""

    message: str
    function_id: str
    child_run_id: str
    cause: str
    code: str = "INVOKE_FAILED"
    retryable: bool = False


def decide_sleep_over(run: Run, command: commands.SleepOver, now: Millis) -> Outcome:
    """The sleeping step is completed with null, and the run goes on."""
    step = _open(run, command.step_id, "sleeping")
    if step is None:
        return NOTHING
    return _completed(run, step, "null", now)


def decide_retry_start(run: Run, now: Millis) -> Outcome:
    """The next attempt begins, if the run still waits for it."""
    if run.status != "waiting" or run.reason != "retry":
        return NOTHING
    return Outcome((RetryStarted(at=now, attempt=run.attempt + 1),))


def decide_start(run: Run, now: Millis) -> Outcome:
    """A run that had to wait for its start goes into the queue."""
    if run.status != "waiting" or run.reason != "throttle":
        return NOTHING
    return Outcome((Woken(at=now),))


def decide_event_came(run: Run, command: commands.EventCame, now: Millis) -> Outcome:
    """The waiting step is completed with the event; a second matching event finds nobody."""
    step = _open(run, command.step_id, "waiting")
    if step is None:
        return NOTHING
    effects: tuple[Effect, ...] = (
        DropTimer(kind="wait", step_id=step.step_id),
        DropWait(step_id=step.step_id),
    )
    return _completed(run, step, command.event, now, effects)


def decide_wait_timed_out(run: Run, command: commands.WaitTimedOut, now: Millis) -> Outcome:
    """The run fails without retry, and without asking its handler; one that is paused does so when it is resumed.

    Source: protocol/step-semantics.md 5, "Timeout"; decision 0024.
    """
    step = _open(run, command.step_id, "waiting")
    if step is None:
        return NOTHING
    error = ErrorValue(message=f"No {step.wait_event} came before the wait {step.name!r} timed out.", code=WAIT_TIMEOUT)
    text = error_text(error)
    timed_out = replace(step, status="timed_out", error=text, ended_at=now, updated_at=now)
    happened: tuple[Fact, ...] = (StepsRecorded(at=now, steps=(timed_out,)),)
    if run.status == "waiting":
        happened = (*happened, RunFailed(at=now, error=text, report=run.last_report))
    return Outcome(happened, (DropWait(step_id=step.step_id),))


def decide_child_ended(run: Run, command: commands.ChildEnded, now: Millis) -> Outcome:
    """The invoking step takes over the child's output, or fails with its error; either way the run goes on."""
    step = _open(run, command.step_id, "waiting")
    if step is None or step.child_run_id != command.child_run_id:
        return NOTHING
    effects: tuple[Effect, ...] = (DropTimer(kind="invoke", step_id=step.step_id),)
    if command.error is None:
        return _completed(run, step, command.output or "null", now, effects)
    return decide_invoke_failure(run, step, command.function_id, command.error, now, effects)


def decide_invoke_timed_out(run: Run, command: commands.InvokeTimedOut, now: Millis) -> Outcome:
    """The invoking step fails; the child goes on by itself."""
    step = _open(run, command.step_id, "waiting")
    if step is None:
        return NOTHING
    return decide_invoke_failure(run, step, command.function_id, "invoke timed out", now)


def decide_invoke_failure(
    run: Run, step: Step, function_id: str, cause: str, now: Millis, effects: tuple[Effect, ...] = ()
) -> Outcome:
    """The invoking step is failed with an error that the handler sees on its next execution."""
    failure = InvokeFailure(
        message=f"Function {function_id!r} failed: {cause}",
        function_id=function_id,
        child_run_id=step.child_run_id or "",
        cause=cause,
    )
    text = msgspec.json.encode(failure).decode()
    failed = replace(step, status="failed", error=text, ended_at=now, updated_at=now)
    return Outcome((StepsRecorded(at=now, steps=(failed,)), *_going_on(run, now)), effects)


def _open(run: Run, step_id: str, status: str) -> Step | None:
    """The step, if it still waits and its run still cares."""
    step = run.steps.get(step_id)
    return step if step is not None and step.status == status and not run.ended else None


def _completed(run: Run, step: Step, output: str, now: Millis, effects: tuple[Effect, ...] = ()) -> Outcome:
    done = replace(step, status="completed", output=output, ended_at=now, updated_at=now)
    return Outcome((StepsRecorded(at=now, steps=(done,)), *_going_on(run, now)), effects)


def _going_on(run: Run, now: Millis) -> tuple[Fact, ...]:
    """A waiting run goes back into the queue; a paused one keeps what has come for when it is resumed."""
    return (Woken(at=now),) if run.status == "waiting" else ()
