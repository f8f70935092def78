"""States of a run as values, and the difference of two; pure."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from ironflow.base.json import Json, read_json
from ironflow.debugging.branches import labels
from ironflow.features.runs.contract import WireError
from ironflow.features.time_travel.contract import RunState, StepState

CHANGES_MAX = 1_000
ABSENT: Any = object()


class Change(NamedTuple):
    """A value that differs. path: such as `outputs.reserve.table`. before, after: JSON values, ABSENT for none."""

    path: str
    before: Any
    after: Any


def document(state: RunState) -> dict[str, Any]:
    """The state as a value: run, event, steps, outputs and error, as conditions and evaluation name them.

    steps and outputs are keyed by the labels of the steps.
    """
    named = labels(state.steps, state.run_id)
    return {
        "run": {
            "id": state.run_id,
            "function": state.function_id,
            "version": state.function_version,
            "status": state.status,
            "state": state.state,
            "attempt": state.attempt,
            "max_attempts": state.max_attempts,
            "worker": state.worker_id,
            "parent": state.parent_run_id,
            "output": value_of(state.output),
            "error": error_value(state.error),
        },
        "event": {"id": state.event_id, "name": state.event_name, "data": value_of(state.input)},
        "steps": {named[step.step_id]: step_value(step) for step in state.steps},
        "outputs": {named[step.step_id]: value_of(step.output) for step in state.steps if step.status == "completed"},
        "error": error_value(state.error),
    }


def step_value(step: StepState) -> dict[str, Any]:
    """A step as a value; what it does not have is left out."""
    found: dict[str, Any] = {
        "status": step.status,
        "type": step.type,
        "attempt": step.attempt,
        "output": value_of(step.output),
        "error": error_value(step.error),
        "original_output": value_of(step.original_output),
        "duration_ms": step.duration_ms,
        "started_at": _time(step.started_at),
        "completed_at": _time(step.completed_at),
        "sleep_until": _time(step.sleep_until),
        "wait_event": step.wait_event_name,
        "wait_until": _time(step.wait_timeout),
        "child_run": step.child_run_id,
        "compensation_for": step.compensation_for,
        "injected": step.injected or None,
        "patched": step.patched or None,
        "patched_by": step.patched_by,
    }
    return {name: each for name, each in found.items() if each is not None or name == "output"}


def state_changes(before: RunState | None, after: RunState) -> list[Change]:
    """What differs between two states of a run, at most CHANGES_MAX. before: None before its creation."""
    first = document(before) if before is not None else {}
    second = document(after)
    found: list[Change] = []
    # An output and an error are among the steps and the run as well.
    for name in ("run", "event", "steps"):
        for each in differences(first.get(name, ABSENT), second[name], name):
            if len(found) == CHANGES_MAX:
                return found
            found.append(each)
    return found


def differences(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """The innermost values that differ, in the order of `after`, then what only `before` has."""
    if isinstance(before, dict) and isinstance(after, dict):
        first, second = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        for name in [*second, *(name for name in first if name not in second)]:
            yield from differences(first.get(name, ABSENT), second.get(name, ABSENT), _joined(path, name))
    elif isinstance(before, list) and isinstance(after, list):
        ones, others = cast("list[Any]", before), cast("list[Any]", after)
        for index in range(max(len(ones), len(others))):
            one = ones[index] if index < len(ones) else ABSENT
            other = others[index] if index < len(others) else ABSENT
            yield from differences(one, other, f"{path}[{index}]")
    elif before is ABSENT or after is ABSENT or type(before) is not type(after) or before != after:
        yield Change(path, before, after)


def value_of(payload: Json | None) -> Any:
    """A payload as a value; None for none."""
    return None if payload is None else read_json(payload)


def error_value(error: WireError | None) -> dict[str, Any] | None:
    """An error as a value; what it does not have is left out."""
    if error is None:
        return None
    found: dict[str, Any] = {
        "message": error.message,
        "code": error.code,
        "class": error.error_class,
        "retryable": error.retryable or None,
        "details": value_of(error.details),
        "stack": error.stack,
    }
    return {name: each for name, each in found.items() if each is not None}


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _time(at: Any) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
