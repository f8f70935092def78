"""A whole server in the test process: no port, and time that moves when the test moves it.

    async def test_something(server):
        await server.call(contract.emit, event="order.placed")
        server.move(60_000)
        await server.loops()

The fixture `server` runs a test on SQLite, then on PostgreSQL. Loops run only when the test runs them.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import msgspec

from ironflow.base.call import Call
from ironflow.base.operation import Operation
from ironflow.base.spelling import reader
from ironflow.base.time import FixedClock, Millis
from ironflow.dispatch import Dispatch
from ironflow.server.settings import Settings
from ironflow.storage.port import Database

if TYPE_CHECKING:
    from ironflow.server import building

Part = TypeVar("Part")
Res = TypeVar("Res", bound=msgspec.Struct | None)
Kind = TypeVar("Kind", bound="Server")

ROUNDS_MAX = 100


class Server:
    """A built server and its clock. `inside`: what `ironflow.server.building.build` returned."""

    def __init__(self, inside: "building.Server", clock: FixedClock) -> None:
        self.inside = inside
        self.clock = clock

    @property
    def db(self) -> Database:
        return self.inside.db

    @property
    def dispatch(self) -> Dispatch:
        return self.inside.dispatch

    @property
    def now(self) -> Millis:
        return self.clock.now()

    def move(self, by_ms: int) -> None:
        self.clock.move(by_ms)

    async def call(
        self, operation: Operation[Any, Res], /, *, env: str = "default", from_run: str = "", **fields: Any
    ) -> Res:
        """The answer to a request with these fields, given as plain data; they are read as from a JSON body."""
        return await self.ask(operation, fields, env=env, from_run=from_run)

    async def ask(
        self,
        operation: Operation[Any, Res],
        body: Mapping[str, Any] | bytes,
        *,
        env: str = "default",
        from_run: str = "",
    ) -> Res:
        """As `call`, with the body as a mapping or as JSON text."""
        text = body if isinstance(body, bytes) else msgspec.json.encode(body)
        call = Call(environment=env, now=self.clock.now(), run_id=from_run, authorise=self.dispatch.authorise)
        return await self.inside.dispatch(operation, call, reader(operation.request).read(text))

    async def stream(
        self, operation: Operation[Any, Res], /, *, env: str = "default", **fields: Any
    ) -> AsyncGenerator[Res, None]:
        """The answers of a stream to a request with these fields; close it at the end."""
        call = Call(environment=env, now=self.clock.now(), authorise=self.dispatch.authorise)
        message = reader(operation.request).read(msgspec.json.encode(fields))
        async with aclosing(self.inside.dispatch.stream(operation, call, message)) as answers:
            async for answer in answers:
                # None: the stream has begun.
                if answer is not None:
                    yield answer

    def part(self, kind: type[Part]) -> Part:
        """The part of this class that a feature provides to others."""
        return self.inside.parts.need(kind)

    async def loop(self, name: str) -> list[Any]:
        """Runs the loop `name` until it has no more to do now; the result of each round."""
        (loop,) = [each for each in self.inside.all_loops if each.name == name]
        rounds: list[Any] = []
        for _ in range(ROUNDS_MAX):
            rounds.append(await loop.run_once(self.clock.now()))
            if not rounds[-1].more:
                return rounds
        raise AssertionError(f"the loop {name} still has more to do after {ROUNDS_MAX} rounds")

    async def loops(self) -> None:
        """Runs every loop until none has more to do now."""
        for loop in self.inside.all_loops:
            await self.loop(loop.name)

    def http(self) -> httpx.AsyncClient:
        """An HTTP client of the application, without a socket."""
        transport = httpx.ASGITransport(self.inside.app)  # pyright: ignore[reportArgumentType]
        return httpx.AsyncClient(transport=transport, base_url="http://server")


@asynccontextmanager
async def open_server(kind: type[Kind], database_url: str, **settings: Any) -> AsyncIterator[Kind]:
    """A server on that database, closed at the end.

    kind: Server, or a subclass with more methods.
    settings: those of `ironflow.server.settings.Settings`; `clock`; `chance`.
    """
    # Imported here, so that tests which need no server do not load it.
    from ironflow.server import building

    clock = settings.pop("clock", None) or FixedClock()
    chance = settings.pop("chance", os.urandom)
    inside = await building.build(replace(Settings(db=database_url, dev=True), **settings), clock, chance)
    try:
        yield kind(inside, clock)
    finally:
        await inside.stop()
