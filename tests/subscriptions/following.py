"""Following a pattern in a server of this process, as a socket or a stream does."""

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
from ironflow.features.subscriptions.service import Subscriptions
from ironflow.features.subscriptions.subscription import Subscription
from tests.support.server import Server

WITHIN_S = 10


class Follower:
    """A subscription that has begun, and its reader."""

    def __init__(self, server: Server, subscription: Subscription) -> None:
        self.server = server
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
        await self.server.loop("log-tail")
        # What the system publishes is handed out a turn of the loop later.
        await asyncio.sleep(0)
        while self.subscription.ready:
            self._taken += await self.subscription.take()


@asynccontextmanager
async def following(server: Server, pattern: str, env: str = "default", **options: Any) -> AsyncIterator[Follower]:
    """A subscription that has begun, closed at the end."""
    feature = server.part(Subscriptions)
    text = msgspec.json.encode({"pattern": pattern, "options": options})
    request: Subscribe = reader(Subscribe).read(text)
    subscription = feature.make(Call(environment=env, now=server.now), request, lambda _: None)
    try:
        await feature.begin(subscription, request)
        yield Follower(server, subscription)
    finally:
        subscription.close()
