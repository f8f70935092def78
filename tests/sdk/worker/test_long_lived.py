"""What keeps a run alive for long, under polling, streaming and the time machine: the same functions, the same outcome.

Handles, entities and answers have tables of their own: tests/handles, tests/entities, tests/messages.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ironflow import AskRefused, Client, Context, Retry, current_step, function
from ironflow.base.run_keys import RunKeyHeld
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import time_machine
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes


def shaky() -> list[Any]:
    step = current_step()
    if step.attempt < 3:
        step.heartbeat(step.attempt)
        raise ConnectionError("the line is dead")
    return [step.attempt, step.id.count(":charge:"), step.details]


@function("retries", retry=Retry(max_attempts=1))
async def retries(ctx: Context) -> Any:
    """A step with attempts of its own, between values of the handler that every replay has again."""
    before = [ctx.now(), ctx.uuid(), ctx.random.random()]
    charged = await ctx.step.run("charge", shaky, retry=Retry(max_attempts=3, initial_delay="20ms"))
    await ctx.step.sleep("nap", "20ms")
    seen = await ctx.step.run("seen", lambda: str(before))
    return [charged, seen == str(before), ctx.run.attempt]


@function("chat")
async def chat(ctx: Context, total: int | None) -> Any:
    """Takes two messages, and goes on in its successor; `stop` is refused, and ends the chain."""
    total = total or 0
    for _ in range(2):
        msg = await ctx.step.receive("add", timeout="1h")
        if msg.data == "stop":
            await msg.reject("closed")
            return total
        total += msg.data
        ctx.set("total", total)
        await msg.reply(total)
    return ctx.restart(total)


@function("books", on_cancel="compensate")
async def books(ctx: Context, trip: str) -> None:
    for name in ("hotel", "car"):
        await ctx.step.run(name, lambda name=name: name)
        ctx.step.compensate(name, lambda name=name: f"{name} undone")
    if trip == "twice":
        await ctx.step.compensate_now()
        await ctx.step.run("train", lambda: "train")
        ctx.step.compensate("train", lambda: "train undone")
    ctx.set("booked", True)
    await ctx.step.wait_for_event("gone", event="trip.gone", timeout="1h")


@function("delayed")
async def delayed(ctx: Context) -> Any:
    started = await ctx.step.start("retries", delay="50ms")
    child = await ctx.step.invoke("retries", timeout="1m", timeout_from="start", delay="50ms")
    return [child, await ctx.step.join("all", [started])]


FUNCTIONS = [retries, chat, books, delayed]


@pytest.fixture(scope="module")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


class World:
    """client: of a server with a worker. advance: lets time pass, where it stands still."""

    def __init__(self, client: Client, advance: Callable[[str], Awaitable[Any]] | None = None) -> None:
        self.client = client
        self._advance = advance

    async def done(self, work: Awaitable[Any]) -> Any:
        """What `work` gives, while time passes."""
        task = asyncio.ensure_future(work)
        while self._advance is not None and not task.done():
            await self._advance("1s")
            await asyncio.sleep(0)
        return await task

    async def ended(self, run_id: str) -> Any:
        return await self.done(self.client.runs.wait(run_id, timeout="60s"))


@pytest.fixture(params=["polling", "streaming", "time machine"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        if request.param == "time machine":
            machine = await stack.enter_async_context(time_machine(functions=FUNCTIONS))
            yield World(machine.client, machine.advance)
            return
        running: Server = request.getfixturevalue("server_process")
        kind = Worker if request.param == "polling" else StreamingWorker
        await stack.enter_async_context(kind(FUNCTIONS, url=running.address, environment=request.param))
        yield World(await stack.enter_async_context(Client(running.address, environment=request.param)))


RETRIED = [[3, 1, 2], True, 1]


async def test_a_step_has_attempts_of_its_own(world: World) -> None:
    run = await world.ended((await world.client.invoke("retries")).run_id)

    assert run.output == RETRIED


async def test_a_run_starts_after_its_delay_and_its_time_out_counts_from_there(world: World) -> None:
    run = await world.ended((await world.client.invoke("delayed")).run_id)

    assert run.output == [RETRIED, [RETRIED]]


async def test_a_run_is_talked_to_by_its_key_over_restarts(world: World) -> None:
    client = world.client
    answers = [
        await world.done(client.ask("chat", "ada", "add", number, start=True, timeout="60s")) for number in range(1, 6)
    ]
    with pytest.raises(AskRefused, match="closed"):
        await world.done(client.ask("chat", "ada", "add", "stop", timeout="60s"))
    last = await world.done(client.runs.wait("chat", key="ada", timeout="60s"))

    assert answers == [1, 3, 6, 10, 15]
    assert (last.output, await client.runs.value("chat", "total", key="ada")) == (15, 15)
    assert [link.status async for link in client.runs.chain(last.id)] == ["completed"] * 3


async def test_a_key_has_one_run_that_is_used_refused_or_replaced(world: World) -> None:
    client = world.client
    first = await client.invoke("chat", key="bob")
    used = await client.invoke("chat", key="bob", if_running="use")
    with pytest.raises(RunKeyHeld):
        await client.invoke("chat", key="bob", if_running="refuse")
    other = await client.invoke("chat", key="bob", if_running="replace")

    assert (used.run_id, used.existing, other.existing) == (first.run_id, True, None)
    assert (await world.ended(first.run_id)).status == "cancelled"
    assert (await client.runs.get("chat", key="bob")).id == other.run_id


@pytest.mark.parametrize("trip", ["once", "twice"])
async def test_a_cancelled_run_is_undone_before_it_ends(world: World, trip: str) -> None:
    run = await world.client.invoke("books", trip)
    assert await world.done(world.client.runs.value(run.run_id, "booked", wait="60s"))
    await world.client.runs.cancel(run.run_id)

    assert (await world.ended(run.run_id)).status == "cancelled"
    undone = [step.output for step in await world.client.runs.steps(run.run_id) if "undone" in str(step.output)]
    assert undone == ["car undone", "hotel undone", *(["train undone"] if trip == "twice" else [])]
