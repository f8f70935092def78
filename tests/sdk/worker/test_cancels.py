"""Workers with a server: cancels and time limits reach the code that they concern, and slots are free at once."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ironflow import Retry, function
from ironflow.sdk.client.client import Client
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.timing import WorkerTiming
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import time_machine
from tests.support.waiting import LOOK_EVERY_S
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes

Start = Callable[..., Any]
TWICE = Retry(max_attempts=2, initial_delay="10ms", max_delay="10ms")
# What is "at once" for a worker that learns it: far below any heartbeat, poll or lease.
AT_ONCE_S = 1.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client(server.address) as client:
        yield client


@pytest.fixture(params=[Worker, StreamingWorker], ids=["polling", "streaming"])
async def a_worker(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Start]:
    """Starts a worker of either kind; it is stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(*functions: FunctionDefinition, **settings: Any) -> Worker:
            worker = request.param(list(functions), url=server.address, **settings)
            stack.push_async_callback(worker.stop)
            await worker.start()
            return worker

        yield start


async def eventually(holds: Callable[[], Awaitable[bool] | bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        found = holds()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < deadline, "it did not become so in time"
        await asyncio.sleep(LOOK_EVERY_S)


async def test_a_full_worker_learns_at_once_of_cancelled_runs_and_takes_the_next(
    a_worker: Start, client: Client
) -> None:
    begun: list[str] = []
    ended: list[str] = []

    async def body(run_id: str) -> None:
        begun.append(run_id)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(run_id)

    @function("long")
    async def long(ctx: Any) -> None:
        await ctx.step.run("works", body, ctx.run.id)

    @function("quick")
    async def quick(ctx: Any) -> str:
        return await ctx.step.run("one", lambda: "done")

    await a_worker(long, quick, max_concurrent_jobs=10)
    run_ids = [(await client.invoke(long.id)).run_id for _ in range(10)]
    await eventually(lambda: len(begun) == 10)

    for run_id in run_ids:
        await client.runs.cancel(run_id)
    cancelled_at = time.monotonic()
    output = await client.invoke_sync(quick.id, timeout=10.0)

    assert output == "done"
    await eventually(lambda: sorted(ended) == sorted(run_ids), AT_ONCE_S)
    assert time.monotonic() - cancelled_at < 2 * AT_ONCE_S


async def test_a_thread_sees_that_its_run_is_cancelled_and_holds_no_slot(a_worker: Start, client: Client) -> None:
    begun, saw = threading.Event(), threading.Event()
    go_on = threading.Event()

    @function("blocking")
    def blocking(ctx: Any) -> None:
        def body() -> None:
            begun.set()
            if ctx.cancellation.wait(20):
                saw.set()
            # It does not hurry.
            go_on.wait(20)

        ctx.step.run("works", body)

    @function("after")
    async def after(ctx: Any) -> str:
        return "done"

    await a_worker(blocking, after, max_concurrent_jobs=1)
    run_id = (await client.invoke(blocking.id)).run_id
    await eventually(begun.is_set)
    await client.runs.cancel(run_id)

    await eventually(saw.is_set, AT_ONCE_S)
    assert await client.invoke_sync(after.id, timeout=10.0) == "done"
    go_on.set()


async def test_a_body_that_swallows_its_cancellation_holds_no_slot(a_worker: Start, client: Client) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @function("stubborn")
    async def stubborn(ctx: Any) -> None:
        async def body() -> None:
            begun.set()
            while not go_on.is_set():
                try:
                    await go_on.wait()
                except asyncio.CancelledError:
                    continue

        await ctx.step.run("works", body)

    @function("after-it")
    async def after(ctx: Any) -> str:
        return "done"

    await a_worker(stubborn, after, max_concurrent_jobs=1)
    run_id = (await client.invoke(stubborn.id)).run_id
    await asyncio.wait_for(begun.wait(), 20)
    await client.runs.cancel(run_id)

    assert await client.invoke_sync(after.id, timeout=10.0) == "done"
    go_on.set()


async def test_a_timed_out_run_has_failed_after_its_body_has_ended(a_worker: Start, client: Client) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    @function("limited-elsewhere", timeout="300ms", retry=Retry(max_attempts=1))
    async def handler(ctx: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await a_worker(handler)
    run_id = (await client.invoke(handler.id)).run_id
    await asyncio.wait_for(begun.wait(), 20)

    run = await client.runs.wait(run_id, timeout=20.0)

    assert run.error is not None
    assert (run.status.value, run.error.code) == ("failed", "TIMEOUT")
    assert ended.is_set()


async def test_the_next_attempt_begins_after_the_body_of_a_timed_out_one_has_ended(
    a_worker: Start, client: Client
) -> None:
    seen: list[str] = []

    @function("slow-to-end", timeout="300ms", retry=TWICE)
    async def handler(ctx: Any) -> str:
        async def body() -> str:
            seen.append(f"begins {ctx.run.attempt}")
            if ctx.run.attempt == 2:
                return "second"
            try:
                await asyncio.Event().wait()
            finally:
                # Closing what it holds takes a while.
                await asyncio.sleep(0.3)
                seen.append("ended 1")
            return "first"

        return await ctx.step.run("works", body)

    await a_worker(handler)
    run = await client.runs.wait((await client.invoke(handler.id)).run_id, timeout=20.0)

    assert run.output == "second"
    assert seen == ["begins 1", "ended 1", "begins 2"]


@pytest.mark.parametrize("plain", [False, True], ids=["async handler", "plain handler"])
async def test_the_next_attempt_waits_for_the_thread_of_a_timed_out_one(
    a_worker: Start, client: Client, plain: bool
) -> None:
    seen: list[str] = []

    def body(ctx: Any) -> str:
        seen.append(f"begins {ctx.run.attempt}")
        if ctx.run.attempt == 2:
            return "second"
        assert ctx.cancellation.wait(20)
        time.sleep(0.3)
        seen.append("ended 1")
        return "late"

    if plain:

        @function("plain-thread", timeout="300ms", retry=TWICE)
        def handler(ctx: Any) -> str:
            return ctx.step.run("works", body, ctx)

    else:

        @function("thread", timeout="300ms", retry=TWICE)
        async def handler(ctx: Any) -> str:
            return await ctx.step.run("works", body, ctx)

    await a_worker(handler)
    run = await client.runs.wait((await client.invoke(handler.id)).run_id, timeout=20.0)

    assert run.output == "second"
    assert seen == ["begins 1", "ended 1", "begins 2"]


async def test_a_thread_that_never_ends_is_waited_for_within_bounds_and_logged(
    a_worker: Start, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[int] = []
    go_on = threading.Event()

    @function("endless-thread", timeout="200ms", retry=TWICE)
    async def handler(ctx: Any) -> str:
        def body() -> str:
            begun.append(ctx.run.attempt)
            if ctx.run.attempt == 1:
                go_on.wait(20)
            return f"attempt {ctx.run.attempt}"

        return await ctx.step.run("works", body)

    await a_worker(handler, timing=WorkerTiming(late_threads=0.2))
    with caplog.at_level(logging.WARNING, "ironflow.worker"):
        run = await client.runs.wait((await client.invoke(handler.id)).run_id, timeout=20.0)
    go_on.set()

    assert (run.output, begun) == ("attempt 2", [1, 2])
    assert "threads run on beside the next attempt" in caplog.messages


async def test_in_a_time_machine_a_cancelled_run_ends_its_body() -> None:
    ended: list[str] = []

    @function("cancels-itself", on="go")
    async def handler(ctx: Any) -> None:
        async def body() -> None:
            try:
                await machine.client.runs.cancel(ctx.run.id)
                await asyncio.Event().wait()
            finally:
                ended.append("body")

        await ctx.step.run("works", body)

    async with time_machine(functions=[handler], settle_within="5s") as machine:
        run = await machine.emit("go")
        assert run.status == "cancelled"
    assert ended == ["body"]
