"""Commands that people give: pause, resume, inject, patch. Source: protocol/step-semantics.md 11."""

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.cancelling import check_not_cancelling, ended_text
from ironflow.engine.effects import DropSteps, DropTimers, Effect, SetTimer
from ironflow.engine.errors import RunEnded, RunNotPaused, RunNotResumable, RunRunning, StepNotFinished, StepNotFound
from ironflow.engine.facts import (
    Fact,
    PauseRequested,
    PauseWithdrawn,
    RunFailed,
    RunPaused,
    RunResumed,
    StepInjected,
    StepPatched,
    StepsDropped,
    StepsRecorded,
    Waiting,
)
from ironflow.engine.model import Reason, Run, Step
from ironflow.engine.outcome import NOTHING, Outcome

_OPEN_REASON: dict[str, Reason] = {
    "sleep": "sleep", "wait_for_event": "wait_event", "invoke_function": "invoke", "invoke": "retry",
}  # fmt: skip


def decide_pause(run: Run, command: commands.Pause, now: Millis) -> Outcome:
    """A run without a live lease pauses at once, any other at its next step boundary. A second pause changes nothing.

    Raises RunEnded, RunCancelling.
    """
    if run.ended:
        raise RunEnded(ended_text(run))
    check_not_cancelling(run)
    if run.status == "paused" or run.pause_requested:
        return NOTHING
    if run.lease is not None and run.lease.live:
        return Outcome((PauseRequested(at=now, by=command.by, note=command.note),))
    paused = RunPaused(at=now, reason="injection", error=None, report="", by=command.by, note=command.note)
    return Outcome((paused,))


def _not_resumable(run: Run) -> str:
    if run.restarted_as is not None:
        return ended_text(run)
    if run.status == "waiting":
        # Clients see a run that sleeps or waits for an event as paused, with this reason.
        state = f"paused (pause_reason {run.reason})" if run.reason in ("sleep", "wait_event") else f"in {run.reason}"
        return (
            f"Run {run.id} is {state} by its own code and continues by itself. "
            "Only runs that were paused on request and failed runs are resumed."
        )
    return f"Run {run.id} is {run.status}; only paused and failed runs are resumed."


def decide_resume(run: Run, command: commands.Resume, now: Millis) -> Outcome:
    """A paused or failed run goes on with its recorded steps. A run that waited goes on waiting if none of its waits
    has ended since. The pause of a run that a worker still executes is withdrawn.

    run: with its open steps. A run that had failed or used up its attempts gets a fresh attempt budget. A run whose
    wait timed out while it was paused fails now, unless that step was given an output or its handler gets the time-out.
    A run that is being cancelled, and that its code did not fit, is undone further. Raises RunNotResumable,
    RunCancelling for one that is to begin again from a step.
    """
    if command.from_step or command.from_sequence is not None:
        check_not_cancelling(run)
    if run.pause_requested and not command.from_step and not run.ended:
        return Outcome((PauseWithdrawn(at=now, by=command.by, note=command.note),))
    if run.status not in ("paused", "failed"):
        raise RunNotResumable(_not_resumable(run))
    fresh = run.status == "failed" or run.reason == "exhausted"
    failed = run.paused_from == "retry" and run.open_step is None and run.compensating is None
    attempt = 1 if fresh else run.attempt + failed
    happened: list[Fact] = []
    effects: list[Effect] = []
    if command.from_sequence is not None:
        happened.append(StepsDropped(at=now, from_sequence=command.from_sequence))
        effects += [DropSteps(from_sequence=command.from_sequence), DropTimers()]
    kept = [step for step in run.steps.values() if step.open and not _is_dropped(step, command.from_sequence)]
    if run.status == "failed" or effects:
        # Their timers and waits were deleted at the end of the run, or with the dropped steps.
        again, timers = _opened_again(kept, now)
        happened += again
        effects += timers
    resumed = RunResumed(at=now, attempt=attempt, from_step=command.from_step, by=command.by, note=command.note)
    happened.append(resumed)
    step = run.steps.get(run.open_step) if run.open_step is not None and command.from_sequence is None else None
    # Compensations get the time-out: see `decide_wait_timed_out`.
    answered = (step is not None and step.on_timeout == "answer") or run.compensating is not None
    if run.status == "paused" and step is not None and step.status == "timed_out" and not answered:
        happened.append(RunFailed(at=now, error=step.error or "", report=run.last_report))
    elif run.status == "paused" and step is not None and step.open and not step.handle and run.wake_at is None:
        until = step.sleep_until if step.status in ("sleeping", "retrying") else step.wait_until
        reason = _OPEN_REASON[step.type]
        happened.append(Waiting(at=now, reason=reason, until=until, step_id=step.step_id, report=run.last_report))
    return Outcome(tuple(happened), tuple(effects))


