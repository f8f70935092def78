"""A step that is called and never awaited: it fails its run where that is asked for, and is reported elsewhere."""

import asyncio
import gc
import warnings

import pytest

from ironflow import Context, function
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.report import Completed, Failed, Yielded
from ironflow.testing import TestClient, time_machine
from tests.sdk.durable.jobs import a_job, an_execution


@pytest.fixture(autouse=True)
def no_warning_of_python():
    """Python warns of a coroutine that is dropped; here it is named by its step instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()


async def one():
    return 1


CALLS = {
    "run": lambda ctx: ctx.step.run("a", one),
    "sleep": lambda ctx: ctx.step.sleep("a", "1h"),
    "sleep_until": lambda ctx: ctx.step.sleep_until("a", "2026-02-01T00:00:00Z"),
    "wait_for_event": lambda ctx: ctx.step.wait_for_event("a", event="x"),
    "invoke": lambda ctx: ctx.step.invoke("a", 1),
    "invoke_async": lambda ctx: ctx.step.invoke_async("a", 1),
    "publish": lambda ctx: ctx.step.publish("a", 1),
    "parallel": lambda ctx: ctx.step.parallel("a", [one]),
    "map": lambda ctx: ctx.step.map("a", [1], lambda item, step: one()),
    "start": lambda ctx: ctx.step.start("a"),
    "receive": lambda ctx: ctx.step.receive("a"),
}


@pytest.mark.parametrize("method", CALLS)
async def test_each_step_call_without_await_is_named_with_its_line(method):
    async def handler(ctx):
        CALLS[method](ctx)
        return "done"

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == ("STEP_NOT_AWAITED", False)
    assert outcome.error.message.startswith(f"step 'a' is called in {__file__}, line ")
    assert outcome.error.message.endswith(f"Write `await ctx.step.{method}(...)`.")


async def test_the_line_is_that_of_the_call():
    async def handler(ctx):
        forgotten = ctx.step.run("a", one)  # noqa: F841 the variable is what is tested
        return await ctx.step.run("b", one)

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Failed)
    assert f"line {handler.__code__.co_firstlineno + 1}," in outcome.error.message


async def test_a_run_fails_before_it_waits():
    async def handler(ctx):
        ctx.step.run("a", one)
        await ctx.step.sleep("nap", "30d")

    assert isinstance(await an_execution(handler).run(), Failed)


async def test_calls_that_are_awaited_later_or_by_others_are_none():
    async def handler(ctx):
        first, second = ctx.step.run("a", one), ctx.step.run("b", one)
        await asyncio.gather(*(ctx.step.run(f"c{number}", one) for number in range(100)))
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step.run("d", one))
        await ctx.step.sleep("nap", "1h")
        return await second + await first

    waiting = await an_execution(handler).run()

    assert isinstance(waiting, Yielded)


async def test_a_failed_handler_keeps_its_own_error():
    async def handler(ctx):
        ctx.step.run("a", one)
        raise ValueError("first")

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Failed)
    assert outcome.error.message == "first"


async def test_elsewhere_it_is_only_reported():
    reported = []

    async def handler(ctx):
        ctx.step.run("a", one)
        return "done"

    outcome = await Execution(function("f")(handler), a_job(), on_unawaited=reported.append).run()

    assert isinstance(outcome, Completed)
    assert [each.code for each in reported] == ["STEP_NOT_AWAITED"]


@function("forgets", on="x")
async def forgets(ctx: Context):
    ctx.step.run("charge", one)  # pyright: ignore[reportUnusedCoroutine]


async def test_in_the_test_kit_and_in_a_time_machine_the_run_fails():
    tested = await TestClient([forgets]).emit("x")
    async with time_machine([forgets]) as machine:
        run = await machine.emit("x")

    assert tested.error is not None
    assert run.error is not None
    assert tested.error.code == run.error.code == "STEP_NOT_AWAITED"
    assert (run.status, run.attempt) == ("failed", 1)


async def test_a_plain_handler_awaits_by_itself():
    def handler(ctx):
        ctx.step.run("a", lambda: 1)
        return "done"

    assert isinstance(await an_execution(handler).run(), Completed)
