"""Journeys and gatherings asked for without end, stamps for those that wait, and what the server acknowledged."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

import msgspec

from ironflow import Client
from ironflow.features.runs.contract import RunStatus
from ironflow.sdk.views import Emitted
from tests.crash.journeys import ASKED, ATTEMPTS_MAX, GATHERED, JOURNEY, STAMPED, Gathering, Journey

LANES = 3
# The pace of the load; nothing waits for it.
PAUSE_S_MAX = 0.25


@dataclass
class Wishes:
    """Everything that was asked for, by number, and the answers. All of it was repeated until it was acknowledged."""

    journeys: dict[int, Journey] = field(default_factory=dict)
    acknowledged: dict[int, Emitted] = field(default_factory=dict)
    gatherings: dict[int, Gathering] = field(default_factory=dict)
    gathered: dict[int, Emitted] = field(default_factory=dict)
    stamps: dict[int, Emitted] = field(default_factory=dict)


class JourneyLoad:
    """Asks from its start to its stop, and stamps to its end, within a context."""

    def __init__(self, client: Client, chance: random.Random) -> None:
        self.wishes = Wishes()
        self._client = client
        self._chance = chance
        self._going = True
        self._asking: list[asyncio.Task[None]] = []
        self._stamping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._asking = [asyncio.create_task(self._on(self._ask)), asyncio.create_task(self._on(self._gather))]
        self._stamping = asyncio.create_task(self._stamp_on())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        tasks = [*self._asking, *([self._stamping] if self._stamping else [])]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def stop(self) -> None:
        """Returns when the last event has its answer; stamps go on."""
        self._going = False
        await asyncio.gather(*self._asking)

    async def _on(self, ask: Callable[[int], Awaitable[None]]) -> None:
        for number in itertools.count(1):
            if not self._going:
                return
            await ask(number)
            await asyncio.sleep(self._chance.uniform(0, PAUSE_S_MAX))

    async def _ask(self, number: int) -> None:
        moods = self._chance.choices([0, 1, ATTEMPTS_MAX], weights=[75, 15, 10])[0]
        journey = Journey(number=number, moods=moods, doomed=self._chance.random() < 0.3)
        self.wishes.journeys[number] = journey
        data = msgspec.to_builtins(journey)
        emitted = await self._client.emit(ASKED, data, idempotency_key=f"journey-{number}")
        self.wishes.acknowledged[number] = emitted

    async def _gather(self, number: int) -> None:
        gathering = Gathering(number=number, lane=self._chance.randrange(LANES))
        self.wishes.gatherings[number] = gathering
        data = msgspec.to_builtins(gathering)
        emitted = await self._client.emit(GATHERED, data, idempotency_key=f"gather-{number}")
        self.wishes.gathered[number] = emitted

    async def _stamp_on(self) -> None:
        """A stamp for every journey that is seen waiting; its answer was there before it waited."""
        while True:
            async for run in self._client.runs.list(function_id=JOURNEY, status=RunStatus.WAITING, page_size=500):
                number = run.input["number"]
                if run.pause_reason == "wait_event" and number not in self.wishes.stamps:
                    stamp = await self._client.emit(STAMPED, {"number": number}, idempotency_key=f"stamp-{number}")
                    self.wishes.stamps[number] = stamp
            await asyncio.sleep(0.05)
