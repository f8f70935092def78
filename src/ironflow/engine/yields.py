"""An execution yields: it ends, and its run waits for times, events and other runs.

All open steps, their timers and their waits are written in the transaction that ends the execution.
Source: protocol/step-semantics.md 4 to 6; docs/reference/semantics.md, "Waiting together, time-outs, early events".
"""

from typing import NamedTuple, assert_never

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.effects import AddWait, Effect, SetTimer, StartChild
from ironflow.engine.evolve import fold
from ironflow.engine.facts import Fact, Join, RunFailed, StepsRecorded, Waiting, WakeScheduled, Woken
from ironflow.engine.model import HANDLE, ErrorValue, Reason, Run, Step, error_text, read_family
from ironflow.engine.outcome import NOTHING, Outcome
from ironflow.engine.step_attempts import rests
from ironflow.engine.wake import GATHER_MS, GATHERED_FROM, invoke_failed


class _Opening(NamedTuple):
    """What becomes of one step that the handler waits for.

    step: as it is now. recorded: whether it is new or has changed. at_once: the handler goes on without a wait.
    """

    step: Step
    recorded: bool
    effects: tuple[Effect, ...] = ()
    at_once: bool = False


class _Refused(NamedTuple):
    """The run fails with this error."""

    error: str


def decide_yields(
    run: Run,
    yields: tuple[commands.YieldFor, ...],
    report: str,
    now: Millis,
    join: commands.JoinHandles | None = None,
) -> Outcome:
    """The open steps, their timers and their waits. run: with the steps of the same report. report: its `report_id`.

    A step that has ended already is not waited for again: with few open steps the run goes straight back into the
    queue, with many it goes on together with those that end soon. join: it waits for handles, too; when enough of them
    have ended meanwhile, it goes on at once. Raises ValueError without a yield and a join.
    """
    if not yields and join is None:
        raise ValueError("a report of kind `yielded` has at least one yield or a join")
    openings = _openings(run, yields, now)
    if isinstance(openings, _Refused):
        return Outcome((RunFailed(at=now, error=openings.error, report=report),))
    facts, effects = _rows(openings, now)
    if join is not None:
        return _joining(run, openings, facts, effects, report, now, join)
    open_steps = [each.step for each in openings if each.step.open]
    if not open_steps:
        first = openings[0].step
        return Outcome((*facts, _waiting(first, now, report, now), Woken(at=now)), effects)
    first = min(open_steps, key=_due_first)
    facts = (*facts, _waiting(first, _until(first), report, now))
    if len(open_steps) == len(openings):
        return Outcome(facts, effects)
    waiting = fold(run, facts)
    if waiting.open_waits < GATHERED_FROM or any(each.at_once for each in openings):
        return Outcome((*facts, Woken(at=now)), effects)
    due_at = now + GATHER_MS
    return Outcome((*facts, WakeScheduled(at=now, wake_at=due_at)), (*effects, SetTimer(kind="wake", due_at=due_at)))


def _joining(
    run: Run,
    openings: list[_Opening],
    facts: tuple[Fact, ...],
    effects: tuple[Effect, ...],
    report: str,
    now: Millis,
    join: commands.JoinHandles,
) -> Outcome:
    """The run waits for handles beside these steps; the first thing that ends what it waits for lets it go on."""
    open_steps = [each.step for each in openings if each.step.open]
    times = [until for step in open_steps if (until := _until(step)) is not None]
    waits = Waiting(
        at=now,
        reason="invoke",
        until=min(times, default=None),
        step_id=join.step_id,
        report=report,
        join=Join(join.left, join.known_failed),
    )
    facts = (*facts, waits)
    ended = len(open_steps) < len(openings)
    if ended or read_family(fold(run, facts).family).joined:
        facts = (*facts, Woken(at=now))
    return Outcome(facts, effects)


def decide_openings(run: Run, yields: tuple[commands.YieldFor, ...], now: Millis) -> Outcome:
    """Open steps of an execution that goes on."""
    if not yields:
        return NOTHING
    openings = _openings(run, yields, now)
    if isinstance(openings, _Refused):
        # The report that ends the execution has this step again, and fails the run.
        return Outcome()
    return Outcome(*_rows(openings, now))


