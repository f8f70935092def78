"""Following a pattern in a house of this process, as a socket or a stream does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from ironflow.base.call import Call
from ironflow.base.json import read_json
from ironflow.base.spelling import reader
from ironflow.features.subscriptions.contract import Subscribe
from ironflow.features.subscriptions.entry import Entry
from ironflow.features.subscriptions.subscription import Subscription
from tests.support.house import House

WITHIN_S = 10


class Follower:
    """A subscription that has begun, and its reader."""

    def __init__(self, house: House, subscription: Subscription) -> None:
        self.house = house
        self.subscription = subscription
        self._taken: list[Entry] = []

    async def next(self, count: int = 1) -> list[Entry]:
        """The next events, in order. Lets the log's tail go on while it waits."""
        async with asyncio.timeout(WITHIN_S):
            while len(self._taken) < count:
                await self._look()
        found, self._taken = self._taken[:count], self._taken[count:]
        return found

    async def data(self, count: int = 1) -> list[Any]:
        return [read_json(entry.data) for entry in await self.next(count)]

    async def topics(self, count: int = 1) -> list[str]:
        return [entry.topic for entry in await self.next(count)]

    async def rest(self) -> list[Entry]:
        """Everything that is there now."""
        before = -1
        while before != len(self._taken) or self.subscription.ready:
            before = len(self._taken)
            await self._look()
        found, self._taken = self._taken, []
        return found

    async def _look(self) -> None:
        await self.house.loop("log-tail")
        # What the system tells is handed out a turn of the loop later.
        await asyncio.sleep(0)
        while self.subscription.ready:
            self._taken += await self.subscription.take()


@asynccontextmanager
async def following(house: House, pattern: str, env: str = "default", **options: Any) -> AsyncIterator[Follower]:
    """A subscription that has begun, closed at the end."""
    room = house.inside.subscriptions
    text = msgspec.json.encode({"pattern": pattern, "options": options})
    request: Subscribe = reader(Subscribe).read(text)
    subscription = room.make(Call(environment=env, now=house.now), request, lambda _: None)
    try:
        await room.begin(subscription, request)
        yield Follower(house, subscription)
    finally:
        subscription.close()
