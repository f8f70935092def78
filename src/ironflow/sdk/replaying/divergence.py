"""Where a handler and the record of one of its runs do not fit. Values in, values out.

Source: docs/guides/changing-code.md, "What is a divergence".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ironflow.features.runs.contract import RunStatus, step_kind
from ironflow.sdk.durable.job.report import Completed, Failed, Outcome, Restarted

# In the id of a step that a compensation has made: the compensation's own, which ends with a number.
_IN_COMPENSATION = re.compile(r":compensate:(?:[^:\\]|\\.)*:\d+:")


class Kind(StrEnum):
    """not_asked: the handler does without a recorded step. new_step: it asks for a step that is not recorded, and later
    steps are. other_type: it asks for a step of another type. other_outcome: it ends in another way than the run did.
    """

    NOT_ASKED = "not_asked"
    NEW_STEP = "new_step"
    OTHER_TYPE = "other_type"
    OTHER_OUTCOME = "other_outcome"


@dataclass(frozen=True, slots=True)
class Divergence:
    """step: the name of the step, empty for an outcome. message: a sentence for people."""

    kind: Kind
    step: str
    message: str
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A row of the record. needed: the handler that made the record would ask for it again."""

    step_id: str
    name: str
    type: str
    needed: bool


@dataclass(frozen=True, slots=True)
class RecordedEnd:
    """How the run was when it was read. error_class and message: of its last error, empty without one.

    restarted: it is completed because it restarted.
    """

    status: RunStatus
    error_class: str = ""
    message: str = ""
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class Course:
    """What the handler did. asked: types by step id, in the order in which it asked.

    left: where ids of steps begin that it does not need any more. real: ids of steps whose bodies ran for real.
    outcome: None when it goes on with a step that is not recorded, or when the replay was stopped; stopped: the latter.
    """

    asked: Mapping[str, str]
    left: Sequence[str]
    outcome: Outcome | None
    real: frozenset[str] = frozenset()
    stopped: bool = False


def decide_divergences(steps: Sequence[RecordedStep], end: RecordedEnd, course: Course) -> list[Divergence]:
    """All divergences, those of the earliest steps first.

    A handler that goes on where the record ends fits it. Of a replay that was stopped only the types are compared,
    and of a handler that took a step for another type nothing else: it went no further.
    """
    changed = [_other_type(step, course.asked[step.step_id]) for step in steps if _is_other_type(step, course)]
    if changed or course.stopped:
        return changed
    missing = [step for step in steps if _is_missing(step, end, course)]
    new = new_steps(steps, course)
    found = [_new_step(step_id, missing[0]) for step_id in new[:1] if missing]
    if not found:
        found = [_not_asked(step) for step in missing]
    return found + _other_outcome(end, course.outcome)


def new_steps(steps: Sequence[RecordedStep], course: Course) -> list[str]:
    """Ids of steps that the handler asked for and that are not recorded, without compensations."""
    known = {step.step_id for step in steps} | course.real
    return [
        step_id
        for step_id, kind in course.asked.items()
        if step_id not in known and kind != "compensate" and not _is_left(step_id, course)
    ]


def _is_other_type(step: RecordedStep, course: Course) -> bool:
    return course.asked.get(step.step_id, step.type) != step.type


def _is_missing(step: RecordedStep, end: RecordedEnd, course: Course) -> bool:
    if not step.needed or step.step_id in course.asked or _is_left(step.step_id, course):
        return False
    if _IN_COMPENSATION.search(step.step_id):
        # Compensations do not run in a replay.
        return False
    # A handler that does not fail here undoes nothing.
    return step.type != "compensate" or (end.status is RunStatus.FAILED and isinstance(course.outcome, Failed))


def _is_left(step_id: str, course: Course) -> bool:
    return any(step_id.startswith(scope) for scope in course.left)


def _other_type(step: RecordedStep, asked: str) -> Divergence:
    message = f"Step {step.name!r} is recorded as {step_kind(step.type)}, and the code takes it for {step_kind(asked)}."
    return Divergence(Kind.OTHER_TYPE, step.name, message, step.step_id)


def _not_asked(step: RecordedStep) -> Divergence:
    message = f"Step {step.name!r} ({step_kind(step.type)}) is recorded, and the code no longer asks for it."
    return Divergence(Kind.NOT_ASKED, step.name, message, step.step_id)


def _new_step(step_id: str, missing: RecordedStep) -> Divergence:
    name = name_of(step_id)
    message = (
        f"The code asks for step {name!r}, which is not recorded, while step {missing.name!r} is recorded and was not "
        f"asked for: {name!r} would run now. Was a step renamed, or added before recorded ones?"
    )
    return Divergence(Kind.NEW_STEP, name, message, step_id)


def _other_outcome(end: RecordedEnd, outcome: Outcome | None) -> list[Divergence]:
    ended = ""
    match outcome:
        case Completed() if end.status is RunStatus.FAILED:
            ended = f"The run failed ({end.message}), and the code completes it."
        case Completed() if end.restarted:
            ended = "The run restarted, and the code completes it."
        case Restarted() if end.status is RunStatus.FAILED:
            ended = f"The run failed ({end.message}), and the code restarts it."
        case Restarted() if end.status is RunStatus.COMPLETED and not end.restarted:
            ended = "The run completed, and the code restarts it."
        case Failed(error) if end.status is RunStatus.COMPLETED:
            how = "restarted" if end.restarted else "completed"
            ended = f"The run {how}, and the code fails: {error.error_class}: {error.message}"
        case Failed(error) if end.status is RunStatus.FAILED and end.error_class not in ("", error.error_class):
            ended = (
                f"The run failed with {end.error_class} ({end.message}), and the code with "
                f"{error.error_class}: {error.message}"
            )
        case Failed(error) if not end.status.ended and not end.message:
            ended = f"The run is on its way, and the code fails: {error.error_class}: {error.message}"
        case _:
            pass
    return [Divergence(Kind.OTHER_OUTCOME, "", ended)] if ended else []


def name_of(step_id: str) -> str:
    """The name in a step's id, with its prefix where it has one. Source: protocol/step-semantics.md 1."""
    parts, text, escaped = [""], step_id.rpartition(":")[0], False
    for sign in text:
        if sign == ":" and not escaped:
            parts.append("")
        elif sign != "\\" or escaped:
            parts[-1] += sign
        escaped = sign == "\\" and not escaped
    prefix = f"{parts[-2]}:" if len(parts) > 1 and parts[-2] in ("publish", "compensate") else ""
    return prefix + parts[-1]
