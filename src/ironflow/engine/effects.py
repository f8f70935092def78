"""The effects of a decision: rows to write in the transaction that saves the run. Nothing leaves the process.

The job row is not among them: it is the lease of the run and is saved with it.
"""

from typing import Literal

import msgspec

from ironflow.base.time import Millis
from ironflow.base.trace_context import TraceContext

TimerKind = Literal["sleep", "rest", "retry", "start", "wait", "invoke", "wake"]


class SetTimer(msgspec.Struct, frozen=True):
    """Wakes the run at `due_at`. step_id: the step that waits, empty for `retry`, `start` and `wake`."""

    kind: TimerKind
    due_at: Millis
    step_id: str = ""


class DropTimer(msgspec.Struct, frozen=True):
    """Removes one timer."""

    kind: Literal["sleep", "rest", "wait", "invoke"]
    step_id: str


class DropTimers(msgspec.Struct, frozen=True):
    """Removes all timers and waits of the run."""


class AddWait(msgspec.Struct, frozen=True):
    """Registers a wait: a later event completes the step.

    event: a name or pattern. path, value: the event's data must have that value there; an empty path matches any data.
    expression: CEL that must be true, empty for none.
    """

    step_id: str
    event: str
    path: str
    value: str
    expression: str


class DropWait(msgspec.Struct, frozen=True):
    """Removes the wait of the step."""

    step_id: str


class StartChild(msgspec.Struct, frozen=True):
    """Creates a run of another function with `input` (JSON text) for a step of this run.

    delay_ms: until it may start. parent_timeout_ms: how long this run waits from its start. trace, entity_key,
    cancelled: as of `Invoke`.
    """

    step_id: str
    function_id: str
    run_id: str
    input: str
    delay_ms: int = 0
    parent_timeout_ms: int = 0
    trace: TraceContext | None = None
    entity_key: str = ""
    cancelled: bool = False


class CancelChild(msgspec.Struct, frozen=True):
    """Cancels the child that a step waits for. force: as `commands.Cancel`."""

    run_id: str
    cause: str
    force: bool = False


class StartSuccessor(msgspec.Struct, frozen=True):
    """Creates the run that goes on in place of this one, with `input` (JSON text)."""

    run_id: str
    input: str


class DropSteps(msgspec.Struct, frozen=True):
    """Removes the step rows from this sequence on."""

    from_sequence: int


Effect = SetTimer | DropTimer | DropTimers | AddWait | DropWait | StartChild | CancelChild | StartSuccessor | DropSteps
