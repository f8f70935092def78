"""What a worker's word does to a run: checkpoints and the ends of executions.

Source: protocol/worker-rest.md 8, protocol/step-semantics.md 2.
"""

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.effects import SetTimer
from ironflow.engine.facts import (
    Fact,
    JobReturned,
    LeaseRenewed,
    RunCompleted,
    RunFailed,
    StepsRecorded,
    Waiting,
    Woken,
)
from ironflow.engine.failure import decide_failure
from ironflow.engine.lease import check_fence, renewed
from ironflow.engine.model import ErrorValue, Lease, Run, Step, error_text
from ironflow.engine.outcome import NOTHING, Outcome

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
    recorded = decide_steps(run, lease, command, now)
    happened: list[Fact] = [StepsRecorded(at=now, steps=recorded)] if recorded else []
    following = _end(run, lease, command, recorded, now)
    return Outcome((*happened, *following.facts), following.effects)


def report_word(command: commands.Report) -> str:
    """What identifies an update that ended an execution."""
    return f"{command.fence.token}:{command.kind}"


def decide_steps(run: Run, lease: Lease, command: commands.Report, now: Millis) -> tuple[Step, ...]:
    """The steps of a report that are new or replace a failed one; the first completed result of a step wins.

    Sequences count on from those the run had when the execution was handed out, whether or not the worker has added
    that base itself.
    """
    offset = command.step_offset
    if offset < lease.sequence_base:
        offset += lease.sequence_base
    number = run.step_count
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
            sequence=known.sequence if known is not None else offset + place,
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
            number += 1
    return tuple(recorded.values())


def _is_newer(known: Step, told: commands.StepReport) -> bool:
    """A step that failed again: the newer failure is the one to show."""
    return known.status == "failed" and told.status == "failed" and told.ended_at != known.ended_at


def _end(run: Run, lease: Lease, command: commands.Report, recorded: tuple[Step, ...], now: Millis) -> Outcome:
    word = report_word(command)
    match command.kind:
        case "progress":
            return Outcome((LeaseRenewed(at=now, lease=renewed(lease, command.lease_ms, now)),))
        case "completed":
            return Outcome((RunCompleted(at=now, output=command.output or "null", report=word),))
        case "failed":
            error = command.error or ErrorValue(message="The worker reported a failure without an error.")
            if error.code == NO_SUCH_FUNCTION and command.elsewhere:
                return Outcome((JobReturned(at=now, avoid=lease.worker_id),))
            return decide_failure(run, error, word, now)
        case "yielded":
            return _decide_yield(run, command, recorded, now)


def _decide_yield(run: Run, command: commands.Report, recorded: tuple[Step, ...], now: Millis) -> Outcome:
    """What the execution stops for: a sleep of this or an earlier moment, or something this server does not do."""
    word = report_word(command)
    match command.yielded:
        case commands.Sleep() as sleep:
            return decide_sleep(run, sleep, recorded, word, now)
        case commands.Unsupported(what=what):
            error = ErrorValue(
                message=f"The run stopped for {what}, which this server does not offer.", code="UNSUPPORTED"
            )
            return Outcome((RunFailed(at=now, error=error_text(error), report=word),))
        case None:
            raise ValueError("a report of kind `yielded` says what for")


def decide_sleep(run: Run, sleep: commands.Sleep, recorded: tuple[Step, ...], word: str, now: Millis) -> Outcome:
    """A sleeping step and a timer; a time that has passed, or a sleep slept already, wakes at once.

    Source: protocol/step-semantics.md 4.
    """
    known = run.steps.get(sleep.step_id)
    if known is not None and known.status == "completed":
        return Outcome((Waiting(at=now, reason="sleep", until=now, report=word), Woken(at=now)))
    fresh = [step for step in recorded if step.number >= run.step_count]
    step = Step(
        step_id=sleep.step_id,
        name=sleep.name,
        type="sleep",
        status="sleeping",
        sequence=known.sequence if known else max([run.next_sequence, *(each.sequence + 1 for each in recorded)]),
        number=known.number if known else run.step_count + len(fresh),
        attempt=run.attempt,
        created_at=now,
        updated_at=now,
        started_at=now,
        sleep_until=sleep.until,
    )
    if sleep.until <= now:
        done = replace(step, status="completed", output="null", ended_at=now)
        return Outcome(
            (
                StepsRecorded(at=now, steps=(done,)),
                Waiting(at=now, reason="sleep", until=sleep.until, report=word),
                Woken(at=now),
            )
        )
    return Outcome(
        (
            StepsRecorded(at=now, steps=(step,)),
            Waiting(at=now, reason="sleep", until=sleep.until, report=word),
        ),
        (SetTimer(kind="sleep", due_at=sleep.until, step_id=sleep.step_id),),
    )
