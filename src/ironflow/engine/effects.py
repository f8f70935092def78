"""What follows from a decision besides the run itself: rows of the same transaction. Nothing leaves the process.

The job row is not among them: it is the run's lease, saved with the run.
"""

from typing import Literal

import msgspec

from ironflow.base.time import Millis


class SetTimer(msgspec.Struct, frozen=True):
    """Wakes the run at `due_at`. step_id: the step that waits, empty for `retry` and `start`."""

    kind: Literal["sleep", "retry", "start", "wait", "invoke"]
    due_at: Millis
    step_id: str = ""


class DropTimer(msgspec.Struct, frozen=True):
    """That timer is not needed any more."""

    kind: Literal["wait", "invoke"]
    step_id: str


class DropTimers(msgspec.Struct, frozen=True):
    """The run no longer waits for any time or event."""


class AddWait(msgspec.Struct, frozen=True):
    """A later event completes the step.

    event: a name or pattern. path, value: the event's data must have that value there; an empty path: no matter.
    expression: CEL that must hold, empty for none.
    """

    step_id: str
    event: str
    path: str
    value: str
    expression: str


class DropWait(msgspec.Struct, frozen=True):
    """The step waits for no event any more."""

    step_id: str


class StartChild(msgspec.Struct, frozen=True):
    """A run of another function with `input` (JSON text), started by a step of this one."""

    step_id: str
    function_id: str
    run_id: str
    input: str


class CancelChild(msgspec.Struct, frozen=True):
    """The child that a step waits for has nobody to answer to."""

    run_id: str
    cause: str


class DropSteps(msgspec.Struct, frozen=True):
    """Rows of steps from this sequence on."""

    from_sequence: int


Effect = SetTimer | DropTimer | DropTimers | AddWait | DropWait | StartChild | CancelChild | DropSteps
