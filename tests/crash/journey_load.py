"""A load of journeys and gatherings, stamps for journeys that wait, and what the server acknowledged."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

import msgspec

from ironflow import Client
from ironflow.features.runs.contract import RunStatus
from ironflow.sdk.client.views import Emitted
from tests.crash.journeys import ASKED, ATTEMPTS_MAX, GATHERED, JOURNEY, STAMPED, Gathering, Journey

LANES = 3
# Upper bound of the random pause between two emits of a client: the pace of the load, not a wait for anything.
PAUSE_S_MAX = 0.25
STAMP_EVERY_S = 0.05


@dataclass
class Emissions:
    """Every event that was emitted, by number, and the answers. Each emit was repeated until it was acknowledged."""

    journeys: dict[int, Journey] = field(default_factory=dict)
    acknowledged: dict[int, Emitted] = field(default_factory=dict)
    gatherings: dict[int, Gathering] = field(default_factory=dict)
    gathered: dict[int, Emitted] = field(default_factory=dict)
    stamps: dict[int, Emitted] = field(default_factory=dict)


class JourneyLoad:
    """Emits journeys and gatherings until `stop`, and stamps until its context is closed."""

    def __init__(self, client: Client, chance: random.Random) -> None:
        self.emissions = Emissions()
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
        """Returns when the last event is answered; stamps continue."""
        self._going = False
        await asyncio.gather(*self._asking)

    async def _on(self, ask: Callable[[int], Awaitable[None]]) -> None:
        for number in itertools.count(1):
            if not self._going:
                return
            await ask(number)
            await asyncio.sleep(self._chance.uniform(0, PAUSE_S_MAX))

    async def _ask(self, number: int) -> None:
        failures = self._chance.choices([0, 1, ATTEMPTS_MAX], weights=[75, 15, 10])[0]
        journey = Journey(number=number, failures=failures, doomed=self._chance.random() < 0.3)
        self.emissions.journeys[number] = journey
        data = msgspec.to_builtins(journey)
        emitted = await self._client.emit(ASKED, data, idempotency_key=f"journey-{number}")
        self.emissions.acknowledged[number] = emitted

    async def _gather(self, number: int) -> None:
        gathering = Gathering(number=number, lane=self._chance.randrange(LANES))
        self.emissions.gatherings[number] = gathering
        data = msgspec.to_builtins(gathering)
        emitted = await self._client.emit(GATHERED, data, idempotency_key=f"gather-{number}")
        self.emissions.gathered[number] = emitted

    async def _stamp_on(self) -> None:
        """Emits a stamp for every journey that waits for one; the server is asked again every STAMP_EVERY_S."""
        while True:
            async for run in self._client.runs.list(function_id=JOURNEY, status=RunStatus.WAITING, page_size=500):
                number = run.input["number"]
                if run.pause_reason == "wait_event" and number not in self.emissions.stamps:
                    stamp = await self._client.emit(STAMPED, {"number": number}, idempotency_key=f"stamp-{number}")
                    self.emissions.stamps[number] = stamp
            await asyncio.sleep(STAMP_EVERY_S)
