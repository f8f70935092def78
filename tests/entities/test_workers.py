"""Entities at polling and streaming workers: the same handlers, the same states."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest

from ironflow import Client, Context, InvokeError, NonRetryableError, Retry, RunFailedError, entity, function
from ironflow.base.errors import DeadlineExceeded
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import time_machine
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes
counter = entity("counter", key="id", initial=0)


@counter.handler
async def add(ctx: Context, data: int) -> int:
    before = ctx.state
    await ctx.step.run("think", lambda: data)
    ctx.state = before + data
    return ctx.state


@counter.handler
def plain(ctx: Any, data: int) -> int:
    ctx.state += data
    ctx.step.sleep("nap", "10ms")
    return ctx.state


@counter.read
async def value(ctx: Context) -> int:
    return ctx.state


@counter.handler
async def hold(ctx: Context) -> None:
    key = ctx.entity.key if ctx.entity else ""
    await ctx.step.wait_for_event("go", event="counter.go", match="id", match_value=key)


@counter.handler
async def fail(ctx: Context) -> None:
    ctx.state = -1
    raise NonRetryableError("no")


@function("bank")
async def bank(ctx: Context, key: str) -> Any:
    total = await ctx.step.invoke(add, 2, timeout="1m", entity_key=key)
    both = [lambda step: step.invoke("counter.add", 3, timeout="1m", entity_key=key)] * 2
    await ctx.step.parallel("both", both)
    return [total, await ctx.step.invoke(value, timeout="1m", entity_key=key), await refusals(ctx)]


@function("plain-bank")
def plain_bank(ctx: Any, key: str) -> Any:
    return ctx.step.invoke(plain, 5, timeout="1m", entity_key=key)


@function("sends", step_retry=Retry(max_attempts=1))
async def sends(ctx: Context, key: str) -> Any:
    """Starts handlers of keys, and waits for all but the first."""
    child = await ctx.step.invoke_async(add, 1, entity_key=key)
    one = await ctx.step.start("counter.add", 2, entity_key=key)
    many = await ctx.step.start_many(add, [3, 4], entity_key=[key, f"{key}-other"])
    more = await ctx.step.start_many("counter.plain", [5, 6], entity_key=key)
    totals = await ctx.step.join("all", [one, *many, *more])
    refused: list[str] = []
    try:
        await ctx.step.start("bank", 1, entity_key=key)
    except InvokeError as error:
        refused.append(error.cause)
    try:
        await ctx.step.invoke_async("counter.add", 1, entity_key="a b")
    except InvokeError as error:
        refused.append(error.cause)
    return [child.run_id, max(totals), totals[2], refused]


@function("plain-sends")
def plain_sends(ctx: Any, key: str) -> Any:
    ctx.step.invoke_async("counter.add", 1, entity_key=key)
    handles = [ctx.step.start(add, 2, entity_key=key), *ctx.step.start_many(add, [3, 4], entity_key=key)]
    return max(ctx.step.join("all", handles))


async def refusals(ctx: Context) -> list[str]:
    found: list[str] = []
    for function_id, key in (("bank", "k"), ("counter.add", "a b")):
        try:
            await ctx.step.invoke(function_id, 1, timeout="1m", entity_key=key)
        except InvokeError as error:
            found.append(error.cause)
    return found


REFUSED = [
    "function 'bank' is no handler of an entity: it takes no entity_key",
    "'a b' is no key of an entity: write 1 to 190 characters without spaces, `*` or `>`",
]
FUNCTIONS = [*counter.functions, bank, plain_bank, sends, plain_sends]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=[Worker, StreamingWorker], ids=["polling", "streaming"])
async def client(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Client]:
    worker = request.param(FUNCTIONS, url=server.address, max_concurrent_jobs=20)
    async with worker, Client(server.address) as client:
        yield client


async def test_calls_at_once_are_handled_one_after_another(client: Client) -> None:
    key = uuid4().hex

    calls = [client.entities.call("counter", key, name, 1, timeout="60s") for name in ("add", "plain") * 5]
    answers = await asyncio.gather(*calls)

    assert sorted(answers) == list(range(1, 11))
    assert (await client.entities.get("counter", key)).state == 10
    assert await client.entities.call("counter", key, "value", timeout="60s") == 10


async def test_a_step_invokes_a_handler_of_one_key(client: Client) -> None:
    key = uuid4().hex

    banks = [client.invoke_sync(name, key, timeout="60s") for name in ("bank", "plain-bank")]
    first, _ = await asyncio.gather(*banks)

    assert (first[1] in (8, 13), first[2]) == (True, REFUSED)
    assert (await client.entities.get("counter", key)).state == 13


async def test_a_step_invokes_a_handler_of_one_key_in_the_time_machine() -> None:
    async with time_machine(functions=FUNCTIONS) as machine:
        run = await machine.invoke(bank, "k")
        other = await machine.invoke(plain_bank, "k")
        await machine.advance("1s")

        assert run.output == [2, 8, REFUSED]
        assert (await machine.client.runs.get(other.id)).output == 13


async def test_a_step_starts_handlers_of_keys(client: Client) -> None:
    key, other = uuid4().hex, uuid4().hex

    sent, total = await asyncio.gather(
        client.invoke_sync("sends", key, timeout="60s"), client.invoke_sync("plain-sends", other, timeout="60s")
    )
    await client.runs.wait(sent[0], timeout="60s")

    assert (sent[1] in (16, 17), sent[2], sent[3]) == (True, 4, REFUSED)
    assert (await client.entities.get("counter", key)).state == 17
    assert (await client.entities.get("counter", f"{key}-other")).state == 4
    assert total in (9, 10)


async def test_a_step_starts_handlers_of_keys_in_the_time_machine() -> None:
    async with time_machine(functions=FUNCTIONS) as machine:
        run = await machine.invoke(sends, "k")
        other = await machine.invoke(plain_sends, "p")
        await machine.advance("1s")
        states = [(await machine.client.entities.get("counter", key)).state for key in ("k", "k-other", "p")]

        assert (await machine.client.runs.get(run.id)).output[1:] == [17, 4, REFUSED]
        assert (await machine.client.runs.get(other.id)).output == 10
        assert states == [17, 4, 10]


async def test_readers_and_other_keys_do_not_wait_for_a_handler_that_waits(client: Client) -> None:
    key = uuid4().hex
    held = await client.entities.send("counter", key, "hold")
    queued = await client.entities.send("counter", key, "add", 2)

    assert await client.entities.call("counter", key, "value", timeout="60s") == 0
    assert await client.entities.call("counter", uuid4().hex, "add", 3, timeout="60s") == 3
    with pytest.raises(DeadlineExceeded):
        await client.entities.call("counter", key, "add", 1, timeout="1ms", idempotency_key=key)
    # The wait is recorded, or finds the event when it is.
    await client.emit("counter.go", {"id": key})

    assert (await client.runs.wait(held.run_id, timeout="60s")).status == "completed"
    assert (await client.runs.wait(queued.run_id, timeout="60s")).output == 2
    assert await client.entities.call("counter", key, "add", 1, timeout="60s", idempotency_key=key) == 3


async def test_a_handler_that_fails_leaves_the_state_alone(client: Client) -> None:
    key = uuid4().hex
    await client.entities.call("counter", key, "add", 7, timeout="60s")

    with pytest.raises(RunFailedError, match="no"):
        await client.entities.call("counter", key, "fail", timeout="60s")

    assert await client.entities.call("counter", key, "value", timeout="60s") == 7
