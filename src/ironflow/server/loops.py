"""Runs what goes on by itself. A loop that fails is logged and tried again; the server shows which one it is."""

import asyncio
import logging
from typing import Any, Protocol

from ironflow.base.time import Clock, Millis
from ironflow.broker.port import Broker

logger = logging.getLogger(__name__)

RETRY_S = 1.0


class Loop(Protocol):
    """name: for logs. every_ms: how often without a reason. topic (optional): a ring is a reason.

    run_once answers what it did: `more` means again at once, `next_at` (optional) when there will be a reason,
    `rest_ms` (optional) how long a ring may wait, because most likely it will be no reason.
    """

    name: str
    every_ms: int

    async def run_once(self, now: Millis) -> Any: ...


class Loops:
    """Keeps loops going until closed."""

    def __init__(self, clock: Clock, broker: Broker) -> None:
        self._clock = clock
        self._broker = broker
        self._tasks: list[asyncio.Task[None]] = []
        # Name of a failing loop -> its error's text.
        self.failing: dict[str, str] = {}

    def start(self, loops: list[Loop]) -> None:
        self._tasks = [asyncio.create_task(self._keep(loop), name=f"loop-{loop.name}") for loop in loops]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, loop: Loop) -> None:
        with self._broker.bell(getattr(loop, "topic", "") or f"loop:{loop.name}") as bell:
            while True:
                await bell.wait(await self._round(loop))

    async def _round(self, loop: Loop) -> float:
        """Runs the loop once; seconds until the next round, unless something rings before."""
        try:
            ran = await loop.run_once(self._clock.now())
        except Exception as surprise:
            if loop.name not in self.failing:
                logger.exception("loop failed", extra={"loop": loop.name})
            self.failing[loop.name] = str(surprise) or type(surprise).__name__
            return RETRY_S
        self.failing.pop(loop.name, None)
        if ran.more:
            return 0.0
        rest_ms = getattr(ran, "rest_ms", 0)
        if rest_ms:
            # The bell remembers what rings meanwhile.
            await asyncio.sleep(rest_ms / 1000)
        wait_ms = loop.every_ms
        next_at = getattr(ran, "next_at", None)
        if next_at is not None:
            wait_ms = min(wait_ms, max(next_at - self._clock.now(), 0))
        return wait_ms / 1000
