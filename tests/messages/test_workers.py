"""Values and answers under polling, streaming and the time machine: an answer comes with what was set before it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ironflow import Client, Context, function
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import time_machine
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes
QUESTIONS = 12


@function("adding")
async def adding(ctx: Context) -> int:
    """Sets values between messages alone, so that no step or wait brings them."""
    total = 0
    while True:
        msg = await ctx.step.receive("add", timeout="1h")
        if msg.data == "stop":
            return total
        total += msg.data
        ctx.set("total", total)
        await msg.reply(total)


@function("threaded")
def threaded(ctx: Any) -> int:
    total = 0
    while (msg := ctx.step.receive("add", timeout="1h")).data != "stop":
        total += msg.data
        ctx.set("total", total)
        msg.reply(total)
    return total


@function("branching")
async def branching(ctx: Context) -> int:
    """A branch sets values and reports steps while another answers."""

    async def answers(step: Any) -> int:
        total = 0
        while (msg := await step.receive("add", timeout="1h")).data != "stop":
            total += msg.data
            ctx.set("total", total)
            await msg.reply(total)
        return total

    async def works(step: Any) -> None:
        for number in range(40):
            await step.run("work", lambda number=number: number)
            ctx.set("worked", number)

    return (await ctx.step.parallel("both", [answers, works]))[0]


# The times that `timing` noted, in each of its executions.
seen: list[dict[str, str]] = []


@function("timing")
async def timing(ctx: Context) -> dict[str, str]:
    """Notes the time after messages and answers in place, and again in the replay behind its sleep."""
    noted: dict[str, str] = {}
    seen.append(noted)
    for place in ("first", "second"):
        msg = await ctx.step.receive("add", timeout="1h")
        noted[f"{place} received"] = ctx.now().isoformat()
        await msg.reply(place)
        noted[f"{place} answered"] = ctx.now().isoformat()
    await ctx.step.sleep("nap", "20ms")
    return noted


FUNCTIONS = [adding, threaded, branching, timing]


@pytest.fixture(scope="module")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


class World:
    """client: of a server with a worker. settle: runs what there is to do, advance: lets a second pass; where time
    stands still."""

    def __init__(
        self,
        client: Client,
        settle: Callable[[], Awaitable[Any]] | None = None,
        advance: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        self.client = client
        self._settle = settle
        self.advance = advance

    async def ask(self, name: str, data: Any) -> Any:
        asking = asyncio.create_task(
            self.client.ask(name, "k", "add", data, start=True, idempotency_key=f"{name}-{data}", timeout="60s")
        )
        while self._settle is not None and not asking.done():
            await self._settle()
            await asyncio.sleep(0)
        return await asking

    async def ended(self, name: str) -> Any:
        await self.client.send(name, "k", "add", "stop")
        if self._settle is not None:
            await self._settle()
        return (await self.client.runs.wait(name, key="k", timeout="60s")).output


@pytest.fixture(params=["polling", "streaming", "time machine"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        if request.param == "time machine":
            machine = await stack.enter_async_context(time_machine(functions=FUNCTIONS))
            yield World(machine.client, machine.settle, lambda: machine.advance("1s"))
            return
        running: Server = request.getfixturevalue("server_process")
        kind = Worker if request.param == "polling" else StreamingWorker
        await stack.enter_async_context(kind(FUNCTIONS, url=running.address, environment=request.param))
        yield World(await stack.enter_async_context(Client(running.address, environment=request.param)))


@pytest.mark.parametrize("name", ["adding", "threaded", "branching"])
async def test_a_caller_with_an_answer_reads_the_values_that_were_set_before_it(world: World, name: str) -> None:
    for number in range(1, QUESTIONS + 1):
        answer = await world.ask(name, number)
        assert answer == sum(range(number + 1))
        assert await world.client.runs.value(name, "total", key="k") == answer

    assert await world.ended(name) == sum(range(QUESTIONS + 1))


async def test_the_time_after_what_is_received_and_answered_in_place_is_that_of_every_replay(world: World) -> None:
    seen.clear()
    for number in (1, 2):
        assert await world.ask("timing", number) in ("first", "second")
        if world.advance is not None:
            await world.advance()
    run = await world.client.runs.wait("timing", key="k", timeout="60s")

    assert len(seen) >= 2
    assert len(run.output) == 4
    for execution in seen:
        assert execution == {place: run.output[place] for place in execution}
    assert list(run.output.values()) == sorted(run.output.values())
