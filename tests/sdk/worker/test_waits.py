"""Waits of every kind under polling, streaming and the time machine: the same functions, the same outputs."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ironflow import (
    Client,
    Context,
    InvokeTimeoutError,
    NonRetryableError,
    Retry,
    StepError,
    WaitTimeoutError,
    event,
    function,
    invoke,
    sleep,
)
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import time_machine
from tests.wire.server_process import Server, a_server

TWICE = Retry(max_attempts=2, initial_delay="50ms", max_delay="50ms")
# By run: the bodies of a step that counts them.
BODIES = Counter[str]()


@function("napper")
async def napper(ctx: Context, data: str) -> str:
    await ctx.step.sleep("nap", data)
    return data


@function("three-events")
async def three_events(ctx: Context, data: str) -> Any:
    async def wait(name: str, steps: Any, index: int) -> Any:
        return (await steps.wait_for_event("w", event=f"{name}.done.{data}")).data

    return await ctx.step.map("all", ["a", "b", "c"], wait)


@function("loop-of-waits")
async def loop_of_waits(ctx: Context, data: str) -> Any:
    return [(await ctx.step.wait_for_event(f"item {n}", event=f"item.*.{data}")).data for n in range(5)]


@function("between-attempts", retry=TWICE)
async def between_attempts(ctx: Context, data: str) -> Any:
    def asks() -> None:
        BODIES[ctx.run.id] += 1
        if BODIES[ctx.run.id] == 1:
            raise ConnectionError("no line")

    await ctx.step.run("ask", asks)
    return (await ctx.step.wait_for_event("answer", event=f"answer.{data}")).data


@function("timeout-caught")
async def timeout_caught(ctx: Context) -> Any:
    try:
        await ctx.step.wait_for_event("payment", event="never.comes", timeout="50ms")
    except WaitTimeoutError as late:
        return [
            late.step_name,
            await ctx.step.wait_for_event("w", event="never.comes", timeout="50ms", on_timeout=None),
        ]
    return "no error"


@function("timeout-uncaught", retry=TWICE)
async def timeout_uncaught(ctx: Context) -> None:
    await ctx.step.run("reserve", lambda: "reserved")
    ctx.step.compensate("reserve", lambda: "released")
    await ctx.step.wait_for_event("payment", event="never.comes", timeout="50ms")


@function("child-too-slow")
async def child_too_slow(ctx: Context) -> Any:
    try:
        await ctx.step.invoke("napper", "1d", timeout="50ms")
    except InvokeTimeoutError as error:
        return error.function_id
    return "no error"


@function("first-of-several")
async def first_of_several(ctx: Context, data: str) -> Any:
    first = await ctx.step.wait_any(
        "outcome", paid=event(f"paid.{data}"), late=sleep("1d"), settled=invoke("napper", "1d", timeout="2d")
    )
    return [first.name, first.value.data]


@function("fails-fast")
async def fails_fast(ctx: Context) -> Any:
    async def late(steps: Any) -> None:
        await steps.sleep("nap", "50ms")
        raise NonRetryableError("no")

    try:
        await ctx.step.parallel("p", [late, lambda s: s.invoke("napper", "1d", timeout="2d")])
    except NonRetryableError as error:
        await ctx.step.sleep("rest", "20ms")
        return error.message
    return "no error"


FUNCTIONS = [
    napper, three_events, loop_of_waits, between_attempts, timeout_caught, timeout_uncaught, child_too_slow,
    first_of_several, fails_fast,
]  # fmt: skip
# The function, the events that are emitted at once after its start, and the output.
SCENARIOS: list[tuple[str, list[str], Any]] = [
    ("three-events", ["c.done", "a.done", "b.done"], ["a.done", "b.done", "c.done"]),
    ("loop-of-waits", [f"item.{n}" for n in range(5)], [f"item.{n}" for n in range(5)]),
    ("between-attempts", ["answer"], "answer"),
    ("timeout-caught", [], ["payment", None]),
    ("child-too-slow", [], "napper"),
    ("first-of-several", ["paid"], ["paid", "paid"]),
    ("fails-fast", [], "no"),
]
SCENARIO = pytest.mark.parametrize(("name", "events", "output"), SCENARIOS, ids=[each[0] for each in SCENARIOS])
CANCELS_ITS_CHILD = ("first-of-several", "fails-fast")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=[Worker, StreamingWorker], ids=["polling", "streaming"])
async def client(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Client]:
    async with request.param(FUNCTIONS, url=server.address), Client(server.address) as client:
        yield client


@pytest.mark.processes
@SCENARIO
async def test_with_a_worker(
    client: Client, request: pytest.FixtureRequest, name: str, events: list[str], output: Any
) -> None:
    mark = request.node.callspec.id.replace("-", "")
    run_id = (await client.invoke(name, mark)).run_id
    for each in events:
        await client.emit(f"{each}.{mark}", each)

    run = await client.runs.wait(run_id, timeout=30)

    assert (run.status, run.output, run.error) == ("completed", output, None)
    if name in CANCELS_ITS_CHILD:
        (child,) = [each async for each in client.runs.list(parent_run_id=run_id)]
        assert child.status == "cancelled"


@pytest.mark.processes
async def test_an_uncaught_time_out_is_undone_and_not_tried_again(client: Client) -> None:
    run_id = (await client.invoke("timeout-uncaught")).run_id
    run = await client.runs.wait(run_id, timeout=30)

    assert (run.status, run.error and run.error.code, run.attempt) == ("failed", "WAIT_TIMEOUT", 1)
    found = {step.name: step.status.value for step in await client.runs.steps(run_id)}
    assert found == {"reserve": "completed", "payment": "timed_out", "compensate:reserve": "completed"}


@SCENARIO
async def test_in_a_time_machine(name: str, events: list[str], output: Any) -> None:
    async with time_machine(functions=FUNCTIONS) as machine:
        run = await machine.invoke(name, "m")
        for each in events:
            await machine.emit(f"{each}.m", each)
        await machine.advance("5s")

    assert (run.status, run.output) == ("completed", output)


async def test_a_map_of_a_thousand_invokes_is_at_most_twenty_executions() -> None:
    executions: list[int] = []

    @function("parent")
    async def parent(ctx: Context) -> int:
        executions.append(1)
        return sum(await ctx.step.map("all", range(1_000), lambda n, steps, index: steps.invoke("child", n)))

    @function("child")
    async def child(ctx: Context, data: int) -> int:
        return data

    async with time_machine(functions=[parent, child], settle_within="120s") as machine:
        run = await machine.invoke("parent")
        await machine.advance("5s")

    assert run.output == sum(range(1_000))
    assert len(executions) <= 20


async def test_five_hundred_sleeps_of_a_map_are_gathered() -> None:
    executions: list[int] = []

    @function("sleepers")
    async def sleepers(ctx: Context) -> int:
        executions.append(1)

        async def nap(number: int, steps: Any, index: int) -> int:
            await steps.sleep("nap", f"{100 + number % 46 * 10}ms")
            return number

        return sum(await ctx.step.map("all", range(500), nap))

    async with time_machine(functions=[sleepers], settle_within="120s") as machine:
        run = await machine.invoke("sleepers")
        await machine.advance("3s")

    assert run.output == sum(range(500))
    assert len(executions) <= 5


@pytest.mark.parametrize("how", ["from-step", "inject"])
async def test_a_person_overrules_a_failure_that_the_handler_caught(how: str) -> None:
    bodies: list[int] = []

    def charge() -> str:
        bodies.append(1)
        if len(bodies) == 1:
            raise ValueError("declined")
        return "charged"

    @function("checkout", retry=Retry(max_attempts=1))
    async def checkout(ctx: Context) -> str:
        try:
            answer = await ctx.step.run("charge", charge)
        except StepError:
            answer = "declined"
        await ctx.step.sleep("cool off", "1h")
        if answer == "declined":
            raise NonRetryableError("not paid")
        return answer

    async with time_machine(functions=[checkout]) as machine:
        run = await machine.invoke("checkout")
        if how == "from-step":
            await machine.advance("1h")
            assert (run.status, bodies) == ("failed", [1])
            await machine.client.runs.resume(run.id, from_step="charge")
        else:
            await machine.client.runs.pause(run.id)
            await machine.client.runs.inject(run.id, "charge", "charged by hand")
            await machine.client.runs.resume(run.id)
        await machine.advance("2h")

    assert run.output == ("charged" if how == "from-step" else "charged by hand")
    assert len(bodies) == (2 if how == "from-step" else 1)
