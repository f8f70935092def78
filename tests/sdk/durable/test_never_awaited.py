"""A step that is called and never awaited: it fails its run where that is asked for, and is reported elsewhere."""

import asyncio
import gc
import warnings
from unittest.mock import AsyncMock, create_autospec

import pytest

from ironflow import Context, StepError, function
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.report import Completed, Failed, Yielded
from ironflow.sdk.durable.steps.steps import Steps
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

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Failed)
    assert not outcome.uncompensated


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


async def in_a_loop(ctx):
    for each in [ctx.step.sleep("nap", "1h"), ctx.step.run("a", one)]:
        await each


async def beside_an_argument(ctx):
    await asyncio.gather(ctx.step.run("a", one), ctx.step.run("b", one, await ctx.step.wait_for_event("w", event="x")))


async def in_branches(ctx):
    async def branch(step):
        for each in [step.sleep("nap", "1h"), step.run("a", one)]:
            await each

    await ctx.step.parallel("p", [branch, branch])


@pytest.mark.parametrize("handler", [in_a_loop, beside_an_argument, in_branches])
async def test_what_follows_a_wait_is_awaited_by_a_replay(handler):
    assert isinstance(await an_execution(handler).run(), Yielded)


def race_with(lost):
    async def handler(ctx):
        fast = await ctx.step.parallel("p", [lambda step: step.run("fast", one), lost], until="first_success")
        # What exceptions hold is gone at some time.
        gc.collect()
        return fast

    return handler


async def waits(step):
    later = step.run("later", one)
    await step.sleep("nap", "1h")
    await later


async def is_late(step):
    await asyncio.sleep(0)
    for each in [step.run("slow", one), step.run("later", one)]:
        await each


async def fails(step):
    for each in [step.run("wrong", wrong), step.run("later", one)]:
        await each


async def wrong():
    raise ValueError("wrong")


@pytest.mark.parametrize("lost", [waits, is_late, fails])
async def test_what_a_branch_that_is_left_would_have_awaited_is_none(lost):
    assert isinstance(await an_execution(race_with(lost)).run(), Completed)


async def test_what_would_have_followed_a_failure_is_none():
    async def handler(ctx):
        try:
            for each in [ctx.step.run("a", wrong), ctx.step.run("b", one)]:
                await each
        except StepError:
            return "instead"

    with pytest.warns(RuntimeWarning, match="never awaited"):
        outcome = await ended_and_collected(handler)

    assert isinstance(outcome, Completed)


async def test_a_run_that_is_undone_keeps_its_error():
    outcome = await an_execution(in_a_loop, compensating={"message": "late"}).run()

    assert isinstance(outcome, Failed)
    assert outcome.error.code != "STEP_NOT_AWAITED"


def test_a_mock_of_steps_can_be_awaited():
    assert isinstance(create_autospec(Steps, instance=True).run, AsyncMock)


async def ended_and_collected(handler):
    outcome = await an_execution(handler).run()
    gc.collect()
    return outcome


async def test_a_failed_handler_keeps_its_own_error():
    async def handler(ctx):
        ctx.step.run("a", one)
        raise ValueError("first")

    with pytest.warns(RuntimeWarning, match="never awaited"):
        outcome = await ended_and_collected(handler)

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
