"""What follows when a wait ends: a timer is due, an event is received, a child has ended."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ironflow.base.message_waits import awaited_text
from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.effects import CancelChild, DropTimer, DropTimers, DropWait, Effect, SetTimer
from ironflow.engine.evolve import fold
from ironflow.engine.facts import (
    CompensationStarted,
    Fact,
    RetryStarted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    StepsRecorded,
    WakeScheduled,
    Woken,
)
from ironflow.engine.model import ErrorValue, Reason, Run, Step, error_text, read_family
from ironflow.engine.outcome import NOTHING, Outcome

WAIT_TIMEOUT = "WAIT_TIMEOUT"
STEP_CANCELLED = "STEP_CANCELLED"
INVOKE_TIMED_OUT = "invoke timed out"

# Why a run waits in steps.
OPEN_REASONS: frozenset[Reason] = frozenset({"sleep", "wait_event", "invoke"})
# With this many open steps the run does not go on with each that ends, but with those that end within GATHER_MS.
GATHERED_FROM = 20
GATHER_MS = 500
# Facts that end a run, or all of it but its compensations. A union of the classes would be made anew at each look.
_ENDS = (RunCompleted, RunFailed, RunCancelled, CompensationStarted)


class InvokeFailure(msgspec.Struct, frozen=True):
    """The error of an invoke step, as SDKs read it. Source: protocol/step-semantics.md 6.

    Ours: timed_out: set when the child did not end in time. error_class, details, and a code of its own: of the error
    with which the child failed.
    """

    message: str
    function_id: str
    child_run_id: str
    cause: str
    code: str = "INVOKE_FAILED"
    retryable: bool = False
    timed_out: bool | UnsetType = UNSET
    error_class: str | UnsetType = UNSET
    details: Any = UNSET


# Codes that say nothing but that something failed.
PLAIN_CODES = frozenset({"", "ERROR", "STEP_FAILED"})
NO_ERROR = ErrorValue(message="")


def failure_of_child(message: str, function_id: str, child_run_id: str, cause: str, error: ErrorValue) -> InvokeFailure:
    """error: with which the child failed; its code, class and details are those of the failure."""
    return InvokeFailure(
        message=message,
        function_id=function_id,
        child_run_id=child_run_id,
        cause=cause,
        code="INVOKE_FAILED" if error.code in PLAIN_CODES else error.code,
        error_class=error.error_class or UNSET,
        details=UNSET if error.details is None else error.details,
    )


def decide_sleep_due(run: Run, command: commands.SleepDue, now: Millis) -> Outcome:
    """The sleeping step is completed with null, and the run goes on."""
    step = _open(run, command.step_id, "sleeping")
    if step is None:
        return NOTHING
    return _completed(run, step, "null", now)


def decide_rest_due(run: Run, command: commands.RestDue, now: Millis) -> Outcome:
    """The next attempt of the step is due, and the run goes on."""
    step = _open(run, command.step_id, "retrying")
    if step is None:
        return NOTHING
    return _ended(run, replace(step, status="pending", updated_at=now), now)


def decide_retry_start(run: Run, now: Millis) -> Outcome:
    """The next attempt begins, if the run still waits for it."""
    if run.status != "waiting" or run.reason != "retry" or run.open_step is not None:
        return NOTHING
    # Its attempts are over when only compensations are tried again.
    attempt = run.attempt + (run.compensating is None)
    return Outcome((RetryStarted(at=now, attempt=attempt),))


def decide_start(run: Run, now: Millis) -> Outcome:
    """A run that waited for its earliest start enters the queue."""
    if run.status != "waiting" or run.reason != "throttle":
        return NOTHING
    return Outcome((Woken(at=now),))


def decide_wake_due(run: Run, now: Millis) -> Outcome:
    """A run goes on, some of whose waits have ended, if it still waits."""
    if run.status != "waiting" or run.wake_at is None or run.wake_at > now:
        return NOTHING
    return Outcome((Woken(at=now),))


def decide_event_received(run: Run, command: commands.EventReceived, now: Millis) -> Outcome:
    """The waiting step is completed with the event; a second matching event changes nothing."""
    step = _open(run, command.step_id, "waiting")
    if step is None:
        return NOTHING
    return _completed(run, step, command.event, now, _closing_effects(step))


def decide_wait_timed_out(run: Run, command: commands.WaitTimedOut, now: Millis) -> Outcome:
    """The handler gets the time-out, where its SDK takes it; else the run fails without another execution.

    A paused run goes on, or fails, when it is resumed.
    Source: protocol/step-semantics.md 5, "Timeout"; decision 0024;
    docs/reference/semantics.md, "Waiting together, time-outs, early events".
    """
    step = _open(run, command.step_id, "waiting")
    if step is None:
        return NOTHING
    what = awaited_text(step.wait_event or "event")
    error = ErrorValue(message=f"No {what} was received before the wait {step.name!r} timed out.", code=WAIT_TIMEOUT)
    text = error_text(error)
    timed_out = replace(step, status="timed_out", error=text, ended_at=now, updated_at=now)
    dropped = (DropWait(step_id=step.step_id),)
    if step.on_timeout == "answer" or run.compensating is not None:
        return _ended(run, timed_out, now, dropped)
    happened: tuple[Fact, ...] = (StepsRecorded(at=now, steps=(timed_out,)),)
    if run.status == "waiting":
        happened = (*happened, RunFailed(at=now, error=text, report=run.last_report))
    return Outcome(happened, dropped)


def decide_child_ended(run: Run, command: commands.ChildEnded, now: Millis) -> Outcome:
    """The invoke step is completed with the output of the child, or failed with its error; the run goes on."""
    step = run.steps.get(command.step_id)
    if step is None or step.status != "waiting" or step.child_run_id != command.child_run_id:
        return NOTHING
    if step.handle:
        return _handle_ended(run, step, command, now)
    if run.ended:
        return NOTHING
    effects: tuple[Effect, ...] = (DropTimer(kind="invoke", step_id=step.step_id),)
    if command.error is None:
        return _completed(run, step, command.output or "null", now, effects)
    return _ended(run, invoke_failed(step, command.function_id, command.error, now, command.failure), now, effects)


def _handle_ended(run: Run, step: Step, command: commands.ChildEnded, now: Millis) -> Outcome:
    """The result is recorded, also in a run that has failed and may be resumed. A run that joins may go on."""
    if run.ended and run.status != "failed":
        return NOTHING
    if command.error is None:
        done = replace(step, status="completed", output=command.output or "null", ended_at=now, updated_at=now)
    else:
        done = invoke_failed(step, command.function_id, command.error, now, command.failure)
    recorded = StepsRecorded(at=now, steps=(done,))
    after = fold(run, (recorded,))
    if run.status == "waiting" and run.reason in OPEN_REASONS and read_family(after.family).joined:
        return Outcome((recorded, Woken(at=now)))
    return Outcome((recorded,))


def decide_child_started(run: Run, command: commands.ChildStarted, now: Millis) -> Outcome:
    """The time-out of an invoke that counts from its child's start begins."""
    step = _open(run, command.step_id, "waiting")
    if step is None or step.child_run_id != command.child_run_id or step.wait_until is not None:
        return NOTHING
    until = now + command.timeout_ms
    begun = replace(step, wait_until=until, updated_at=now)
    effects = (SetTimer(kind="invoke", due_at=until, step_id=step.step_id),)
    return Outcome((StepsRecorded(at=now, steps=(begun,)),), effects)


