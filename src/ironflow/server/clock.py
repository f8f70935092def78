"""The clock of nodes that share a database: the database's, so that leases and due times mean the same on each node."""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from ironflow.base.loop import Ran
from ironflow.base.time import Clock, Millis
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)

# A machine whose clock differs by more than this is reported.
OFF_MS = 1_000
# Number of questions; the fastest answer counts.
READINGS = 3
CLOCK = "SELECT {clock_ms}"


class Reading(NamedTuple):
    """What the database's clock showed at `at_ns` of the monotonic clock, within `error_ms`."""

    at_ns: int
    shown: Millis
    error_ms: float


def read_clock(tx: Tx) -> Reading:
    """The most exact of several readings."""
    # The first statement of a transaction also begins it.
    tx.row(CLOCK)
    readings: list[Reading] = []
    for _ in range(READINGS):
        asked = time.monotonic_ns()
        (shown,) = tx.row(CLOCK) or (0,)
        answered = time.monotonic_ns()
        readings.append(Reading((asked + answered) // 2, shown, (answered - asked) / 2_000_000))
    return min(readings, key=lambda reading: reading.error_ms)


class DatabaseClock:
    """The database's time, carried on by this machine's monotonic clock between two readings.

    Until the first reading it is the machine's time. machine: the machine's own clock.
    """

    def __init__(self, machine: Clock, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._machine = machine
        self._monotonic_ns = monotonic_ns
        self._start(machine.now(), monotonic_ns())
        self._ahead_ms = 0

    def now(self) -> Millis:
        return self._shown + (self._monotonic_ns() - self._at_ns) // 1_000_000

    def set(self, reading: Reading) -> None:
        """Follows a reading. A difference that may come from the reading itself changes nothing."""
        right = reading.shown + (self._monotonic_ns() - reading.at_ns) // 1_000_000
        if abs(self.now() - right) > reading.error_ms + 1:
            self._start(reading.shown, reading.at_ns)
        self._ahead_ms = self._machine.now() - self.now()

    @property
    def warning(self) -> str | None:
        """That the machine's clock is far from the database's, if it is."""
        if abs(self._ahead_ms) <= OFF_MS:
            return None
        direction = "ahead of" if self._ahead_ms > 0 else "behind"
        return (
            f"The clock of this machine is {abs(self._ahead_ms) / 1000:.1f} s {direction} the database's, which counts "
            "for leases and due times. Set it by NTP."
        )

    def _start(self, shown: Millis, at_ns: int) -> None:
        self._shown = shown
        self._at_ns = at_ns


class FollowClock:
    """Reads the database's clock and warns once while the machine's is far from it."""

    name = "clock"
    topic = ""
    every_ms = 5_000
    notable = ()

    def __init__(self, db: Database, clock: DatabaseClock) -> None:
        self._db = db
        self._clock = clock
        self._warned = False

    async def run_once(self, now: Millis) -> Ran:
        self._clock.set(await self._db.read(read_clock))
        warning = self._clock.warning
        if warning is None and self._warned:
            logger.info("clock right again")
        elif warning is not None and not self._warned:
            logger.warning("clock off", extra={"warning": warning})
        self._warned = warning is not None
        return Ran()
