"""A load of errands: what clients emitted, and what the server acknowledged."""

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from typing import Self

import msgspec

from ironflow import Client
from ironflow.errors import IronflowError
from ironflow.sdk.client.views import Emitted
from ironflow.sdk.wire.retries import Retries
from tests.crash.errands import ASKED, ATTEMPTS_MAX, Errand

EMITTERS = 3
# Upper bound of the random pause between two emits of a client: the pace of the load, not a wait for anything.
PAUSE_S_MAX = 0.08


@dataclass
class Asked:
    """asked: every errand that a client tried to emit, by number. acknowledged: those that the server answered.

    keyed: numbers that were sent with an idempotency key, repeatedly until acknowledged; the others were sent once.
    """

    asked: dict[int, Errand] = field(default_factory=dict)
    acknowledged: dict[int, Emitted] = field(default_factory=dict)
    keyed: set[int] = field(default_factory=set)


class ErrandLoad:
    """Emits errands while its context is open, until `stop`."""

    def __init__(self, url: str, patient: Client, chance: random.Random) -> None:
        self.asked = Asked()
        self._patient = patient
        self._hasty = Client(url, timeout="5s", retries=Retries(attempts=1))
        self._chance = chance
        self._numbers = itertools.count(1)
        self._going = True
        self._emitting: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._emitting = [asyncio.create_task(self._emit_on()) for _ in range(EMITTERS)]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for task in self._emitting:
            task.cancel()
        await asyncio.wait(self._emitting)
        await self._hasty.close()

    async def stop(self) -> Asked:
        """Returns what was asked and acknowledged, after the last emit is answered."""
        self._going = False
        await asyncio.gather(*self._emitting)
        return self.asked

    async def _emit_on(self) -> None:
        while self._going:
            await self._emit(self._errand())
            await asyncio.sleep(self._chance.uniform(0, PAUSE_S_MAX))

    def _errand(self) -> Errand:
        failures = self._chance.choices([0, 1, 2, ATTEMPTS_MAX], weights=[70, 18, 6, 6])[0]
        return Errand(number=next(self._numbers), failures=failures, nap_ms=self._chance.choice([1, 20, 150]))

    async def _emit(self, errand: Errand) -> None:
        number, asked = errand.number, self.asked
        asked.asked[number] = errand
        data = msgspec.to_builtins(errand)
        if number % 4:
            asked.keyed.add(number)
            asked.acknowledged[number] = await self._patient.emit(ASKED, data, idempotency_key=f"errand-{number}")
            return
        try:
            asked.acknowledged[number] = await self._hasty.emit(ASKED, data)
        except IronflowError:
            # The outcome is unknown: the event may have been recorded, or not.
            return
