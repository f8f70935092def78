"""The file and line of each step call travel with the step: into its row, its run, and a debugger."""

import asyncio
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import pytest
from msgspec import UNSET

from ironflow import Context, SyncContext, function
from ironflow.sdk.durable.job.report import Completed, Yielded
from ironflow.sdk.user_code import calling
from ironflow.sdk.user_code.calling import STEP_SOURCES, calling_line
from ironflow.testing import time_machine
from tests.sdk.durable.jobs import an_execution


def line_of(fn: Callable[..., Any], after: int) -> str:
    """The place of the line `after` the first of a function."""
    code: CodeType = fn.__code__
    return f"{code.co_filename}:{code.co_firstlineno + after}"


def work() -> str:
    return "done"


async def called(ctx: Context) -> str:
    first = await ctx.step.run("first", work)
    await helper(ctx)
    await ctx.step.sleep("nap", "1h")
    await asyncio.gather(ctx.step.run("together", work))
    return first


async def helper(ctx: Context) -> None:
    await ctx.step.run("in-helper", work)


def blocking(ctx: SyncContext) -> None:
    ctx.step.run("first", work)
    ctx.step.sleep("nap", "1h")


def sources(outcome: Any, execution: Any) -> dict[str, Any]:
    waits: Any = outcome.steps if isinstance(outcome, Yielded) else ()
    return {row.name: row.source for row in execution.rows} | {wait.step_name: wait.source for wait in waits}


async def test_a_step_knows_the_line_that_calls_it():
    execution = an_execution(called, features=frozenset({STEP_SOURCES}))

    assert sources(await execution.run(), execution) == {
        "first": line_of(called, 1),
        "in-helper": line_of(helper, 1),
        "nap": line_of(called, 3),
    }


async def test_a_step_of_a_plain_handler_knows_it_too():
    execution = an_execution(blocking, features=frozenset({STEP_SOURCES}))

    assert sources(await execution.run(), execution) == {"first": line_of(blocking, 1), "nap": line_of(blocking, 2)}


async def test_a_step_in_a_task_of_its_own_has_no_line():
    done = {"r:first:0": "done", "r:in-helper:0": "done", "r:nap:0": None}
    execution = an_execution(called, features=frozenset({STEP_SOURCES}), done=done)

    assert isinstance(outcome := await execution.run(), Completed)
    assert sources(outcome, execution) == {"together": UNSET}


async def test_a_server_that_does_not_take_lines_is_sent_none():
    execution = an_execution(called)

    assert not any(sources(await execution.run(), execution).values())


@pytest.mark.parametrize(("features", "done"), [((), {}), ((STEP_SOURCES,), {"r:first:0": "done", "r:nap:0": None})])
async def test_a_plain_handler_looks_for_no_line_in_a_replay_or_where_the_server_takes_none(
    monkeypatch: pytest.MonkeyPatch, features: tuple[str, ...], done: dict[str, Any]
):
    looked = 0
    look = calling._line

    def counted(frame: FrameType | None) -> str:
        nonlocal looked
        looked += 1
        return look(frame)

    monkeypatch.setattr(calling, "_line", counted)
    await an_execution(blocking, features=frozenset(features), done=done).run()

    assert looked == 0


async def test_outside_of_handlers_the_line_is_that_of_the_caller():
    assert calling_line() == line_of(test_outside_of_handlers_the_line_is_that_of_the_caller, 1)


async def test_a_run_shows_the_lines_of_its_steps_now_and_at_any_moment():
    definition = function("called", on="go", recording=True)(called)
    async with time_machine([definition]) as machine:
        run = await machine.emit("go")
        await machine.advance("1h")
        steps = {each.name: each.source for each in await machine.client.runs.steps(run.id)}
        state = await machine.client.runs.state_at(run.id, (await machine.client.runs.get(run.id)).ended_at)

    expected = {
        "first": line_of(called, 1),
        "in-helper": line_of(helper, 1),
        "nap": line_of(called, 3),
        "together": None,
    }
    assert steps == expected
    assert {each.name: each.source for each in state.steps} == expected