def _rows(openings: list[_Opening], now: Millis) -> tuple[tuple[Fact, ...], tuple[Effect, ...]]:
    recorded = tuple(each.step for each in openings if each.recorded)
    effects = tuple(effect for each in openings for effect in each.effects)
    return ((StepsRecorded(at=now, steps=recorded),) if recorded else ()), effects


def _openings(run: Run, yields: tuple[commands.YieldFor, ...], now: Millis) -> list[_Opening] | _Refused:
    # A trick for speed: rows of many open steps are not written again with each execution. They are there as long as
    # the step is open; with few, they are written for a handler whose code has changed.
    again = len(yields) < GATHERED_FROM
    found: dict[str, _Opening] = {}
    fresh = 0
    for each in yields:
        if each.step_id in found:
            continue
        known = run.steps.get(each.step_id)
        if known is not None and (has_ended(known) or _is_started(known) or (known.open and not again)):
            found[each.step_id] = _Opening(known, recorded=False)
            continue
        opening = _opening(run, each, known, fresh, now)
        if isinstance(opening, _Refused):
            return opening
        found[each.step_id] = opening
        fresh += known is None
    return list(found.values())


def has_ended(step: Step) -> bool:
    """Whether the handler goes on with the step as it is recorded."""
    answered = step.status == "timed_out" and step.on_timeout == "answer" and step.failure != "released"
    return step.status == "completed" or answered


def _is_started(step: Step) -> bool:
    """Whether it is a handle: its run is not started again, unless an attempt ended because that failed."""
    return step.handle and step.failure != "released"


def _opening(run: Run, each: commands.YieldFor, known: Step | None, fresh: int, now: Millis) -> _Opening | _Refused:
    match each:
        case commands.Sleep():
            return _sleep(run, each, known, fresh, now)
        case commands.WaitForEvent():
            return _wait(run, each, known, fresh, now)
        case commands.Invoke():
            return _invoke(run, each, known, fresh, now)
        case commands.Rest():
            return _rest(each, known)
        case _:
            assert_never(each)


def _sleep(run: Run, sleep: commands.Sleep, known: Step | None, fresh: int, now: Millis) -> _Opening:
    until = sleep.until
    if known is not None and known.status == "sleeping" and known.sleep_until is not None:
        # The step already sleeps: a repeated execution does not start the delay again.
        until = known.sleep_until
    step = _step(run, known, sleep, "sleep", "sleeping", fresh, now)
    step = replace(step, sleep_until=until)
    if until <= now:
        return _Opening(_completed(step, "null", now), recorded=True)
    return _Opening(step, True, (SetTimer(kind="sleep", due_at=until, step_id=step.step_id),))


def _wait(run: Run, wait: commands.WaitForEvent, known: Step | None, fresh: int, now: Millis) -> _Opening:
    until = now + wait.timeout_ms
    if known is not None and known.status == "waiting" and known.wait_until is not None:
        # The step already waits: a repeated execution keeps the first deadline.
        until = known.wait_until
    step = _step(run, known, wait, "wait_for_event", "waiting", fresh, now)
    step = replace(step, wait_event=wait.event, wait_until=until, input=wait.payload, on_timeout=wait.on_timeout)
    if wait.found is not None:
        return _Opening(_completed(step, wait.found, now), recorded=True)
    effects: tuple[Effect, ...] = (
        SetTimer(kind="wait", due_at=until, step_id=step.step_id),
        AddWait(step_id=step.step_id, event=wait.event, path=wait.path, value=wait.value, expression=wait.expression),
    )
    return _Opening(step, True, effects)


