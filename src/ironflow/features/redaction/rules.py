"""What takes the place of a redacted payload, and when; pure.

Source: protocol/errors-and-defaults.md 3, behaviour.md 4.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, assert_never, cast

from msgspec.structs import replace

from ironflow.base.errors import InvalidArgument
from ironflow.base.json import InvalidJson, read_json, write_json_text
from ironflow.base.redacted import is_redacted
from ironflow.base.time import Millis, to_datetime
from ironflow.engine import facts
from ironflow.engine.facts import Fact
from ironflow.engine.model import ErrorValue, Run, Step, error_text
from ironflow.engine.step_attempts import redacted_attempts

REDACTED = "[redacted]"
# A payload or an error in, what takes its place out; None stays None.
Swap = Callable[[str | None], str | None]


def marker(payload: str, now: Millis) -> str:
    """What takes the place of `payload`: that it was redacted, when, and the digest of its text."""
    digest = sha256(payload.encode()).hexdigest()
    return write_json_text({"$redacted": True, "sha256": digest, "redactedAt": to_datetime(now)})


def payload_swap(now: Millis) -> Swap:
    """Nothing takes the place of nothing: None, null and what was redacted before stay as they are."""

    def swap(payload: str | None) -> str | None:
        if payload is None or payload.strip() == "null" or is_redacted(payload):
            return payload
        return marker(payload, now)

    return swap


def swap_error(text: str | None) -> str | None:
    """An error without its text and details: code, class and whether it is tried again explain what the run did."""
    if text is None:
        return None
    try:
        value = read_json(text)
    except InvalidJson:
        value = None
    known = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    code, error_class = (each if isinstance(each := known.get(name), str) else "" for name in ("code", "error_class"))
    retryable = known.get("retryable") is True
    return error_text(ErrorValue(message=REDACTED, code=code, retryable=retryable, error_class=error_class))


def redacted_step(step: Step, swap: Swap) -> Step:
    """The step without what users' code gave and took; the same object when there was nothing."""
    after = replace(
        step,
        output=swap(step.output),
        original_output=swap(step.original_output),
        input=swap(step.input),
        error=swap_error(step.error),
        attempts=redacted_attempts(step.attempts, REDACTED),
        progress=swap(step.progress),
    )
    return step if after == step else after


def redacted_run(run: Run, swap: Swap) -> Run:
    """The run without its output and error, and without keys that were taken from its event."""
    after = replace(
        run,
        output=swap(run.output),
        error=swap_error(run.error),
        slot_key=None if run.slot_key is None else REDACTED,
        limit_key=None if run.limit_key is None else REDACTED,
        actor_id=None if run.actor_id is None else REDACTED,
        key=None if run.key is None else REDACTED,
        entity=None if run.entity is None else REDACTED,
    )
    return run if after == run else after


def redacted_fact(fact: Fact, swap: Swap, step_id: str | None) -> Fact:
    """The fact as it would have been with the payloads redacted, so that the rows stay the fold of the facts.

    step_id: only payloads of this step, None for all.
    """

    def step(given: Step) -> Step:
        return redacted_step(given, swap) if step_id in (None, given.step_id) else given

    match fact:
        case facts.StepsRecorded(steps=steps) | facts.StepsProgressed(steps=steps):
            return replace(fact, steps=tuple(map(step, steps)))
        case facts.StepInjected() | facts.StepPatched():
            return replace(fact, step=step(fact.step))
        case facts.RunCreated() if step_id is None:
            return replace(
                fact,
                slot_key=None if fact.slot_key is None else REDACTED,
                limit_key=None if fact.limit_key is None else REDACTED,
                actor_id=None if fact.actor_id is None else REDACTED,
                key=None if fact.key is None else REDACTED,
                entity=None if fact.entity is None else REDACTED,
            )
        case facts.ValuesSet(values=values) if step_id is None:
            return replace(fact, values=tuple(replace(value, value=swap(value.value) or "null") for value in values))
        case facts.StateChanged(state=state) if step_id is None:
            return replace(fact, state=replace(state, value=swap(state.value) or "null"))
        case facts.RunCompleted() if step_id is None:
            return replace(fact, output=swap(fact.output) or "null")
        case facts.RunFailed() | facts.AttemptFailed() | facts.CompensationStarted() if step_id is None:
            return replace(fact, error=swap_error(fact.error) or "null")
        case facts.RunPaused() if step_id is None:
            return replace(fact, error=swap_error(fact.error))
        case (
            facts.RunCreated()
            | facts.ValuesSet()
            | facts.StateChanged()
            | facts.RunCompleted()
            | facts.RunFailed()
            | facts.AttemptFailed()
            | facts.CompensationStarted()
            | facts.RunPaused()
        ):
            return fact
        case (
            facts.Admitted()
            | facts.Leased()
            | facts.LeaseRenewed()
            | facts.LeaseLost()
            | facts.JobReturned()
            | facts.StepsDropped()
            | facts.StepsReleased()
            | facts.StepsUnasked()
            | facts.WakeScheduled()
            | facts.Waiting()
            | facts.Woken()
            | facts.RetryStarted()
            | facts.PauseRequested()
            | facts.PauseWithdrawn()
            | facts.RunResumed()
            | facts.CancelRequested()
            | facts.RunCancelled()
        ):
            # These facts carry no payload of users' code.
            return fact
        case _:
            assert_never(fact)


def check_cursor(cursor: str) -> None:
    """Raises InvalidArgument for a cursor that no list of redactions gave out."""
    if cursor and not cursor.startswith("red_"):
        raise InvalidArgument(f"{cursor[:40]!r} is not a cursor of this list. Pass next_cursor as it was given.")
