"""What follows from the report of a worker: a checkpoint, or the end of an execution.

Source: protocol/worker-rest.md 8, protocol/step-semantics.md 2.
"""

from typing import assert_never

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.control import paused_at_boundary
from ironflow.engine.effects import StartSuccessor
from ironflow.engine.facts import (
    JobReturned,
    LeaseRenewed,
    RunCompleted,
    RunFailed,
    StateChanged,
    StepsProgressed,
    StepsRecorded,
    StepsReleased,
    StepsUnasked,
    ValuesSet,
)
from ironflow.engine.failure import (
    DIVERGED,
    NO_SUCH_FUNCTION,
    decide_end,
    decide_failure,
    decide_not_begun,
    decide_undoing,
)
from ironflow.engine.lease import check_fence, execution_ms_max, lease_after_checkpoint
from ironflow.engine.model import HANDLE, ErrorValue, FailureState, Lease, Run, Step, read_error
from ironflow.engine.outcome import NOTHING, Outcome, Progression
from ironflow.engine.step_attempts import UNFINISHED, decide_next_result, decide_progress, rests, with_attempt
from ironflow.engine.wake import decide_step_cancels
from ironflow.engine.yields import decide_openings, decide_yields


def decide_report(run: Run, command: commands.Report, now: Millis) -> Outcome:
    """Steps are recorded, and the execution goes on (`progress`) or ends.

    A repetition of the update that ended the last execution changes nothing. Raises StaleExecution for any other
    report of an execution that does not hold the lease.
    """
    report = report_id(command)
    if command.kind != "progress" and run.last_report == report:
        return NOTHING
    lease = check_fence(run, command.fence)
    divergence = decide_divergence(run, command)
    if divergence is not None and run.winding_down:
        # The execution that follows diverges by itself, and is held for a person.
        return decide_undoing(run, run.cancelling or "", report, now)
    if divergence is not None:
        return decide_failure(run, divergence, report, now)
    made = Progression(run)
    recorded = decide_steps(run, command, now)
    if recorded:
        announced = tuple([step.step_id for step in command.steps if step.announced])
        made.add(StepsRecorded(at=now, steps=recorded, announced=announced))
        made.effects += rests(recorded)
    if shown := decide_progress(made.run, command.progress, now) if command.progress else ():
        made.add(StepsProgressed(at=now, steps=shown))
    # The rest is decided on the run with the steps of the same report.
    if command.caused_by:
        made.add(*_released(made.run, command, now))
    if command.values:
        free = made.run.next_sequence
        values = tuple(replace(value, sequence=free, updated_at=now) for value in command.values)
        made.add(ValuesSet(at=now, values=values))
    if command.state is not None:
        made.add(StateChanged(at=now, state=command.state))
    if command.unasked_steps:
        made.add(StepsUnasked(at=now, names=command.unasked_steps))
    if command.cancels:
        # Decided on the run before the report: these steps were open then.
        made.extend(decide_step_cancels(run, command.cancels, now))
    made.extend(_end(made.run, lease, command, now))
    if run.pause_requested and not command.running and not made.run.ended and made.run.status != "paused":
        # This is the step boundary that the pause waits for.
        made.add(paused_at_boundary(now, report if command.kind != "progress" else ""))
    return made.outcome()


def report_id(command: commands.Report) -> str:
    """Token and status: identifies the update that ended an execution, so that its repetition is recognised."""
    return f"{command.fence.token}:{command.kind}"


