"""What the body of a step knows of itself, and the progress that it shows."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest import raises

from ironflow import NonRetryableError, Retry, current_step, function
from ironflow.base.errors import ValidationError
from ironflow.sdk.client.client import Client
from ironflow.sdk.durable.steps.current_step import NotInAStep
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import TestClient, time_machine
from tests.crash.until import until
from tests.wire.server_process import Server, a_server

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
HOURLY = Retry(max_attempts=3, initial_delay="1h", backoff_factor=1, max_delay="1h")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client(server.address) as client:
        yield client


class Import:
    """A body that reads rows, shows how many it has, and fails until its last attempt. It begins where it was."""

    def __init__(self, attempts: int = 3) -> None:
        self.attempts = attempts
        self.seen: list[tuple[str, int, Any]] = []

    def body(self) -> int:
        step = current_step()
        self.seen.append((step.id.partition(":")[2], step.attempt, step.details))
        rows = (step.details or {"rows": 0})["rows"] + 10
        step.heartbeat({"rows": rows})
        if step.attempt < self.attempts:
            raise ConnectionError("the file is away")
        return rows


SEEN = [("import:0", 1, None), ("import:0", 2, {"rows": 10}), ("import:0", 3, {"rows": 20})]


async def test_the_next_attempt_of_a_step_gets_what_the_last_one_showed() -> None:
    work = Import()

    @function("import")
    async def importing(ctx):
        return await ctx.step.run("import", work.body, retry=HOURLY)

    async with time_machine([importing]) as machine:
        run = await machine.invoke("import")
        assert (run.step("import").progress, run.step("import").attempt) == ({"rows": 10}, 1)
        await machine.advance("2h")
        assert (run.output, work.seen) == (30, SEEN)
        assert run.step("import").progress == {"rows": 30}
    work.seen.clear()
    run = await TestClient(functions=[importing], strict=False).invoke(importing)
    assert (run.output, work.seen) == (30, SEEN)


async def test_so_does_the_next_attempt_of_the_run() -> None:
    work = Import()

    @function("import", retry=HOURLY)
    async def importing(ctx):
        return await ctx.step.run("import", work.body)

    async with time_machine([importing]) as machine:
        run = await machine.invoke("import")
        await machine.advance("2h")
        assert (run.output, run.attempt, work.seen) == (30, 3, SEEN)
    work.seen.clear()
    run = await TestClient(functions=[importing], strict=False).invoke(importing)
    assert (run.output, work.seen) == (30, SEEN)


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
async def test_progress_is_seen_while_the_body_runs_and_outlives_its_worker(
    server: Server, client: Client, kind: Callable[..., Any]
) -> None:
    name = f"long-{kind.__name__}".lower()
    go_on, found = threading.Event(), []

    def body() -> str:
        step = current_step()
        found.append((step.attempt, step.details))
        step.heartbeat({"page": 7})
        go_on.wait(20)
        return "read"

    @function(name)
    async def long(ctx):
        return await ctx.step.run("read", body)

    async with kind([long], url=server.address):
        run_id = (await client.invoke(name)).run_id

        async def shown() -> bool:
            steps = await client.runs.steps(run_id)
            return [(str(step.status), step.progress) for step in steps] == [("running", {"page": 7})]

        await until(shown, "the progress is seen", within_s=20)
        go_on.set()
        run = await client.runs.wait(run_id, timeout=20)
    (step,) = await client.runs.steps(run_id)
    assert (run.output, str(step.status), step.progress, step.attempt) == ("read", "completed", {"page": 7}, 1)
    assert found == [(1, None)]


async def test_a_step_has_one_id_over_attempts_and_replays_and_a_deadline() -> None:
    seen: list[tuple[str, int, Any]] = []

    async def body() -> None:
        step = current_step()
        await asyncio.to_thread(lambda: seen.append((current_step().id, step.attempt, step.deadline)))
        if len(seen) < 2:
            raise ConnectionError("away")

    @function("ids", timeout="1h")
    async def ids(ctx):
        await ctx.step.run("first", body, retry=HOURLY, timeout="5m")
        await ctx.step.map("items", "ab", lambda item, s, i: s.run("item", body))
        return ctx.run.id

    async with time_machine([ids]) as machine:
        run = await machine.invoke("ids")
        await machine.advance("1h")
        assert [(step_id.removeprefix(run.output), attempt, at) for step_id, attempt, at in seen] == [
            (":first:0", 1, NEW_YEAR + timedelta(minutes=5)),
            (":first:0", 2, NEW_YEAR + timedelta(minutes=65)),
            (":items:0:item:0", 1, NEW_YEAR + timedelta(hours=2)),
            (":items:1:item:0", 1, NEW_YEAR + timedelta(hours=2)),
        ]


async def test_a_body_that_is_left_behind_sees_that_it_is_cancelled() -> None:
    ended: list[bool] = []
    noticed = threading.Event()

    def body() -> None:
        step = current_step()
        while not step.cancelled:
            threading.Event().wait(0.001)
        step.heartbeat("too late")
        ended.append(step.cancelled)
        noticed.set()

    @function("slow", retry=Retry(max_attempts=1))
    async def slow(ctx):
        await ctx.step.run("slow", body, timeout="20ms")

    async with time_machine([slow]) as machine:
        run = await machine.invoke("slow")
        await asyncio.to_thread(noticed.wait, 10)
        assert (run.state, ended, run.step("slow").progress) == ("failed", [True], None)


async def test_outside_of_a_step_there_is_none_and_progress_is_small_json() -> None:
    with raises(NotInAStep):
        current_step()

    def body() -> str:
        with raises(ValidationError, match="65536 is the limit"):
            current_step().heartbeat("x" * 70_000)
        current_step().heartbeat()
        return repr(current_step())

    @function("small")
    async def small(ctx):
        with raises(NotInAStep):
            current_step()
        return await ctx.step.run("small", body)

    async with time_machine([small]) as machine:
        run = await machine.invoke("small")
        assert run.output == f"<CurrentStep {run.id}:small:0 attempt 1>"


async def test_a_compensation_is_a_step_too() -> None:
    seen = []

    @function("undo")
    async def undo(ctx):
        ctx.step.compensate("charge", lambda: seen.append(current_step().name))
        raise NonRetryableError("no")

    async with time_machine([undo]) as machine:
        run = await machine.invoke("undo")
        assert (run.state, seen) == ("failed", ["compensate:charge"])
