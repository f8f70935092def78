"""Entities at polling and streaming workers: the same handlers, the same states."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest

from ironflow import Client, Context, NonRetryableError, RunFailedError, entity
from ironflow.base.errors import DeadlineExceeded
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=[Worker, StreamingWorker], ids=["polling", "streaming"])
async def client(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Client]:
    worker = request.param(counter.functions, url=server.address, max_concurrent_jobs=20)
    async with worker, Client(server.address) as client:
        yield client


async def test_calls_at_once_are_handled_one_after_another(client: Client) -> None:
    key = uuid4().hex

    calls = [client.entities.call("counter", key, name, 1, timeout="60s") for name in ("add", "plain") * 5]
    answers = await asyncio.gather(*calls)

    assert sorted(answers) == list(range(1, 11))
    assert (await client.entities.get("counter", key)).state == 10
    assert await client.entities.call("counter", key, "value", timeout="60s") == 10


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
