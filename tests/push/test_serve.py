"""`serve()`: executions at endpoints of our SDK, with and without the call back that records each step."""

import asyncio
from typing import Any

import pytest

from ironflow import Context, function
from ironflow.features.controls import contract as controls
from ironflow.features.run_logs import contract as run_logs
from ironflow.features.runs import contract as runs
from tests.push.endpoint import eventually, until
from tests.push.serving import served
from tests.support.work import Work

pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")


@pytest.mark.parametrize("checkpoints", [True, False])
async def test_a_served_function_runs_its_steps_once_each(server: Work, checkpoints: bool):
    ran: list[str] = []

    @function("charge", on="order.placed")
    async def charge(ctx: Context, data: Any) -> Any:
        first = await ctx.step.run("first", lambda: ran.append("first") or data["total"])
        await ctx.step.sleep("nap", "1m")
        return await ctx.step.run("second", lambda: ran.append("second") or first + 1)

    async with served(server, [charge], checkpoints=checkpoints):
        (run_id,) = (await server.emit(data={"total": 100})).run_ids
        await until(server, run_id, "waiting", "paused")
        server.move(60_000)
        await server.loops()
        run = await until(server, run_id, "completed")

    assert bytes(run.output or b"") == b"101"
    assert ran == ["first", "second"]
    assert [each.name for each in await server.steps(run_id)] == ["first", "nap", "second"]


async def test_a_step_is_recorded_before_the_handler_goes_on(server: Work):
    recorded: list[list[str]] = []

    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> None:
        await ctx.step.run("first", lambda: 1)
        recorded.append([each.name for each in await server.steps(ctx.run.id)])
        await ctx.step.run("second", lambda: 2)
        recorded.append([each.name for each in await server.steps(ctx.run.id)])

    async with served(server, [charge]):
        (run_id,) = (await server.emit()).run_ids
        await until(server, run_id, "completed")

    assert recorded == [["first"], ["first", "second"]]


@pytest.mark.parametrize("undone", [False, True])
async def test_a_cancel_gives_the_request_up_and_the_run_is_undone(server: Work, undone: bool):
    begun, given_up = asyncio.Event(), asyncio.Event()
    ran: list[str] = []

    async def hangs() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    @function("charge", on="order.placed", on_cancel="compensate" if undone else "end")
    async def charge(ctx: Context) -> None:
        await ctx.step.run("flight", lambda: ran.append("flight"))
        ctx.step.compensate("flight", lambda: ran.append("undone"))
        await ctx.step.run("hangs", hangs)

    async with served(server, [charge]):
        (run_id,) = (await server.emit()).run_ids
        await eventually(begun.is_set)
        await server.call(runs.cancel, id=run_id, reason="enough")
        await eventually(given_up.is_set)
        run = await until(server, run_id, "cancelled")

    assert run.cancellation_cause == "enough"
    assert ran == (["flight", "undone"] if undone else ["flight"])


async def test_a_pause_takes_effect_at_the_next_step(server: Work):
    gate = asyncio.Event()
    ran: list[int] = []

    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> None:
        for number in range(3):
            await ctx.step.run(f"step {number}", lambda number=number: ran.append(number))
            await gate.wait()

    async with served(server, [charge]) as handler:
        (run_id,) = (await server.emit()).run_ids
        await eventually(lambda: ran == [0])
        await server.call(controls.pause, run_id=run_id)
        gate.set()
        run = await until(server, run_id, "paused")
        await eventually(lambda: len(ran) >= 1)
        assert run.status.value == "paused"
        await server.call(controls.resume, run_id=run_id)
        await until(server, run_id, "completed")
        assert handler.functions.keys() == {"charge"}

    # The step during which the pause took effect is recorded and not run again.
    assert ran == [0, 1, 2]


async def test_lines_of_a_served_function_are_kept_with_its_run(server: Work):
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> None:
        await ctx.step.run("first", lambda: ctx.logger.info("in the step"))
        ctx.logger.warning("at the end")

    async with served(server, [charge]):
        (run_id,) = (await server.emit()).run_ids
        await until(server, run_id, "completed")

    found = (await server.call(run_logs.get, run_id=run_id)).lines
    assert [(line.message, line.step_name) for line in found] == [("in the step", "first"), ("at the end", None)]