def decide_divergence(run: Run, command: commands.Report) -> ErrorValue | None:
    """The error of a report that has a recorded step as another type, with both histories; None otherwise.

    Source: DESIGN.md 4, "divergence".
    """
    if not run.steps:
        # None of what the report has is recorded, as with nearly every report.
        return None
    reached = [(step.step_id, step.name, step.type) for step in command.steps]
    reached += [(each.step_id, each.name, _kind_of(each)) for each in command.yields]
    for step_id, name, kind in reached:
        if kind == "rest":
            continue
        known = run.steps.get(step_id)
        if known is not None and known.type != kind:
            recorded = ", ".join(f"{each.name} ({each.type})" for each in sorted(run.steps.values(), key=_order))
            now_reached = ", ".join(f"{each_name} ({each_kind})" for _, each_name, each_kind in reached)
            return ErrorValue(
                message=(
                    f"Step {name!r} is recorded as {known.type}, but the handler reached it as {kind}: its code does "
                    f"not fit the recorded history. Recorded: {recorded}. Reached: {now_reached}. Deploy code that "
                    "fits and resume, or resume from an earlier step."
                ),
                code=DIVERGED,
            )
    return None


def _kind_of(yielded: commands.YieldFor) -> str:
    match yielded:
        case commands.Sleep():
            return "sleep"
        case commands.WaitForEvent():
            return "wait_for_event"
        case commands.Invoke():
            return HANDLE if yielded.handle else "invoke_function"
        case commands.Rest():
            return "rest"
        case _:
            assert_never(yielded)


def decide_restart(restart: commands.Restart, report: str, now: Millis) -> Outcome:
    """The run has ended well, without an output, and another goes on in its place. Nothing is compensated.

    Source: docs/reference/semantics.md, "Restart".
    """
    ended = RunCompleted(at=now, output="null", report=report, restarted_as=restart.run_id)
    return Outcome((ended,), (StartSuccessor(run_id=restart.run_id, input=restart.input),))


def _order(step: Step) -> tuple[int, int]:
    return (step.sequence, step.number)


def decide_steps(run: Run, command: commands.Report, now: Millis) -> tuple[Step, ...]:
    """The steps of a report that are new or replace a failed one; the first completed result of a step wins.

    A new step gets a sequence after all that were recorded before it: some workers add the sequence base of the lease
    to step_offset, others count from 0 in every execution.
    """
    number, free = run.step_count, run.next_sequence
    began_at = run.lease.deadline_at - execution_ms_max(run) if run.lease is not None else run.created_at
    recorded: dict[str, Step] = {}
    for offset, step in enumerate(command.steps):
        known = recorded.get(step.step_id) or run.steps.get(step.step_id)
        if known is not None and not _is_news(known, step):
            continue
        started_at, ended_at = _measured(step, began_at, now)
        tried = step.attempt or _tried(known, step, run.attempt)
        sequence = known.sequence if known is not None else max(command.step_offset + offset, free)
        # The first fields by position: with names, it takes three times as long.
        ended = Step(
            step.step_id,
            step.name,
            step.type,
            step.status,
            sequence,
            known.number if known is not None else number,
            tried,
            known.created_at if known is not None else now,
            now,  # updated_at
            step.output,
            step.error,
            started_at,
            ended_at,
            step.duration_ms,
            step.compensation_for,
            failure=_failure_state(run, step, tried) if step.status == "failed" else "",
            progress=step.progress or (known.progress if known is not None else None),
            handler_at=step.ended_at if step.ended_at != ended_at else None,
            source=step.source or (known.source if known is not None else None),
        )
        recorded[step.step_id] = with_attempt(ended, known, step, now)
        if known is None:
            number, free = number + 1, recorded[step.step_id].sequence + 1
    return tuple(recorded.values())


def _tried(known: Step | None, step: commands.StepReport, attempt: int) -> int:
    """The attempt that a step was run in. A compensation has attempts of its own: its run has failed."""
    if step.type != "compensate":
        return attempt
    return known.attempt + 1 if known is not None and known.status == "failed" else 1


def _failure_state(run: Run, step: commands.StepReport, tried: int) -> FailureState:
    """Whether a failed step is replayed as such. A compensation is, once it will not be tried again."""
    if step.type == "compensate":
        spent = tried >= run.policy.max_attempts or not read_error(step.error or "").retryable
        return "kept" if spent else ""
    return "kept" if step.keeps_failure else ""