def decide_invoke_timed_out(run: Run, command: commands.InvokeTimedOut, now: Millis) -> Outcome:
    """The invoke step fails; the child goes on by itself."""
    step = _open(run, command.step_id, "waiting")
    if step is None:
        return NOTHING
    return _ended(run, invoke_failed(step, command.function_id, INVOKE_TIMED_OUT, now, timed_out=True), now)


def invoke_failed(
    step: Step, function_id: str, cause: str, now: Millis, error: ErrorValue = NO_ERROR, *, timed_out: bool = False
) -> Step:
    """The invoke step with the error that the handler gets in its next execution."""
    message = f"Function {function_id!r} failed: {cause}"
    failure = failure_of_child(message, function_id, step.child_run_id or "", cause, error)
    if timed_out:
        failure = replace(failure, timed_out=True)
    text = msgspec.json.encode(failure).decode()
    return replace(step, status="failed", error=text, ended_at=now, updated_at=now)


def decide_step_cancels(run: Run, names: tuple[str, ...], now: Millis) -> Outcome:
    """Open steps that the handler waits for no more: their timers and waits go, and their children are cancelled.

    run: with its open steps. names: step ids, and scopes, which end with a colon: all steps of their branches.
    """
    if not names:
        return NOTHING
    exact = frozenset(each for each in names if not each.endswith(":"))
    scopes = tuple(each for each in names if each.endswith(":"))
    cancelled = [step for step in run.steps.values() if step.open and (step.step_id in exact or _in(step, scopes))]
    if not cancelled:
        return NOTHING
    effects: list[Effect] = []
    for step in cancelled:
        effects += _closing_effects(step)
        if step.child_run_id is not None:
            effects.append(CancelChild(run_id=step.child_run_id, cause=f"its parent {run.id} waits for it no more"))
    return Outcome((StepsRecorded(at=now, steps=_cancelled(cancelled, now)),), tuple(effects))


