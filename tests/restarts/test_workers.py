"""Restarts under polling, streaming and push: the same functions, the same chains."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ironflow import Client, Context, Retry, function
from ironflow.features.events import contract as events
from ironflow.features.runs import contract as runs
from ironflow.features.runs.service import Runs
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from tests.push.serving import served
from tests.support.work import Work
from tests.wire.server_process import Server, a_server

ONCE = Retry(max_attempts=1)
LINKS = 5


@function("count", retry=ONCE)
async def count(ctx: Context, data: dict[str, Any]) -> Any:
    seen = [*data["seen"], await ctx.step.run("note", lambda: data["left"])]
    await ctx.step.sleep("nap", "1ms")
    return ctx.restart({"left": data["left"] - 1, "seen": seen}) if data["left"] else seen


@function("threaded", retry=ONCE)
def threaded(ctx: Any, data: dict[str, Any]) -> Any:
    seen = [*data["seen"], ctx.step.run("note", lambda: data["left"])]
    return ctx.restart({"left": data["left"] - 1, "seen": seen}) if data["left"] else seen


@function("inbox", retry=ONCE)
async def inbox(ctx: Context, data: Any) -> Any:
    seen = data or []
    for _ in range(2):
        msg = await ctx.step.receive("prompt", timeout="1h")
        if msg.data == "stop":
            return seen
        seen.append(msg.data)
    return ctx.restart(seen)


@function("parent", retry=ONCE)
async def parent(ctx: Context) -> Any:
    handle = await ctx.step.start("threaded", INPUT)
    return [await ctx.step.invoke("count", INPUT, timeout="1m"), await ctx.step.join("all", [handle])]


INPUT = {"left": LINKS, "seen": []}
SEEN = list(range(LINKS, -1, -1))
FUNCTIONS = [count, threaded, inbox, parent]


@pytest.fixture(scope="module")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=[Worker, StreamingWorker], ids=["polling", "streaming"])
async def client(request: pytest.FixtureRequest, server_process: Server) -> AsyncIterator[Client]:
    address = server_process.address
    async with request.param(FUNCTIONS, url=address, max_concurrent_jobs=20), Client(address) as client:
        yield client


@pytest.mark.processes
@pytest.mark.parametrize("name", ["count", "threaded"])
async def test_a_chain_is_waited_for_and_listed(client: Client, name: str):
    first = (await client.invoke(name, INPUT)).run_id
    run = await client.runs.wait(first, timeout=30)

    assert (run.status, run.output, run.link) == ("completed", SEEN, LINKS)
    links = [each async for each in client.runs.chain(first, page_size=2)]
    assert [each.input["left"] for each in links] == SEEN
    assert links[-1].id == run.id
    assert await client.invoke_sync(name, INPUT) == SEEN


@pytest.mark.processes
async def test_a_parent_gets_the_output_of_the_last_link(client: Client):
    assert await client.invoke_sync("parent") == [SEEN, [SEEN]]


@pytest.mark.processes
async def test_messages_are_received_in_order_over_the_chain(client: Client):
    run_id = (await client.invoke("inbox", key="ada")).run_id
    for each in [*range(9), "stop"]:
        await client.send("inbox", "ada", "prompt", each)

    run = await client.runs.wait(run_id, timeout=30)

    assert (run.output, run.link) == (list(range(9)), 4)


@pytest.mark.filterwarnings("default::ResourceWarning")
async def test_an_endpoint_restarts_runs(server: Work):
    async with served(server, [threaded]):
        first = (await server.call(events.invoke, id="threaded", data=INPUT)).run_id
        run = await ended(server, first)

    assert (bytes(run.output or b""), run.link) == (b"[5,4,3,2,1,0]", LINKS)


@pytest.mark.filterwarnings("default::ResourceWarning")
async def test_an_endpoint_of_the_plain_protocol_has_none(server: Work):
    async with served(server, [threaded], checkpoints=False):
        first = (await server.call(events.invoke, id="threaded", data=INPUT)).run_id
        run = await ended(server, first)

    assert run.error is not None
    assert (run.status, run.error.code) == (runs.RunStatus.FAILED, "UNIMPLEMENTED")


async def ended(server: Work, run_id: str) -> runs.Run:
    """The last link of a chain, once it has ended."""
    (result,) = await server.part(Runs).wait([run_id], 60_000)
    return await server.run(result.run_id)
