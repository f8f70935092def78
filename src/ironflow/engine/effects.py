"""What follows from a decision besides the run itself: rows of the same transaction. Nothing leaves the process.

The job row is not among them: it is the run's lease, saved with the run.
"""

from typing import Literal

import msgspec

from ironflow.base.time import Millis


class SetTimer(msgspec.Struct, frozen=True):
    """Wakes the run at `due_at`. step_id: the sleeping step, empty for a retry."""

    kind: Literal["sleep", "retry"]
    due_at: Millis
    step_id: str = ""


class DropTimers(msgspec.Struct, frozen=True):
    """The run no longer waits for any time."""


Effect = SetTimer | DropTimers