def _in(step: Step, scopes: tuple[str, ...]) -> bool:
    """Whether the step is in a branch of one of the scopes; a step with a scope's own name is not."""
    return any(step.step_id.startswith(each) and ":" in step.step_id[len(each) :] for each in scopes)


def with_steps_closed(run: Run | None, outcome: Outcome, now: Millis) -> Outcome:
    """`outcome`, and the end of all open steps where it ends the run; children go on.

    The steps of a run that is cancelled at once stay as they were.
    """
    if run is None or not outcome.facts:
        return outcome
    last = outcome.facts[-1]
    if not isinstance(last, _ENDS):
        return outcome
    at_once = isinstance(last, RunCancelled) and run.cancelling is None
    # The end itself leaves its steps as they are.
    if at_once or (outcome.after is not None and not outcome.after.open_waits):
        return outcome
    before = fold(run, outcome.facts[:-1]) if len(outcome.facts) > 1 else run
    if not before.open_waits:
        return outcome
    # A handle stays: the run that it stands for goes on, and is found again when this one is resumed.
    left = _cancelled([step for step in before.steps.values() if step.open and not step.handle], now)
    closed = (StepsRecorded(at=now, steps=left),) if left else ()
    return Outcome((*outcome.facts[:-1], *closed, last), (DropTimers(), *outcome.effects))


def _cancelled(steps: list[Step], now: Millis) -> tuple[Step, ...]:
    text = error_text(ErrorValue(message="The handler waits for this step no more.", code=STEP_CANCELLED))
    return tuple(
        # A step that rests keeps the error of its last attempt.
        replace(step, status="cancelled", updated_at=now)
        if step.status == "retrying"
        else replace(step, status="cancelled", error=text, ended_at=now, updated_at=now)
        for step in steps
    )


def _closing_effects(step: Step) -> tuple[Effect, ...]:
    """The rows of an open step that go when it ends before its time."""
    match step.type:
        case "sleep":
            return (DropTimer(kind="sleep", step_id=step.step_id),)
        case "invoke" | "compensate":
            return (DropTimer(kind="rest", step_id=step.step_id),)
        case "wait_for_event":
            return (DropTimer(kind="wait", step_id=step.step_id), DropWait(step_id=step.step_id))
        case _:
            return (DropTimer(kind="invoke", step_id=step.step_id),)


def _waits_in_steps(run: Run) -> bool:
    """An attempt of the run that is to follow another has no step that it waits in; one of a step has."""
    return run.reason in OPEN_REASONS or (run.reason == "retry" and run.open_step is not None)


def _open(run: Run, step_id: str, status: str) -> Step | None:
    """The step, if it has this status and its run has not ended."""
    step = run.steps.get(step_id)
    return step if step is not None and step.status == status and not run.ended else None


def _completed(run: Run, step: Step, output: str, now: Millis, effects: tuple[Effect, ...] = ()) -> Outcome:
    done = replace(step, status="completed", output=output, ended_at=now, updated_at=now)
    return _ended(run, done, now, effects)


def _ended(run: Run, step: Step, now: Millis, effects: tuple[Effect, ...] = ()) -> Outcome:
    """An open step has ended as `step` says."""
    wake = decide_wake(run, run.open_waits - 1, now)
    return Outcome((StepsRecorded(at=now, steps=(step,)), *wake.facts), (*effects, *wake.effects))


def decide_wake(run: Run, left: int, now: Millis) -> Outcome:
    """Whether the run goes on, when a step that it waits for has ended. left: steps that are still open.

    With less than GATHERED_FROM open steps it goes on at once; with more, GATHER_MS later or with the last of them. A
    paused run goes on when it is resumed.
    Source: docs/reference/semantics.md, "Waiting together, time-outs, early events".
    """
    if run.status == "paused" and run.wake_at is None:
        return Outcome((WakeScheduled(at=now, wake_at=now),))
    if run.status != "waiting" or not _waits_in_steps(run):
        return NOTHING
    if left <= 0 or (run.wake_at is None and left + 1 < GATHERED_FROM):
        return Outcome((Woken(at=now),))
    if run.wake_at is not None:
        return NOTHING
    due_at = now + GATHER_MS
    return Outcome((WakeScheduled(at=now, wake_at=due_at),), (SetTimer(kind="wake", due_at=due_at),))