def _is_dropped(step: Step, from_sequence: int | None) -> bool:
    return from_sequence is not None and step.sequence >= from_sequence


def _opened_again(steps: list[Step], now: Millis) -> tuple[list[Fact], list[Effect]]:
    """Open steps that have lost their timers: sleeps and invokes keep their deadlines, waits are registered anew.

    The time-out of an invoke that has none begins with its child.
    """
    effects: list[Effect] = []
    for step in steps:
        if step.type == "sleep":
            effects.append(SetTimer(kind="sleep", due_at=step.sleep_until or now, step_id=step.step_id))
        elif step.status == "retrying":
            effects.append(SetTimer(kind="rest", due_at=step.sleep_until or now, step_id=step.step_id))
        elif step.type == "invoke_function" and step.wait_until is not None:
            effects.append(SetTimer(kind="invoke", due_at=step.wait_until, step_id=step.step_id))
    waits = tuple(replace(step, status="cancelled", updated_at=now) for step in steps if step.type == "wait_for_event")
    return ([StepsRecorded(at=now, steps=waits)] if waits else []), effects


def decide_inject(run: Run, command: commands.Inject, now: Millis) -> Outcome:
    """Replaces the output of a finished step of a paused run. Raises RunNotPaused, StepNotFound, StepNotFinished."""
    if run.status != "paused":
        raise RunNotPaused(f"Run {run.id} is {run.status}; pause it before injecting.")
    step = _finished(run, command.step_id)
    changed = replace(_replaced(step, command.output, now), injected=True)
    return Outcome((StepInjected(at=now, step=changed, reason=command.reason),))


def decide_patch(run: Run, command: commands.Patch, now: Millis) -> Outcome:
    """Replaces the output of a step of a run without a live lease. Raises RunRunning, StepNotFound, StepNotFinished."""
    if run.lease is not None and run.lease.live:
        raise RunRunning(f"Run {run.id} is running; pause it before patching.")
    step = _finished(run, command.step_id)
    changed = replace(_replaced(step, command.output, now), patched_at=now, patched_by=command.by)
    return Outcome((StepPatched(at=now, step=changed, reason=command.reason),))


def _finished(run: Run, step_id: str) -> Step:
    step = run.steps.get(step_id)
    if step is None:
        raise StepNotFound(f"Run {run.id} has no step {step_id!r}.")
    if step.status not in ("completed", "failed", "timed_out"):
        raise StepNotFinished(f"Step {step_id!r} is {step.status}; only finished steps have an output to replace.")
    return step


def _replaced(step: Step, output: str, now: Millis) -> Step:
    original = step.original_output if step.original_output is not None else step.output
    return replace(
        step, status="completed", output=output, error=None, failure="", original_output=original, updated_at=now
    )


def paused_at_boundary(now: Millis, report: str) -> RunPaused:
    """The pause that was requested while a worker had the run. report: `report_id` of the update, or empty."""
    return RunPaused(at=now, reason="injection", error=None, report=report)