def _measured(step: commands.StepReport, began_at: Millis, now: Millis) -> tuple[Millis | None, Millis | None]:
    """When the body began and ended, as the worker measured it, within the execution as this server dates it.

    began_at: of the execution. A worker whose clock is off has its steps end when they are reported.
    """
    if step.started_at is None or step.ended_at is None:
        return step.started_at, step.ended_at
    if began_at <= step.started_at <= step.ended_at <= now:
        return step.started_at, step.ended_at
    took_ms = max(step.ended_at - step.started_at, 0)
    ended_at = step.ended_at if began_at <= step.ended_at <= now else now
    return max(ended_at - took_ms, min(began_at, ended_at)), ended_at


def _released(run: Run, command: commands.Report, now: Millis) -> tuple[StepsReleased, ...]:
    """The failures that end the attempt are not replayed: the next attempt runs those steps anew.

    Source: docs/reference/semantics.md, "Runs and steps".
    """
    if command.kind != "failed":
        return ()
    known = (run.steps.get(step_id) for step_id in dict.fromkeys(command.caused_by))
    released = tuple(step.step_id for step in known if step is not None and step.status in ("failed", "timed_out"))
    return (StepsReleased(at=now, step_ids=released),) if released else ()


def _is_news(known: Step, step: commands.StepReport) -> bool:
    """Whether a report of a step that is recorded changes it; the first completed result wins."""
    if known.status in UNFINISHED:
        return decide_next_result(known, step)
    if known.status == "cancelled" and step.type == known.type:
        # It rested when its run ended, and the run was resumed.
        return True
    return (known.status == "failed" and step.status != "failed") or _is_newer(known, step)


def _is_newer(known: Step, step: commands.StepReport) -> bool:
    """Whether `step` is a later failure of a step that has failed before; it replaces the earlier one."""
    both_failed = known.status == "failed" and step.status == "failed"
    return both_failed and (step.ended_at != known.ended_at or known.failure == "released")


def _end(run: Run, lease: Lease, command: commands.Report, now: Millis) -> Outcome:
    report = report_id(command)
    if run.winding_down:
        # Whatever it reports, and whatever it was about to wait for or to start.
        return NOTHING if command.kind == "progress" else decide_undoing(run, run.cancelling or "", report, now)
    if run.compensating is not None and command.kind == "yielded":
        # A compensation waits, unless it waits for what has failed.
        waiting = decide_yields(run, command.yields, report, now, command.join)
        refused = isinstance(waiting.facts[-1], RunFailed)
        return decide_end(run, run.compensating, report, now) if refused else waiting
    if (
        run.compensating is not None
        and command.kind == "failed"
        and command.uncompensated
        and command.error is not None
    ):
        if command.error.code == NO_SUCH_FUNCTION and command.elsewhere:
            return Outcome((JobReturned(at=now, avoid=lease.worker_id),))
        again = decide_not_begun(run, command.error, report, now)
        if again is not None:
            return again
    if run.compensating is not None and command.kind != "progress":
        # Whatever it reports, the run has failed with what it failed with before.
        return decide_end(run, run.compensating, report, now, command.uncompensated_steps)
    match command.kind:
        case "progress":
            opened = decide_openings(run, command.yields, now)
            renewed = lease_after_checkpoint(run, lease, command.lease_ms, now)
            if renewed is lease:
                return opened
            return Outcome((*opened.facts, LeaseRenewed(at=now, lease=renewed)), opened.effects)
        case "completed" if command.restart is not None:
            return decide_restart(command.restart, report, now)
        case "completed":
            return Outcome((RunCompleted(at=now, output=command.output or "null", report=report),))
        case "failed":
            error = command.error or ErrorValue(message="The worker reported a failure without an error.")
            if error.code == NO_SUCH_FUNCTION and command.elsewhere:
                return Outcome((JobReturned(at=now, avoid=lease.worker_id),))
            return decide_failure(
                run,
                error,
                report,
                now,
                uncompensated=command.uncompensated,
                uncompensated_steps=command.uncompensated_steps,
            )
        case "yielded":
            return decide_yields(run, command.yields, report, now, command.join)
        case _:
            assert_never(command.kind)
