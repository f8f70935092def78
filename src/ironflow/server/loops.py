"""Runs what goes on by itself. A loop that fails is logged and tried again; the server shows which one it is."""

import asyncio
import logging
from collections import Counter

from ironflow.base.errors import IronflowError
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.loop import Loop, Ran
from ironflow.base.time import Clock
from ironflow.notify.port import Notifier

logger = logging.getLogger(__name__)

RETRY_S = 1.0
# A loop writes at most one line in this time; what it did in between is added up.
LOG_EVERY_MS = 60_000


class Loops(Lifecycle):
    """Keeps loops going from start to stop.

    failing: the error text of each loop that failed in its last round, by name.
    counts: what all loops have done since the start, by (loop, what).
    """

    def __init__(self, clock: Clock, notifier: Notifier, loops: list[Loop]) -> None:
        self.loops = loops
        self._clock = clock
        self._notifier = notifier
        self._tasks: list[asyncio.Task[None]] = []
        self.failing: dict[str, str] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._keep(loop), name=f"loop-{loop.name}") for loop in self.loops]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, loop: Loop) -> None:
        account = _Account(loop, self._clock)
        with self._notifier.waiter(loop.topic or f"loop:{loop.name}") as waiter:
            while True:
                await waiter.wait(await self._round(loop, account))

    async def _round(self, loop: Loop, account: "_Account") -> float:
        """Runs the loop once; seconds until the next round, unless a notification comes before."""
        try:
            ran = await loop.run_once(self._clock.now())
        except Exception as surprise:
            error = str(surprise) or type(surprise).__name__
            if loop.name not in self.failing:
                # What the database could not do is no fault of the loop: no traceback.
                traceback = None if isinstance(surprise, IronflowError) else surprise
                logger.error("loop failed", extra={"loop": loop.name, "error": error}, exc_info=traceback)
            self.failing[loop.name] = error
            return RETRY_S
        self.failing.pop(loop.name, None)
        for what, count in ran.done.items():
            if count:
                self.counts[loop.name, what] += count
        account.add(ran)
        if ran.more:
            return 0.0
        if ran.rest_ms:
            # The waiter remembers notifications meanwhile.
            await asyncio.sleep(ran.rest_ms / 1000)
        wait_ms = loop.every_ms
        if ran.next_at is not None:
            wait_ms = min(wait_ms, max(ran.next_at - self._clock.now(), 0))
        return wait_ms / 1000


class _Account:
    """Adds up what one loop did and logs it, what is notable for this loop at INFO and the rest at DEBUG."""

    def __init__(self, loop: Loop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._done: dict[int, Counter[str]] = {logging.INFO: Counter(), logging.DEBUG: Counter()}
        self._logged_at = dict.fromkeys(self._done, clock.now() - LOG_EVERY_MS)

    def add(self, ran: Ran) -> None:
        for what, count in ran.done.items():
            if count:
                self._done[logging.INFO if what in self._loop.notable else logging.DEBUG][what] += count
        now = self._clock.now()
        for level, done in self._done.items():
            if done and now - self._logged_at[level] >= LOG_EVERY_MS:
                logger.log(level, "loop ran", extra={"loop": self._loop.name, "done": dict(done)})
                done.clear()
                self._logged_at[level] = now
