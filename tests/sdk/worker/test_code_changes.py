"""Changing code with runs under way: settings, `ctx.changed`, and a rolling deploy under load."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ironflow import Context, SyncContext, function
from ironflow.sdk.client.client import Client
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import replay, time_machine
from tests.sdk.worker.test_cancels import eventually
from tests.wire.server_process import Server, a_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.parametrize(
    ("change", "status", "unasked"),
    [("continue", "completed", None), ("warn", "completed", ["charge"]), ("pause", "paused", ["charge"])],
)
async def test_a_run_whose_recorded_step_is_not_asked_for_does_what_its_function_names(
    change: Any, status: str, unasked: list[str] | None
) -> None:
    name = "charge"

    @function("order", on_code_change=change)
    async def handler(ctx: Context) -> str:
        await ctx.step.run(name, lambda: 1)
        await ctx.step.sleep("rest", "1h")
        return "done"

    async with time_machine([handler]) as machine:
        run = await machine.invoke(handler)
        name = "charge card"
        await machine.advance("2h")
        found = await machine.client.runs.get(run.id)
        assert (found.status, found.unasked_steps) == (status, unasked)
        if status == "paused":
            assert found.error is not None
            assert found.error.code == "STEP_DIVERGED"
            assert "on_code_change is pause" in found.error.message
            name = "charge"
            # What the new code did before it was held is dropped.
            await machine.client.runs.resume(run.id, from_step="charge card")
            await machine.settle()
            assert (await machine.client.runs.get(run.id)).output == "done"


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_run_that_passed_the_point_before_the_change_keeps_its_way(kind: str) -> None:
    changes = False

    @function("async")
    async def awaits(ctx: Context) -> list[str]:
        before = await ctx.step.run("reserve", lambda: "reserve")
        new = await ctx.changed("tax-rules") if changes else False
        tax = await ctx.step.run("tax", lambda: "new tax" if new else "old tax")
        await ctx.step.sleep("rest", "1h")
        new = await ctx.changed("tax-rules") if changes else False
        return [before, tax, "new bill" if new else "old bill"]

    @function("plain")
    def waits(ctx: SyncContext) -> list[str]:
        before = ctx.step.run("reserve", lambda: "reserve")
        new = ctx.changed("tax-rules") if changes else False
        tax = ctx.step.run("tax", lambda: "new tax" if new else "old tax")
        ctx.step.sleep("rest", "1h")
        new = ctx.changed("tax-rules") if changes else False
        return [before, tax, "new bill" if new else "old bill"]

    handler: FunctionDefinition = {"async": awaits, "plain": waits}[kind]
    async with time_machine([handler]) as machine:
        old = await machine.invoke(handler)
        changes = True
        new = await machine.invoke(handler)
        await machine.advance("2h")

        assert old.output == ["reserve", "old tax", "old bill"]
        assert new.output == ["reserve", "new tax", "new bill"]
        assert [step.name for step in new.steps] == ["reserve", "changed tax-rules", "tax", "rest"]
        assert new.step_output("changed tax-rules") is True
        assert (await machine.client.runs.get(old.id)).unasked_steps is None
        for run in (old, new):
            (await replay(handler, run.id, client=machine.client)).check()


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
async def test_a_rolling_deploy_under_load_finishes_old_runs_on_old_code(
    server: Server, kind: Callable[..., Any]
) -> None:
    name = f"rolling-{kind.__name__}".lower()

    def code(version: str) -> FunctionDefinition:
        @function(name, on_code_change="pin")
        async def handler(ctx: Context) -> list[str]:
            made = [await ctx.step.run("first", lambda: version)]
            await ctx.step.wait_for_event("go", event=f"{name}.go", timeout="5m")
            made.append(await ctx.step.run("second", lambda: version))
            await ctx.step.sleep("rest", "50ms")
            return [*made, await ctx.step.run("third", lambda: version)]

        return handler

    def worker(version: str) -> Any:
        return kind([code(version)], url=server.address, version=version)

    async with Client(server.address) as client:

        async def state() -> dict[str, tuple[int, int, bool]]:
            found = (await client.functions.versions(name)).versions
            return {each.version: (each.workers, each.runs, each.may_go) for each in found}

        async def begun(run_ids: list[str]) -> bool:
            return all([await client.runs.steps(run_id) for run_id in run_ids])

        old = [worker("v1"), worker("v1")]
        for each in old:
            await each.start()
        first = [(await client.invoke(name)).run_id for _ in range(20)]
        await eventually(lambda: begun(first))
        new = [worker("v2"), worker("v2")]
        for each in new:
            await each.start()
        second = [(await client.invoke(name)).run_id for _ in range(20)]
        await eventually(lambda: begun(second))
        assert await state() == {"v1": (2, 20, False), "v2": (2, 20, False)}

        await client.emit(f"{name}.go")
        runs = await asyncio.gather(*(client.runs.wait(run_id, timeout="60s") for run_id in [*first, *second]))
        assert [run.output for run in runs] == [["v1"] * 3] * 20 + [["v2"] * 3] * 20
        assert await state() == {"v1": (2, 0, True), "v2": (2, 0, False)}
        for each in (*old, *new):
            await each.stop()
