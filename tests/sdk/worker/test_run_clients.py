"""`ctx.client` and `ctx.run.function_version` in handlers: by polling, on a stream, in the time machine, in tests."""

from collections.abc import Callable
from typing import Any

import pytest

from ironflow import Append, Context, SyncContext, function
from ironflow.sdk.client.client import Client
from ironflow.sdk.durable.steps.publish import NotConfigured
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.server.settings import Settings
from ironflow.testing import TestClient, context_for_test, time_machine
from tests.wire.server_process import a_server

METADATA = {"correlation_id": "c-1", "own": 1}


def functions(name: str) -> list[Any]:
    """An async and a plain handler that emit and append, each with a child that says what it was given."""

    @function(f"{name}-async", on=f"{name}.async")
    async def asynchronous(ctx: Context) -> Any:
        async def body() -> str:
            await ctx.client.streams.append_many([Append(f"{name}-1", "order.paid", entity_type="order")])
            return (await ctx.client.emit(f"{name}.made", {"by": "async"})).event_id

        event_id = await ctx.step.run("emit", body)
        child = await ctx.step.invoke(f"{name}-child", None, timeout="1m")
        handle = await ctx.step.start(f"{name}-child", None)
        (started,) = await ctx.step.join("all", [handle])
        return {"event": event_id, "children": [child, started], "version": ctx.run.function_version}

    @function(f"{name}-plain", on=f"{name}.plain")
    def plain(ctx: SyncContext) -> Any:
        event_id = ctx.step.run("emit", lambda: ctx.client.emit(f"{name}.made", {"by": "plain"}).event_id)
        names = ctx.step.run("names", lambda: [each.name for each in ctx.client.events.list(name=f"{name}.made")])
        return {"event": event_id, "names": names, "version": ctx.run.function_version}

    @function(f"{name}-child")
    async def child(ctx: Context) -> Any:
        return ctx.event.metadata

    return [asynchronous, plain, child]


async def check(client: Client, name: str, wait: Callable[[str], Any]) -> None:
    """Emits, waits for both runs, and compares what they made."""
    inherited = {"correlation_id": "c-1"}
    outputs: list[Any] = []
    for kind in ("async", "plain"):
        (run_id,) = (await client.emit(f"{name}.{kind}", {}, metadata=METADATA)).run_ids
        run = await wait(run_id)
        assert (run.status, run.error) == ("completed", None)
        made = await client.events.get(run.output["event"])
        assert (made.data, made.metadata, made.run_id) == ({"by": kind}, inherited, run_id)
        outputs.append(run.output)
    assert outputs[0]["children"] == [inherited, inherited]
    assert outputs[1]["names"][-1:] == [f"{name}.made"]
    assert [each["version"] for each in outputs] == [1, 1]
    appended = [event async for event in client.streams.read(f"{name}-1")]
    assert [(event.name, event.metadata) for event in appended] == [("order.paid", inherited)]


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
async def test_handlers_reach_their_own_environment_on_the_connections_of_the_worker(
    tmp_path: Any, kind: Callable[..., Any]
) -> None:
    name = kind.__name__.lower()
    with a_server(tmp_path, inherited_metadata="correlation_id") as server:
        async with Client(server.address) as client, kind(functions(name), url=server.address):
            await check(client, name, lambda run_id: client.runs.wait(run_id, timeout=60))


async def test_the_time_machine_s_handlers_reach_its_server() -> None:
    settings = Settings(inherited_metadata="correlation_id")
    async with time_machine(functions("machine"), settings=settings) as machine:

        async def wait(run_id: str) -> Any:
            await machine.settle()
            return await machine.client.runs.get(run_id)

        await check(machine.client, "machine", wait)


async def test_the_version_is_that_of_the_run_s_creation_and_not_of_the_present_registration() -> None:
    @function("waiting", on="go")
    async def waiting(ctx: Context) -> int:
        await ctx.step.sleep("nap", "1h")
        return ctx.run.function_version

    async with time_machine([waiting]) as machine:
        run = await machine.emit("go")
        changed = function("waiting", on=["go", "went"])(waiting.handler)
        assert (await machine.client.functions.register(changed)).function.version == 2
        later = await machine.emit("went")
        await machine.advance("1h")
        assert (run.output, later.output) == (1, 2)


async def test_a_handler_that_closes_its_client_leaves_the_worker_s_connections_open() -> None:
    @function("closing", on="go")
    async def closing(ctx: Context) -> str:
        async def body() -> str:
            async with ctx.client as client:
                return (await client.emit("one")).event_id

        await ctx.step.run("first", body)
        return await ctx.step.run("second", body)

    async with time_machine([closing]) as machine:
        run = await machine.emit("go")
        assert (run.status, (await machine.client.events.get(run.output)).name) == ("completed", "one")


class Double:
    """Stands for a client in tests."""

    def __init__(self) -> None:
        self.emitted: list[str] = []

    async def emit(self, name: str) -> None:
        self.emitted.append(name)


@function("emitting")
async def emitting(ctx: Context) -> int:
    await ctx.step.run("emit", ctx.client.emit, "one")
    return ctx.run.function_version


async def test_tests_without_a_server_give_a_client_of_their_own() -> None:
    double = Double()
    run = await TestClient([emitting], strict=False, client=double).invoke(emitting)
    assert (run.output, double.emitted) == (1, ["one"])
    assert await emitting.handler(context_for_test(client=double)) == 1
    assert double.emitted == ["one", "one"]


async def test_without_one_the_handler_raises() -> None:
    with pytest.raises(NotConfigured, match=r"TestClient\(client=\.\.\.\) gives one"):
        await emitting.handler(context_for_test())
