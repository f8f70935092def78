"""Handles under polling, streaming and the time machine: the same functions, the same outputs."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ironflow import Client, Context, InvokeError, InvokeTimeoutError, Retry, function
from ironflow.features.runs.contract import StepType
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import time_machine
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes
ONCE = Retry(max_attempts=1)
EXECUTIONS = Counter[str]()
# By run: what `ctx.now()` gave in its executions, before and after it started functions.
TIMES: dict[str, set[Any]] = {}


@function("index", retry=ONCE)
async def index(ctx: Context, data: Any) -> Any:
    if data == "bad":
        raise ValueError("no such page")
    if isinstance(data, dict):
        await ctx.step.sleep("nap", data["nap"])
        return data["nap"]
    return data * 2


@function("triggered", on="never.happens", retry=ONCE)
async def triggered(ctx: Context, data: dict) -> Any:
    """A function with a trigger that invokes itself."""
    left = data["left"]
    return 0 if not left else 1 + await ctx.step.invoke("triggered", {"left": left - 1}, timeout="1m")


@function("all", retry=ONCE)
async def join_all(ctx: Context) -> Any:
    EXECUTIONS[ctx.run.id] += 1
    handles = await ctx.step.start_many("index", [1, 2, 3])
    one = await ctx.step.start(index, 4)
    assert len({each.run_id for each in [*handles, one]}) == 4
    return await ctx.step.join("all", [*handles, one])


@function("first", retry=ONCE)
async def join_first(ctx: Context) -> Any:
    handles = await ctx.step.start_many("index", [{"nap": "1d"}, {"nap": "50ms"}, 5])
    got = await ctx.step.join("first", handles, first=2, rest="cancel")
    await ctx.step.run("after", lambda: None)
    return got


@function("collect", retry=ONCE)
async def join_collect(ctx: Context) -> Any:
    handles = await ctx.step.start_many("index", [1, "bad", 2])
    got = await ctx.step.join("all", handles, on_error="collect")
    return [each.cause if isinstance(each, InvokeError) else each for each in got]


@function("fail-fast", retry=ONCE)
async def join_fail_fast(ctx: Context) -> Any:
    handles = await ctx.step.start_many("index", [{"nap": "1d"}, "bad"])
    try:
        await ctx.step.join("all", handles)
    except InvokeError as error:
        return error.cause
    return "no error"


@function("late", retry=ONCE)
async def join_late(ctx: Context) -> Any:
    handles = await ctx.step.start_many("index", [1, {"nap": "1d"}])
    got = await ctx.step.join("all", handles, on_error="collect", timeout="300ms")
    return [got[0], isinstance(got[1], InvokeTimeoutError)]


@function("late-raises", retry=ONCE)
async def join_late_raises(ctx: Context) -> Any:
    handle = await ctx.step.start("index", {"nap": "1d"})
    try:
        await ctx.step.join("all", [handle], timeout="100ms")
    except InvokeTimeoutError as error:
        return error.child_run_id == handle.run_id
    return False


@function("missing", retry=ONCE)
async def start_missing(ctx: Context) -> Any:
    try:
        await ctx.step.start("nowhere")
    except InvokeError as error:
        return error.cause
    return "no error"


@function("between", retry=ONCE)
async def work_between(ctx: Context) -> Any:
    """What ends while the run waits for something else costs no execution, and is there when it is joined."""
    EXECUTIONS[ctx.run.id] += 1
    handles = await ctx.step.start_many("index", list(range(30)))
    TIMES.setdefault(ctx.run.id, set()).add(ctx.now())
    await ctx.step.sleep("nap", "1s")
    return sum(await ctx.step.join("all", handles))


@function("branches", retry=ONCE)
async def join_in_branches(ctx: Context) -> Any:
    async def one(step: Any, data: Any) -> Any:
        return await step.join("own", [await step.start("index", data)])

    return await ctx.step.parallel("both", [lambda s: one(s, 1), lambda s: one(s, {"nap": "50ms"})])


@function("delayed", retry=ONCE)
async def invoke_delayed(ctx: Context) -> Any:
    return await ctx.step.invoke("index", 3, delay="200ms", timeout="10s", timeout_from="start")


@function("plain", retry=ONCE)
def join_in_a_thread(ctx: Any) -> Any:
    return ctx.step.join("all", ctx.step.start_many("index", [1, 2]))


@function("invokes-triggered", retry=ONCE)
async def invokes_triggered(ctx: Context) -> Any:
    return [await ctx.step.invoke("triggered", {"left": 2}, timeout="1m")]


@function("one-by-one", retry=ONCE)
async def start_one_by_one(ctx: Context) -> Any:
    """Starts functions that it does not wait for, in a loop and in branches, then waits, then replays all of it."""
    EXECUTIONS[ctx.run.id] += 1
    loop = [(await ctx.step.invoke_async("index", number)).run_id for number in range(5)]
    branches = await ctx.step.map("branches", [5, 6], lambda data, step, _: step.invoke_async("index", data))
    TIMES.setdefault(ctx.run.id, set()).add(ctx.now())
    await ctx.step.sleep("nap", "50ms")
    started = {*loop, *(each.run_id for each in branches)}
    return len(started)


@function("too-large", retry=ONCE, checkpoint="batched")
async def start_after_what_is_too_large(ctx: Context) -> Any:
    await ctx.step.run("large", lambda: "x" * (5 * 1024 * 1024))
    await ctx.step.invoke_async("index", 1)


@function("none-to-start", retry=Retry(max_attempts=2, initial_delay="10ms"))
async def start_none(ctx: Context) -> Any:
    """A start that is refused is caught, recorded and replayed; one that ends the attempt is tried anew."""
    try:
        await ctx.step.invoke_async("nowhere")
    except InvokeError as error:
        await ctx.step.sleep("nap", "50ms")
        if ctx.run.attempt == 1:
            raise RuntimeError("once more") from error
        return error.cause
    return None


FUNCTIONS = [
    index, triggered, join_all, join_first, join_collect, join_fail_fast, join_late, join_late_raises, start_missing,
    work_between, join_in_branches, invoke_delayed, join_in_a_thread, invokes_triggered,
    start_one_by_one, start_none, start_after_what_is_too_large,
]  # fmt: skip
SCENARIOS: list[tuple[str, Any]] = [
    ("all", [2, 4, 6, 8]),
    ("first", [10, "50ms"]),
    ("collect", [2, "no such page", 4]),
    ("fail-fast", "no such page"),
    ("late", [2, True]),
    ("late-raises", True),
    ("missing", "there is no function 'nowhere'"),
    ("between", 870),
    ("branches", [[2], ["50ms"]]),
    ("delayed", 6),
    ("plain", [2, 4]),
    ("invokes-triggered", [2]),
    ("one-by-one", 7),
    ("none-to-start", "there is no function 'nowhere'"),
]
SCENARIO = pytest.mark.parametrize(("name", "output"), SCENARIOS, ids=[name for name, _ in SCENARIOS])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=[Worker, StreamingWorker], ids=["polling", "streaming"])
async def client(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Client]:
    async with request.param(FUNCTIONS, url=server.address, max_concurrent_jobs=20), Client(server.address) as client:
        yield client


@SCENARIO
async def test_with_a_worker(client: Client, name: str, output: Any) -> None:
    run = await client.runs.wait((await client.invoke(name)).run_id, timeout=30)

    assert (run.status, run.output, run.error) == ("completed", output, None)
    if name in ("between", "one-by-one"):
        assert len(TIMES[run.id]) == 1
    if name == "between":
        assert EXECUTIONS[run.id] <= 3
    if name == "one-by-one":
        assert EXECUTIONS[run.id] == 2
        started = [step for step in await client.runs.steps(run.id) if step.step_type is StepType.INVOKE_FUNCTION]
        assert [(step.status, await finished(client, step.child_run_id or "")) for step in started] == [
            ("completed", number * 2) for number in range(7)
        ]
    if name == "first":
        handles = [step for step in await client.runs.steps(run.id) if step.name == "index"]
        children = [(await client.runs.get(step.child_run_id or "")).status for step in handles]
        assert children == ["cancelled", "completed", "completed"]


async def test_what_comes_after_a_refused_step_is_not_started(client: Client) -> None:
    run = await client.runs.wait((await client.invoke("too-large")).run_id, timeout=30)
    assert (run.status, run.error and run.error.code) == ("failed", "OUTPUT_TOO_LARGE")
    assert [step.name for step in await client.runs.steps(run.id)] in ([], ["large"])


async def finished(client: Client, run_id: str) -> Any:
    return (await client.runs.wait(run_id, timeout=30)).output


@SCENARIO
async def test_with_the_time_machine(name: str, output: Any) -> None:
    async with time_machine(functions=FUNCTIONS) as machine:
        run = await machine.invoke(name)
        for _ in range(20):
            if run.status != "completed":
                await machine.advance("100ms")

    assert (run.status, run.output) == ("completed", output)