def _invoke(run: Run, invoke: commands.Invoke, known: Step | None, fresh: int, now: Millis) -> _Opening | _Refused:
    """A repeated execution creates no second child; one that yields for a failed step again fails the run.

    A step whose failure is released starts a new child: an attempt ended because of that failure.
    """
    released = known is not None and known.failure == "released"
    if known is not None and not released and known.status in ("failed", "timed_out"):
        error = ErrorValue(
            message=f"Function {invoke.function_id!r} failed, see step {known.name!r}.", code="INVOKE_FAILED"
        )
        return _Refused(known.error or error_text(error))
    if known is not None and known.open:
        if known.wait_until is None and invoke.from_start:
            # Its time-out begins with the child.
            return _Opening(known, recorded=False)
        # The child exists: wait until the first deadline.
        until = known.wait_until if known.wait_until is not None else now
        return _Opening(known, False, (SetTimer(kind="invoke", due_at=until, step_id=known.step_id),))
    kind = HANDLE if invoke.handle else "invoke_function"
    step = _step(run, known, invoke, kind, "waiting", fresh, now)
    step = replace(step, input=invoke.input, on_timeout=invoke.on_timeout)
    if invoke.refusal:
        return _Opening(invoke_failed(step, invoke.function_id, invoke.refusal, now), recorded=True)
    step = replace(step, child_run_id=invoke.child_run_id)
    child = StartChild(
        step_id=step.step_id,
        function_id=invoke.function_id,
        run_id=invoke.child_run_id,
        input=invoke.input,
        delay_ms=invoke.delay_ms,
        parent_timeout_ms=invoke.timeout_ms if invoke.from_start and not invoke.handle else 0,
        trace=invoke.trace,
        entity_key=invoke.entity_key,
        cancelled=invoke.cancelled,
    )
    if invoke.handle:
        return _Opening(step, True, (child,), at_once=True)
    if invoke.asynchronous:
        step = _completed(step, f'{{"run_id":"{invoke.child_run_id}"}}', now)
        return _Opening(step, True, (child,), at_once=True)
    if invoke.from_start:
        return _Opening(step, True, (child,))
    until = now + invoke.delay_ms + invoke.timeout_ms
    step = replace(step, wait_until=until)
    return _Opening(step, True, (child, SetTimer(kind="invoke", due_at=until, step_id=step.step_id)))


def _rest(rest: commands.Rest, known: Step | None) -> _Opening | _Refused:
    """A step whose next attempt is due by now has it at once."""
    if known is None:
        message = f"Step {rest.name!r} rests, and no attempt of it was reported."
        return _Refused(error_text(ErrorValue(message=message, code="STEP_UNKNOWN")))
    return _Opening(known, False, rests((known,)), at_once=not known.open)


def _step(
    run: Run,
    known: Step | None,
    asked: commands.Sleep | commands.WaitForEvent | commands.Invoke,
    kind: str,
    status: str,
    fresh: int,
    now: Millis,
) -> Step:
    """fresh: how many new steps are recorded before it."""
    return Step(
        step_id=asked.step_id,
        name=asked.name,
        type=kind,
        status=status,
        sequence=run.next_sequence + fresh if known is None else known.sequence,
        number=run.step_count + fresh if known is None else known.number,
        attempt=run.attempt,
        created_at=now if known is None else known.created_at,
        updated_at=now,
        started_at=now if known is None else known.started_at,
        source=asked.source or (known.source if known is not None else None),
    )


def _completed(step: Step, output: str, now: Millis) -> Step:
    """The step need not wait."""
    return replace(step, status="completed", output=output, ended_at=now)


def _until(step: Step) -> Millis | None:
    """None: its time-out begins with its child."""
    return step.sleep_until if step.type == "sleep" or step.status == "retrying" else step.wait_until


def _due_first(step: Step) -> tuple[bool, Millis]:
    until = _until(step)
    return (until is None, until or 0)


def _reason(step: Step) -> Reason:
    match step.type:
        case "sleep":
            return "sleep"
        case "wait_for_event":
            return "wait_event"
        case "invoke_function":
            return "invoke"
        case _:
            return "retry"


def _waiting(step: Step, until: Millis | None, report: str, now: Millis) -> Waiting:
    return Waiting(at=now, reason=_reason(step), until=until, step_id=step.step_id, report=report)
