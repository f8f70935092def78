"""What people do to runs: cancel, pause, resume, inject, patch. Source: protocol/step-semantics.md 11."""

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.effects import CancelChild, DropSteps, DropTimers, Effect
from ironflow.engine.errors import RunEnded, RunNotPaused, RunNotResumable, RunRunning, StepNotFinished, StepNotFound
from ironflow.engine.facts import (
    Fact,
    PauseRequested,
    RunCancelled,
    RunFailed,
    RunPaused,
    RunResumed,
    StepInjected,
    StepPatched,
    StepsDropped,
    Waiting,
)
from ironflow.engine.model import Reason, Run, Step
from ironflow.engine.outcome import NOTHING, Outcome

_OPEN_REASON: dict[str, Reason] = {"sleep": "sleep", "wait_for_event": "wait_event", "invoke_function": "invoke"}


def decide_cancel(run: Run, command: commands.Cancel, now: Millis) -> Outcome:
    """A run that has not ended ends now; its lease, timers and waits go with it, and the child it waits for.

    Raises RunEnded.
    """
    if run.ended:
        raise RunEnded(f"Run {run.id} has ended already: it is {run.status}.")
    effects: list[Effect] = [DropTimers()]
    child = run.steps.get(run.open_step) if run.open_step is not None else None
    if child is not None and child.status == "waiting" and child.child_run_id is not None:
        effects.append(CancelChild(run_id=child.child_run_id, cause=f"its parent {run.id} was cancelled"))
    return Outcome((RunCancelled(at=now, cause=command.cause),), tuple(effects))


def decide_pause(run: Run, now: Millis) -> Outcome:
    """A run at rest pauses at once; one that a worker has at its next step boundary. A second pause changes nothing.

    Raises RunEnded.
    """
    if run.ended:
        raise RunEnded(f"Run {run.id} has ended already: it is {run.status}.")
    if run.status == "paused" or run.pause_requested:
        return NOTHING
    if run.lease is not None and run.lease.live:
        return Outcome((PauseRequested(at=now),))
    return Outcome((RunPaused(at=now, reason="injection", error=None, report=""),))


def decide_resume(run: Run, command: commands.Resume, now: Millis) -> Outcome:
    """A paused or failed run goes on with its recorded steps; what it waited for and has not come is waited for again.

    A run that had failed or used up its attempts gets a fresh budget. One whose wait timed out while it was paused
    fails now, unless somebody has given that step an output. Raises RunNotResumable.
    """
    if run.status not in ("paused", "failed"):
        raise RunNotResumable(f"Run {run.id} is {run.status}; only paused and failed runs are resumed.")
    fresh = run.status == "failed" or run.reason == "exhausted"
    attempt = 1 if fresh else run.attempt + (run.paused_from == "retry")
    happened: list[Fact] = []
    effects: list[Effect] = []
    if command.from_sequence is not None:
        happened.append(StepsDropped(at=now, from_sequence=command.from_sequence))
        effects += [DropSteps(from_sequence=command.from_sequence), DropTimers()]
    happened.append(RunResumed(at=now, attempt=attempt, from_step=command.from_step))
    step = run.steps.get(run.open_step) if run.open_step is not None and not effects else None
    if run.status == "paused" and step is not None and step.status == "timed_out":
        happened.append(RunFailed(at=now, error=step.error or "", report=run.last_report))
    elif run.status == "paused" and step is not None and step.status in ("sleeping", "waiting"):
        until = step.sleep_until if step.status == "sleeping" else step.wait_until
        reason = _OPEN_REASON[step.type]
        happened.append(Waiting(at=now, reason=reason, until=until, step_id=step.step_id, report=run.last_report))
    return Outcome(tuple(happened), tuple(effects))


def decide_inject(run: Run, command: commands.Inject, now: Millis) -> Outcome:
    """A finished step of a paused run gets another output. Raises RunNotPaused, StepNotFound, StepNotFinished."""
    if run.status != "paused":
        raise RunNotPaused(f"Run {run.id} is {run.status}; pause it before injecting.")
    step = _finished(run, command.step_id)
    changed = replace(_replaced(step, command.output, now), injected=True)
    return Outcome((StepInjected(at=now, step=changed, reason=command.reason),))


def decide_patch(run: Run, command: commands.Patch, now: Millis) -> Outcome:
    """A step of a run that no worker has gets another output. Raises RunRunning, StepNotFound, StepNotFinished."""
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
    return replace(step, status="completed", output=output, error=None, original_output=original, updated_at=now)


def paused_at_boundary(now: Millis, word: str) -> RunPaused:
    """The pause that was requested while a worker had the run."""
    return RunPaused(at=now, reason="injection", error=None, report=word)
