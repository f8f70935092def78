"""Attempts of a step with a retry of its own: which are recorded, how it rests in between, and what a body has next.

While it rests the step is `retrying`, one of the open steps that its run waits for; then it is `pending`. A body that
has shown progress and has not ended is `running`. Source: docs/reference/semantics.md, "Retries of steps"; ADR 0043.
"""

import msgspec
from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine.commands import StepProgress, StepReport
from ironflow.engine.effects import SetTimer
from ironflow.engine.model import ErrorValue, Run, Step, read_error

# Of a step with a body that has not ended for good.
UNFINISHED = frozenset({"retrying", "pending", "running"})
# Failed attempts that are shown with the step; the facts of a recorded run have all of them.
ATTEMPTS_SHOWN = 20

_encode = msgspec.json.Encoder().encode


class FailedAttempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt of a step that failed. error: its message, code and class."""

    attempt: int
    error: ErrorValue
    started_at: Millis | None = None
    ended_at: Millis | None = None


read_attempts = msgspec.json.Decoder(tuple[FailedAttempt, ...]).decode


def decide_next_result(known: Step, reported: StepReport) -> bool:
    """Whether what a worker reports of a step that has not ended is news, and not an attempt that is recorded.

    Workers that know no attempts of steps report a body that ran anew.
    """
    if known.status == "running" or not reported.attempt:
        return True
    return reported.attempt > known.attempt


def next_attempt(step: Step) -> int:
    """The attempt that the body of a step makes next, or is making."""
    if step.failure == "released":
        return 1
    return step.attempt if step.status == "running" else step.attempt + 1


def with_attempt(step: Step, known: Step | None, reported: StepReport, now: Millis) -> Step:
    """The step as it is recorded with the attempt that was reported; what is known of earlier ones is kept.

    A failed one that is followed by another rests.
    """
    if not reported.attempt:
        return step
    earlier = known if known is not None and known.status in UNFINISHED else None
    failed = read_attempts(earlier.attempts) if earlier is not None and earlier.attempts else ()
    if step.status == "failed":
        error = read_error(step.error or "")
        shown = ErrorValue(message=error.message, code=error.code, error_class=error.error_class)
        failed = (*failed, FailedAttempt(step.attempt, shown, step.started_at, step.ended_at))[-ATTEMPTS_SHOWN:]
    step = replace(
        step,
        attempts_max=reported.attempts_max or None,
        attempts=_encode(failed).decode() if failed else None,
    )
    if step.status == "failed" and reported.retry_in_ms is not None:
        return replace(step, status="retrying", failure="", sleep_until=now + reported.retry_in_ms)
    return step


def rests(steps: tuple[Step, ...]) -> tuple[SetTimer, ...]:
    """The timers of those steps that rest."""
    # A list: with nearly every report it is empty, and a generator would take longer than the look.
    return tuple(
        [
            SetTimer(kind="rest", due_at=step.sleep_until, step_id=step.step_id)
            for step in steps
            if step.status == "retrying" and step.sleep_until is not None
        ]
    )


def decide_progress(run: Run, shown: tuple[StepProgress, ...], now: Millis) -> tuple[Step, ...]:
    """The steps whose bodies show progress; one that has ended meanwhile is left as it is.

    What is shown is kept for the next attempt, whatever ends this one.
    """
    number, sequence = run.step_count, run.next_sequence
    changed: dict[str, Step] = {}
    for each in shown:
        known = changed.get(each.step_id) or run.steps.get(each.step_id)
        if known is not None and known.status in UNFINISHED:
            changed[each.step_id] = replace(known, progress=each.details, updated_at=now)
        elif known is None or known.failure == "released" or known.status == "cancelled":
            changed[each.step_id] = Step(
                step_id=each.step_id,
                name=each.name,
                type=each.type,
                status="running",
                sequence=sequence if known is None else known.sequence,
                number=number if known is None else known.number,
                attempt=each.attempt or run.attempt,
                created_at=now if known is None else known.created_at,
                updated_at=now,
                started_at=each.started_at,
                attempts_max=each.attempts_max or None,
                progress=each.details,
            )
            number, sequence = (number + 1, sequence + 1) if known is None else (number, sequence)
    return tuple(changed.values())


def redacted_attempts(attempts: str | None, marker: str) -> str | None:
    """Failed attempts without the messages of their errors."""
    if attempts is None:
        return None
    failed = read_attempts(attempts)
    return _encode([replace(each, error=replace(each.error, message=marker)) for each in failed]).decode()
