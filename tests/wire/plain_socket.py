"""A client of `/ws` made from the protocol's documents alone, on a stock WebSocket library.

Source: protocol/websocket.md 1.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

WITHIN_S = 10.0


class PlainSocket:
    """One connection. events: what came for subscriptions while something else was waited for."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.others: list[dict[str, Any]] = []

    async def send(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def next(self, within_s: float = WITHIN_S) -> dict[str, Any]:
        """The next frame, of any type."""
        if self.others:
            return self.others.pop(0)
        return await self._receive(within_s)

    async def _receive(self, within_s: float) -> dict[str, Any]:
        async with asyncio.timeout(within_s):
            return json.loads(await self.connection.recv())

    async def subscribe(self, pattern: str, **options: Any) -> dict[str, Any]:
        """The result for that pattern."""
        subscription: dict[str, Any] = {"pattern": pattern}
        if options:
            subscription["options"] = options
        await self.send(type="subscribe", subscription=subscription)
        while True:
            frame = await self._receive(WITHIN_S)
            if frame["type"] != "subscription_result":
                self.others.append(frame)
                continue
            for result in frame["results"]:
                if result["pattern"] == pattern:
                    return result

    async def events(self, count: int, within_s: float = WITHIN_S) -> list[dict[str, Any]]:
        """The next `count` events; any other frame fails."""
        found: list[dict[str, Any]] = []
        for _ in range(count):
            frame = await self.next(within_s)
            assert frame["type"] == "event", frame
            found.append(frame)
        return found

    async def silent(self, for_s: float = 0.3) -> bool:
        """Whether nothing comes for a while."""
        try:
            self.others.append(await self.next(for_s))
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def plain_socket(address: str, path: str = "/ws", **options: Any) -> AsyncIterator[PlainSocket]:
    """address: `http://…` of the server. options: those of the library, such as additional_headers."""
    async with connect(address.replace("http", "ws", 1) + path, **options) as connection:
        yield PlainSocket(connection)
