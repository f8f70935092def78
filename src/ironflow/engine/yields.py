"""What an execution stops for: a time, an event, another function.

The waiting step, its timer and what it waits for are written in the transaction that ends the execution.
Source: protocol/step-semantics.md 4 to 6.
"""

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.effects import AddWait, Effect, SetTimer, StartChild
from ironflow.engine.facts import Fact, RunFailed, StepsRecorded, Waiting, Woken
from ironflow.engine.model import ErrorValue, Reason, Run, Step, error_text
from ironflow.engine.outcome import Outcome
from ironflow.engine.wake import decide_invoke_failure


def decide_yield(run: Run, yielded: commands.YieldFor, word: str, now: Millis) -> Outcome:
    """`run` has the steps of the same report already. word: what identifies the report.

    A step that is completed already is not waited for again: the run goes straight back into the queue.
    """
    known = run.steps.get(yielded.step_id)
    reason = _reason(yielded)
    if known is not None and known.status == "completed":
        return Outcome(_through(reason, yielded.step_id, word, now))
    match yielded:
        case commands.Sleep():
            return _sleep(run, yielded, known, word, now)
        case commands.WaitForEvent():
            return _wait(run, yielded, known, word, now)
        case commands.Invoke():
            return _invoke(run, yielded, known, word, now)


def _reason(yielded: commands.YieldFor) -> Reason:
    match yielded:
        case commands.Sleep():
            return "sleep"
        case commands.WaitForEvent():
            return "wait_event"
        case commands.Invoke():
            return "invoke"


def _sleep(run: Run, sleep: commands.Sleep, known: Step | None, word: str, now: Millis) -> Outcome:
    until = sleep.until
    if known is not None and known.status == "sleeping" and known.sleep_until is not None:
        # Asked again while it sleeps: a sleep of ten minutes does not begin anew.
        until = known.sleep_until
    step = _step(run, known, sleep.step_id, sleep.name, "sleep", "sleeping", now)
    step = replace(step, sleep_until=until)
    if until <= now:
        return _at_once(step, "null", "sleep", word, now)
    return Outcome(
        (StepsRecorded(at=now, steps=(step,)), _waiting("sleep", until, step, word, now)),
        (SetTimer(kind="sleep", due_at=until, step_id=step.step_id),),
    )


def _wait(run: Run, wait: commands.WaitForEvent, known: Step | None, word: str, now: Millis) -> Outcome:
    until = now + wait.timeout_ms
    if known is not None and known.status == "waiting" and known.wait_until is not None:
        # Asked again while it waits: the first deadline stands.
        until = known.wait_until
    step = _step(run, known, wait.step_id, wait.name, "wait_for_event", "waiting", now)
    step = replace(step, wait_event=wait.event, wait_until=until, input=wait.payload)
    if wait.found is not None:
        return _at_once(step, wait.found, "wait_event", word, now)
    effects: tuple[Effect, ...] = (
        SetTimer(kind="wait", due_at=until, step_id=step.step_id),
        AddWait(step_id=step.step_id, event=wait.event, path=wait.path, value=wait.value, expression=wait.expression),
    )
    return Outcome((StepsRecorded(at=now, steps=(step,)), _waiting("wait_event", until, step, word, now)), effects)


def _invoke(run: Run, invoke: commands.Invoke, known: Step | None, word: str, now: Millis) -> Outcome:
    """A child once, whatever is repeated; a step that failed already fails the run, for its runtime cannot see it."""
    if known is not None and known.status in ("failed", "timed_out"):
        error = ErrorValue(
            message=f"Function {invoke.function_id!r} failed, see step {known.name!r}.", code="INVOKE_FAILED"
        )
        return Outcome((RunFailed(at=now, error=known.error or error_text(error), report=word),))
    if known is not None:
        # The child is under way: keep waiting, until the first deadline. A resume from a later step dropped its timer.
        until = known.wait_until if known.wait_until is not None else now
        timer = SetTimer(kind="invoke", due_at=until, step_id=known.step_id)
        return Outcome((_waiting("invoke", until, known, word, now),), (timer,))
    step = _step(run, None, invoke.step_id, invoke.name, "invoke_function", "waiting", now)
    step = replace(step, input=invoke.input)
    if invoke.refusal:
        waiting = replace(run, status="waiting")
        refused = decide_invoke_failure(waiting, step, invoke.function_id, invoke.refusal, now)
        recorded, *woken = refused.facts
        return Outcome((recorded, _waiting("invoke", now, step, word, now), *woken))
    step = replace(step, child_run_id=invoke.child_run_id)
    child = StartChild(
        step_id=step.step_id, function_id=invoke.function_id, run_id=invoke.child_run_id, input=invoke.input
    )
    if invoke.asynchronous:
        through = _at_once(step, f'{{"run_id":"{invoke.child_run_id}"}}', "invoke", word, now)
        return Outcome(through.facts, (child,))
    until = now + invoke.timeout_ms
    step = replace(step, wait_until=until)
    return Outcome(
        (StepsRecorded(at=now, steps=(step,)), _waiting("invoke", until, step, word, now)),
        (child, SetTimer(kind="invoke", due_at=until, step_id=step.step_id)),
    )


def _step(run: Run, known: Step | None, step_id: str, name: str, kind: str, status: str, now: Millis) -> Step:
    return Step(
        step_id=step_id,
        name=name,
        type=kind,
        status=status,
        sequence=run.next_sequence if known is None else known.sequence,
        number=run.step_count if known is None else known.number,
        attempt=run.attempt,
        created_at=now if known is None else known.created_at,
        updated_at=now,
        started_at=now if known is None else known.started_at,
    )


def _waiting(reason: Reason, until: Millis | None, step: Step, word: str, now: Millis) -> Waiting:
    return Waiting(at=now, reason=reason, until=until, step_id=step.step_id, report=word)


def _through(reason: Reason, step_id: str, word: str, now: Millis) -> tuple[Fact, ...]:
    return (Waiting(at=now, reason=reason, until=now, step_id=step_id, report=word), Woken(at=now))


def _at_once(step: Step, output: str, reason: Reason, word: str, now: Millis) -> Outcome:
    """What is waited for has come already: the step is completed and the run goes straight back into the queue."""
    done = replace(step, status="completed", output=output, ended_at=now)
    return Outcome((StepsRecorded(at=now, steps=(done,)), *_through(reason, step.step_id, word, now)))
