"""Declared types of outputs, handles and events in handlers and clients: by worker, in the time machine, in tests."""

from asyncio import to_thread
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from pytest import raises

from ironflow import Context, SyncContext, define_event, function
from ironflow.base.errors import ValidationError
from ironflow.sdk.client._sync.client import Client as SyncClient
from ironflow.sdk.client.client import Client
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import TestClient, time_machine
from tests.wire.server_process import a_server


class Order(msgspec.Struct):
    id: int


class Receipt(msgspec.Struct):
    number: str


paid = define_event("order.paid", type=Order)


@function("settle")
async def settle(ctx: Context, order: Order) -> Receipt:
    return Receipt(f"n-{order.id}")


@function("asynchronous", on="go.async")
async def asynchronous(ctx: Context, order: Order) -> list[str]:
    receipt = await ctx.step.invoke(settle, order, timeout="1m")
    handles = await ctx.step.start_many(settle, [Order(8), Order(9)])
    joined = await ctx.step.join("all", handles)
    event = await ctx.step.wait_for_event("paid", event=paid, match="id")
    return [receipt.number, *(each.number for each in joined), f"paid {event.data.id}"]


@function("plain", on="go.plain")
def plain(ctx: SyncContext, order: Order) -> list[str]:
    receipt = ctx.step.invoke(settle, order, timeout="1m")
    (joined,) = ctx.step.join("all", [ctx.step.start(settle, Order(8))])
    event = ctx.step.wait_for_event("paid", event=paid, match="id")
    return [receipt.number, joined.number, f"paid {event.data.id}"]


FUNCTIONS = [settle, asynchronous, plain]
OUTPUTS = {"async": ["n-7", "n-8", "n-9", "paid 7"], "plain": ["n-7", "n-8", "paid 7"]}


async def check(client: Client, wait: Callable[[str], Awaitable[Any]]) -> None:
    run_ids = [(await client.emit(f"go.{kind}", Order(7))).run_ids[0] for kind in OUTPUTS]
    await client.emit(paid, Order(7))
    runs = [await wait(run_id) for run_id in run_ids]
    assert [(run.status, run.output) for run in runs] == [("completed", output) for output in OUTPUTS.values()]


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
async def test_under_a_worker(tmp_path: Any, kind: Callable[..., Any]) -> None:
    with a_server(tmp_path) as server:
        async with Client(server.address) as client, kind(FUNCTIONS, url=server.address):
            await check(client, lambda run_id: client.runs.wait(run_id, timeout=60))
            assert await client.invoke_sync(settle, Order(7)) == Receipt("n-7")
            assert await client.invoke_sync("settle", {"id": 7}) == {"number": "n-7"}
            started = await client.invoke(settle, Order(7))
            assert (await client.runs.wait(started.run_id, timeout=60)).output == {"number": "n-7"}
            with SyncClient(server.address) as blocking:
                assert await to_thread(blocking.invoke_sync, settle, Order(7)) == Receipt("n-7")

            @function("settle")
            async def other(ctx: Context, order: Order) -> Order:
                return order

            with raises(ValidationError):
                await client.invoke_sync(other, Order(7))


async def test_in_the_time_machine() -> None:
    async with time_machine(FUNCTIONS) as machine:

        async def wait(run_id: str) -> Any:
            await machine.settle()
            return await machine.client.runs.get(run_id)

        await check(machine.client, wait)


@function("without-handles", on="go.tested")
async def without_handles(ctx: Context, order: Order) -> list[str]:
    receipts = [await ctx.step.invoke(settle, order) for _ in range(2)]
    event = await ctx.step.wait_for_event("paid", event=paid, match="id")
    return [*(each.number for each in receipts), f"paid {event.data.id}"]


async def test_in_tests_without_a_server() -> None:
    client = TestClient(functions=[without_handles, settle], strict=False)
    client.send_event("order.paid", {"id": 7})
    assert (await client.emit("go.tested", {"id": 7})).output == ["n-7", "n-7", "paid 7"]

    mocked = TestClient(functions=[without_handles])
    mocked.mock_invoke(settle, {"number": "mocked"}, Receipt("too"))
    mocked.send_event("order.paid", {"id": 7})
    assert (await mocked.emit("go.tested", {"id": 7})).output == ["mocked", "too", "paid 7"]
