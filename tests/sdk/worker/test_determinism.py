"""`ctx.now()`, `ctx.uuid()` and `ctx.random` are the same in every replay."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest import raises

from ironflow import Retry, StepError, function
from ironflow.base.errors import Unimplemented
from ironflow.sdk.client.client import Client
from ironflow.sdk.durable.steps.step_runner import StepWithinStep
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import TestClient, context_for_test, time_machine
from ironflow.testing.replaying import replay
from tests.wire.server_process import a_server

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class Course:
    """A handler that notes what it is given at each place, in every execution."""

    def __init__(self) -> None:
        self.executions: list[dict[str, Any]] = []

    async def handler(self, ctx: Any) -> dict[str, str]:
        seen: dict[str, Any] = {}
        self.executions.append(seen)

        def note(place: str) -> None:
            seen[place] = (ctx.now().isoformat(), str(ctx.uuid()), ctx.random.random())

        async def branch(steps: Any, name: str, nap: str) -> None:
            note(f"{name} begins")
            await steps.run("work", lambda: name)
            await steps.sleep("nap", nap)
            note(f"{name} ends")

        note("begins")
        await ctx.step.run("first", lambda: 1)
        note("first")
        await ctx.step.sleep("nap", "20ms")
        note("nap")
        await ctx.step.parallel("both", [lambda s: branch(s, "a", "60ms"), lambda s: branch(s, "b", "30ms")])
        note("both")
        return seen


def check(course: Course, seen: dict[str, Any]) -> None:
    # The sleeps of the branches may end together on a slow machine.
    assert len(course.executions) >= 3
    assert len(seen) == 8
    for execution in course.executions:
        assert {place: seen[place] for place in execution} == {k: list(v) for k, v in execution.items()}
    assert len({each[1] for each in seen.values()}) == len({each[2] for each in seen.values()}) == 8
    times = [seen[place][0] for place in ("begins", "first", "nap", "a begins", "a ends", "both")]
    assert times == sorted(times)


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
async def test_they_are_the_same_in_every_execution_and_in_a_replay_of_the_record(tmp_path: Any, kind: Any) -> None:
    course = Course()
    definition = function("course")(course.handler)
    with a_server(tmp_path) as server:
        async with Client(server.address) as client, kind([definition], url=server.address):
            run_id = (await client.invoke("course")).run_id
            run = await client.runs.wait(run_id, timeout=20)
            check(course, run.output)
            replayed = await replay(definition, run_id, client=client)
    assert (replayed.verdict, replayed.other_output) == ("fits", False)


async def test_in_a_time_machine_and_in_a_test_client() -> None:
    course = Course()
    async with time_machine([function("course")(course.handler)]) as machine:
        run = await machine.invoke("course")
        await machine.advance("1s")
        check(course, run.output)
        assert run.output["begins"][0] == NEW_YEAR.isoformat()
        assert run.output["nap"][0] == (NEW_YEAR + timedelta(milliseconds=20)).isoformat()
        assert run.output["both"][0] == (NEW_YEAR + timedelta(milliseconds=80)).isoformat()
    course.executions.clear()
    run = await TestClient(functions=[function("course")(course.handler)], strict=False).invoke("course")
    ids = [{place: each[1:] for place, each in execution.items()} for execution in course.executions]
    assert all(each == {place: ids[-1][place] for place in each} for each in ids)


async def test_the_time_moves_with_steps_that_fail_and_with_the_clock_of_a_worker_that_is_off() -> None:
    seen: list[datetime] = []

    def fails() -> None:
        raise ValueError("no")

    @function("failing")
    async def failing(ctx):
        await ctx.step.run("good", lambda: None)
        with raises(StepError):
            await ctx.step.run("bad", fails, retry=Retry(max_attempts=2, initial_delay="1m"))
        seen.append(ctx.now())
        await ctx.step.sleep("nap", "1h")
        return (ctx.now() - seen[0]).total_seconds()

    async with time_machine([failing]) as machine:
        run = await machine.invoke("failing")
        await machine.advance("2h")
        # That of its last attempt, not of the step before it.
        assert (run.output, seen) == (3600.0, [NEW_YEAR + timedelta(minutes=1)] * 2)


async def test_bodies_of_steps_have_the_standard_library() -> None:
    @function("inside")
    async def inside(ctx):
        def body() -> str:
            with raises(StepWithinStep):
                ctx.uuid()
            with raises(StepWithinStep):
                _ = ctx.random
            return ctx.now().isoformat()

        return await ctx.step.run("body", body)

    async with time_machine([inside]) as machine:
        assert (await machine.invoke("inside")).output == NEW_YEAR.isoformat()


async def test_contexts_of_tests_have_them_and_a_server_without_them_is_refused() -> None:
    first, second = context_for_test(), context_for_test()
    assert (first.now(), first.uuid(), first.random.random()) == (second.now(), second.uuid(), second.random.random())
    first._course._kept = False
    with raises(Unimplemented):
        first.now()
