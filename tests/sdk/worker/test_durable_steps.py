"""Workers with a server: a step's call returns once its result is durable, and answers to reports control the job."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ironflow import Retry, function
from ironflow.base.errors import NonRetryableError, SerializationError, StepError, StepTimeoutError
from ironflow.sdk.client.client import Client
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from tests.support.waiting import LOOK_EVERY_S
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes

Start = Callable[..., Any]
QUICKLY = Retry(max_attempts=3, initial_delay="10ms", max_delay="10ms")


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


async def result(client: Client, run_id: str) -> Any:
    """The run once it has ended."""
    return await client.runs.wait(run_id, timeout=20.0)


async def eventually(look: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    deadline = time.monotonic() + 20
    while (found := await look()) != wanted:
        assert time.monotonic() < deadline, f"{found!r} did not become {wanted!r}"
        await asyncio.sleep(LOOK_EVERY_S)


async def status(client: Client, run_id: str) -> str:
    return (await client.runs.get(run_id)).status.value


async def test_when_a_step_returns_its_result_is_on_the_server(a_worker: Start, client: Client) -> None:
    seen: list[list[tuple[str, str]]] = []

    @function("returns")
    async def handler(ctx: Any) -> None:
        for name in ("a", "b"):
            await ctx.step.run(name, lambda: 1)
            steps = await client.runs.steps(ctx.run.id)
            seen.append([(step.name, step.status.value) for step in steps])

    await a_worker(handler)
    await result(client, (await client.invoke(handler.id)).run_id)

    assert seen == [[("a", "completed")], [("a", "completed"), ("b", "completed")]]


async def test_a_pause_takes_effect_after_the_step_that_runs_and_each_step_runs_once(
    a_worker: Start, client: Client
) -> None:
    bodies: Counter[int] = Counter()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def body(number: int) -> int:
        bodies[number] += 1
        begun.set()
        await go_on.wait()
        return number

    @function("pausing")
    async def handler(ctx: Any) -> int:
        return sum([await ctx.step.run(f"step {number}", body, number) for number in range(8)])

    await a_worker(handler)
    run_id = (await client.invoke(handler.id)).run_id
    await asyncio.wait_for(begun.wait(), 10)
    await client.runs.pause(run_id)
    go_on.set()
    await eventually(lambda: status(client, run_id), "paused")
    assert bodies == {0: 1}

    await client.runs.resume(run_id)

    assert (await result(client, run_id)).output == 28
    assert bodies == dict.fromkeys(range(8), 1)


async def test_a_pause_waits_for_the_branches_that_run(a_worker: Start, client: Client) -> None:
    bodies: Counter[str] = Counter()
    begun, quick, slow = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def body(name: str, until: asyncio.Event) -> str:
        bodies[name] += 1
        if bodies.total() == 2:
            begun.set()
        await until.wait()
        return name

    @function("pausing-branches")
    async def handler(ctx: Any) -> list[str]:
        async def branch(steps: Any, name: str, until: asyncio.Event) -> str:
            await steps.run(name, body, name, until)
            return await steps.run(f"{name} again", body, f"{name} again", until)

        return await ctx.step.parallel("both", [lambda s: branch(s, "quick", quick), lambda s: branch(s, "slow", slow)])

    await a_worker(handler)
    run_id = (await client.invoke(handler.id)).run_id
    await asyncio.wait_for(begun.wait(), 10)
    await client.runs.pause(run_id)
    quick.set()
    await eventually(lambda: recorded(client, run_id), {"quick"})
    assert await status(client, run_id) == "running"
    slow.set()
    await eventually(lambda: status(client, run_id), "paused")
    assert bodies == {"quick": 1, "slow": 1}

    await client.runs.resume(run_id)

    assert (await result(client, run_id)).output == ["quick again", "slow again"]
    assert bodies == dict.fromkeys(["quick", "slow", "quick again", "slow again"], 1)


async def recorded(client: Client, run_id: str) -> set[str]:
    return {step.name for step in await client.runs.steps(run_id) if step.status.value == "completed"}


async def test_a_cancel_takes_effect_after_the_step_that_runs(a_worker: Start, client: Client) -> None:
    bodies: list[int] = []
    begun, go_on = asyncio.Event(), threading.Event()

    def body(number: int) -> None:
        bodies.append(number)
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10)

    @function("cancelled")
    async def handler(ctx: Any) -> None:
        for number in range(3):
            await ctx.step.run(f"step {number}", body, number)

    loop = asyncio.get_running_loop()
    worker = await a_worker(handler)
    run_id = (await client.invoke(handler.id)).run_id
    await asyncio.wait_for(begun.wait(), 10)
    await client.runs.cancel(run_id)
    go_on.set()

    await eventually(lambda: idle(worker), True)
    assert bodies == [0]


async def idle(worker: Worker) -> bool:
    return worker.active_jobs == 0


class OutOfMoney(NonRetryableError):
    code = "OUT_OF_MONEY"


async def declines() -> None:
    raise OutOfMoney("no money left")


async def hangs() -> None:
    await asyncio.Event().wait()


async def gives_no_json() -> object:
    return object()


@pytest.mark.parametrize(
    ("body", "raised", "message"),
    [
        (declines, StepError, "no money left"),
        (hangs, StepTimeoutError, "step 'charge' ran longer than its timeout of 0.05 s"),
        (gives_no_json, SerializationError, ""),
    ],
)
async def test_a_failure_that_the_handler_caught_is_raised_again_and_its_body_does_not_run(
    a_worker: Start, client: Client, body: Callable[..., Any], raised: type[Exception], message: str
) -> None:
    bodies: list[int] = []
    seen: list[tuple[Any, ...]] = []

    async def charge() -> Any:
        bodies.append(1)
        return await body()

    @function(f"declined-{body.__name__.replace('_', '-')}")
    async def handler(ctx: Any) -> str:
        try:
            await ctx.step.run("charge", charge, timeout=0.05)
        except (StepError, SerializationError) as error:
            seen.append((type(error), error.code, str(error), error.retryable))
            await ctx.step.sleep("cool off", "50ms")
            return "declined"
        return "charged"

    await a_worker(handler)
    run = await result(client, (await client.invoke(handler.id)).run_id)

    assert run.output == "declined"
    assert bodies == [1]
    first, second = seen
    assert first == second
    assert first[0] is raised
    assert message in first[2]


async def test_collected_failures_of_a_map_are_results(a_worker: Start, client: Client) -> None:
    bodies: Counter[int] = Counter()

    async def body(number: int) -> int:
        bodies[number] += 1
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number

    @function("collecting")
    async def handler(ctx: Any) -> list[str]:
        found = await ctx.step.map("each", range(4), lambda n, s, i: s.run("one", body, n), on_error="collect")
        await ctx.step.sleep("rest", "20ms")
        return [str(each) for each in found]

    await a_worker(handler)
    run = await result(client, (await client.invoke(handler.id)).run_id)

    assert run.output == ["0", "1 is odd", "2", "3 is odd"]
    assert bodies == dict.fromkeys(range(4), 1)


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "in another"])
async def test_a_step_whose_failure_ended_the_attempt_runs_anew(a_worker: Start, client: Client, wrapped: bool) -> None:
    bodies: Counter[str] = Counter()

    async def flaky(name: str, failures: int) -> str:
        bodies[name] += 1
        if bodies[name] <= failures:
            raise ConnectionError(f"{name} is away")
        return name

    @function(f"anew-{wrapped}", retry=QUICKLY)
    async def handler(ctx: Any) -> str:
        with pytest.raises(StepError, match="mail is away"):
            # Caught: a result.
            await ctx.step.run("mail", flaky, "mail", 99)
        try:
            return await ctx.step.run("charge", flaky, "charge", 2)
        except StepError as error:
            if wrapped:
                raise RuntimeError("the charge failed") from error
            raise

    await a_worker(handler)
    run = await result(client, (await client.invoke(handler.id)).run_id)

    assert (run.output, bodies) == ("charge", {"mail": 1, "charge": 3})


async def test_an_output_that_the_server_does_not_accept_is_a_failure_that_can_be_caught(
    a_worker: Start, client: Client
) -> None:
    bodies: list[int] = []

    def large() -> str:
        bodies.append(1)
        return "x" * (5 * 1024 * 1024)

    @function("large")
    async def handler(ctx: Any) -> str:
        try:
            await ctx.step.run("large", large)
        except StepError as error:
            await ctx.step.sleep("rest", "20ms")
            return str(error)
        return ""

    await a_worker(handler)
    run = await result(client, (await client.invoke(handler.id)).run_id)

    assert "this server accepts" in run.output
    assert bodies == [1]


async def test_a_functions_timeout_keeps_the_steps_that_had_finished(a_worker: Start, client: Client) -> None:
    bodies: Counter[str] = Counter()

    async def body(name: str, hang: bool) -> str:
        bodies[name] += 1
        if hang and bodies[name] == 1:
            await asyncio.Event().wait()
        return name

    @function("in-time", timeout="400ms", retry=QUICKLY)
    async def handler(ctx: Any) -> list[str]:
        return [await ctx.step.run(name, body, name, name == "c") for name in "abc"]

    await a_worker(handler)
    run = await result(client, (await client.invoke(handler.id)).run_id)

    assert run.output == ["a", "b", "c"]
    assert bodies == {"a": 1, "b": 1, "c": 2}


async def test_with_batched_checkpoints_a_step_returns_before_it_is_recorded(a_worker: Start, client: Client) -> None:
    seen: list[int] = []

    @function("batched", checkpoint="batched")
    async def handler(ctx: Any) -> int:
        for number in range(20):
            await ctx.step.run("one", lambda: 1)
            if not number:
                seen.append(len(await client.runs.steps(ctx.run.id)))
        return 1

    await a_worker(handler, checkpoint="each")
    run = await result(client, (await client.invoke(handler.id)).run_id)

    assert (run.output, seen) == (1, [0])


async def test_a_plain_handler_waits_in_its_thread(a_worker: Start, client: Client) -> None:
    bodies: Counter[str] = Counter()

    def body(name: str) -> str:
        bodies[name] += 1
        return name

    @function("in-a-thread")
    def handler(ctx: Any) -> list[str]:
        first = ctx.step.run("a", body, "a")
        ctx.step.sleep("rest", "20ms")
        return [first, *ctx.step.map("each", ["b", "c"], lambda name, s, i: s.run("one", body, name))]

    await a_worker(handler)
    run = await result(client, (await client.invoke(handler.id)).run_id)

    assert (run.output, bodies) == (["a", "b", "c"], {"a": 1, "b": 1, "c": 1})
