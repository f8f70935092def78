"""What a worker's word does to a run: checkpoints and the ends of executions.

Source: protocol/worker-rest.md 8, protocol/step-semantics.md 2.
"""

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.control import paused_at_boundary
from ironflow.engine.evolve import fold
from ironflow.engine.facts import Fact, JobReturned, LeaseRenewed, RunCompleted, StepsRecorded
from ironflow.engine.failure import DIVERGED, decide_failure
from ironflow.engine.lease import check_fence, heard
from ironflow.engine.model import ErrorValue, Lease, Run, Step
from ironflow.engine.outcome import NOTHING, Outcome
from ironflow.engine.yields import decide_yield

# A worker that was given a function it does not have says so with this code, without an ack.
NO_SUCH_FUNCTION = "FUNCTION_NOT_FOUND"


def decide_report(run: Run, command: commands.Report, now: Millis) -> Outcome:
    """Steps are recorded, and the execution goes on (`progress`) or ends.

    A repetition of the update that ended the last execution changes nothing. Raises StaleExecution for any other
    word of an execution that is not the live one.
    """
    word = report_word(command)
    if command.kind != "progress" and run.last_report == word:
        return NOTHING
    lease = check_fence(run, command.fence)
    divergence = decide_divergence(run, command)
    if divergence is not None:
        return decide_failure(run, divergence, word, now)
    recorded = decide_steps(run, command, now)
    happened: list[Fact] = [StepsRecorded(at=now, steps=recorded)] if recorded else []
    # What follows sees the run with the steps of this very report.
    following = _end(fold(run, happened), lease, command, now)
    facts = [*happened, *following.facts]
    after = fold(run, facts)
    if run.pause_requested and not after.ended and after.status != "paused":
        # This is the step boundary that the pause waits for.
        facts.append(paused_at_boundary(now, word if command.kind != "progress" else ""))
    return Outcome(tuple(facts), following.effects)


def report_word(command: commands.Report) -> str:
    """What identifies an update that ended an execution."""
    return f"{command.fence.token}:{command.kind}"


def decide_divergence(run: Run, command: commands.Report) -> ErrorValue | None:
    """Whether a step is met as another type than it is recorded as; the error shows both histories.

    Source: DESIGN.md 4, "divergence".
    """
    met = [(step.step_id, step.name, step.type) for step in command.steps]
    if command.yielded is not None:
        met.append((command.yielded.step_id, command.yielded.name, _kind_of(command.yielded)))
    for step_id, name, kind in met:
        known = run.steps.get(step_id)
        if known is not None and known.type != kind:
            recorded = ", ".join(f"{each.name} ({each.type})" for each in sorted(run.steps.values(), key=_order))
            now_met = ", ".join(f"{each_name} ({each_kind})" for _, each_name, each_kind in met)
            return ErrorValue(
                message=(
                    f"Step {name!r} is recorded as {known.type}, and the handler met it as {kind}. The code is not the "
                    f"one that this history is of. Recorded: {recorded}. Met: {now_met}. Deploy the code that fits and "
                    "resume, or resume from an earlier step."
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
            return "invoke_function"


def _order(step: Step) -> tuple[int, int]:
    return (step.sequence, step.number)


def decide_steps(run: Run, command: commands.Report, now: Millis) -> tuple[Step, ...]:
    """The steps of a report that are new or replace a failed one; the first completed result of a step wins.

    Sequences count on from those the run has: some workers add the base they were handed to step_offset, others count
    from 0 in every execution, and a step that is new comes after all that were recorded before it.
    """
    number, free = run.step_count, run.next_sequence
    recorded: dict[str, Step] = {}
    for place, told in enumerate(command.steps):
        known = recorded.get(told.step_id) or run.steps.get(told.step_id)
        if known is not None and (known.status != "failed" or told.status == "failed") and not _is_newer(known, told):
            continue
        recorded[told.step_id] = Step(
            step_id=told.step_id,
            name=told.name,
            type=told.type,
            status=told.status,
            sequence=known.sequence if known is not None else max(command.step_offset + place, free),
            number=known.number if known is not None else number,
            attempt=run.attempt,
            created_at=known.created_at if known is not None else now,
            updated_at=now,
            output=told.output,
            error=told.error,
            started_at=told.started_at,
            ended_at=told.ended_at,
            duration_ms=told.duration_ms,
            compensation_for=told.compensation_for,
        )
        if known is None:
            number, free = number + 1, recorded[told.step_id].sequence + 1
    return tuple(recorded.values())


def _is_newer(known: Step, told: commands.StepReport) -> bool:
    """A step that failed again: the newer failure is the one to show."""
    return known.status == "failed" and told.status == "failed" and told.ended_at != known.ended_at


def _end(run: Run, lease: Lease, command: commands.Report, now: Millis) -> Outcome:
    word = report_word(command)
    match command.kind:
        case "progress":
            return Outcome((LeaseRenewed(at=now, lease=heard(run, lease, command.lease_ms, now)),))
        case "completed":
            return Outcome((RunCompleted(at=now, output=command.output or "null", report=word),))
        case "failed":
            error = command.error or ErrorValue(message="The worker reported a failure without an error.")
            if error.code == NO_SUCH_FUNCTION and command.elsewhere:
                return Outcome((JobReturned(at=now, avoid=lease.worker_id),))
            return decide_failure(run, error, word, now)
        case "yielded":
            if command.yielded is None:
                raise ValueError("a report of kind `yielded` says what for")
            return decide_yield(run, command.yielded, word, now)
