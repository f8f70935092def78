"""Work that goes on by itself: what a loop is, and what one round of it did."""

from dataclasses import dataclass, field
from typing import Protocol

from ironflow.base.time import Millis


@dataclass(frozen=True, slots=True)
class Ran:
    """The result of one round.

    done: how many of what, for the log and /metrics. more: run again at once. next_at: when something is due; None when
    nothing is in sight. rest_ms: how long a notification may wait, where it most likely brings nothing to do.
    """

    done: dict[str, int] = field(default_factory=dict)
    more: bool = False
    next_at: Millis | None = None
    rest_ms: int = 0


class Loop(Protocol):
    """Does a small batch at a time, in short transactions.

    name: for the log, /ready and /metrics. topic: a notification of it starts a round; empty for none.
    every_ms: a round starts after this time at the latest. notable: the names in `Ran.done` that are logged at INFO;
    the others are everyday work and logged at DEBUG.
    """

    name: str
    topic: str
    every_ms: int

    @property
    def notable(self) -> tuple[str, ...]: ...

    async def run_once(self, now: Millis) -> Ran:
        """One round."""
        ...
