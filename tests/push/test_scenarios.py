"""One table of scenarios over polling, streaming and push: the same functions, the same events, the same outcome.

`push` is our `serve()`, whose steps are recorded one by one by calls back. `answers` is the same program without the
call back, as handlers of existing clients are called: its steps come with the answer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from ironflow import (
    Codec,
    Concurrency,
    Context,
    InvokeError,
    NonRetryableError,
    Retry,
    UpcasterRegistry,
    WaitTimeoutError,
    entity,
    function,
)
from ironflow.features.controls import contract as controls
from ironflow.features.runs import contract as runs
from ironflow.features.secrets import contract as secrets
from ironflow.testing import time_machine
from ironflow.worker import FunctionDefinition, StreamingWorker, Worker
from tests.push.endpoint import SOON_S, until
from tests.push.serving import listening, served
from tests.support.work import Work

pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")

KINDS = ("polling", "streaming", "push", "answers")
Script = Callable[[Work, str], Awaitable[None]]
RETRY = Retry(max_attempts=3, initial_delay="1s")


@dataclass(frozen=True)
class Scenario:
    """make: the functions; `order.placed` starts the first. script: what happens while its run waits.

    differs: kinds for which the documented semantics are others, and what is so there. kinds: that can run it.
    codec: of workers, endpoints and the client. machine: the time machine has the same outcome.
    """

    name: str
    make: Callable[[], Sequence[FunctionDefinition]]
    script: Script | None = None
    data: Any = None
    differs: dict[str, dict[str, Any]] = field(default_factory=dict)
    kinds: Sequence[str] = KINDS
    codec: Codec | None = None
    machine: bool = False


# The functions


def three_steps() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context, data: Any) -> Any:
        a = await ctx.step.run("a", lambda: data["total"] + 1)
        b = await ctx.step.run("b:\\ö", lambda: {"a": a})
        return [await ctx.step.run("a", lambda: None), b, ctx.run.attempt]

    return [charge]


def sleeping() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> Any:
        await ctx.step.sleep("first", "1h")
        await ctx.step.run("between", lambda: 1)
        await ctx.step.sleep("second", "2h")
        return "rested"

    return [charge]


def waiting() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> Any:
        paid = await ctx.step.wait_for_event("paid", event="order.paid", match="data.id", timeout="1d")
        return paid.data["amount"]

    return [charge]


async def pays(server: Work, run_id: str) -> None:
    await server.emit("order.paid", {"id": "another", "amount": 1})
    await server.emit("order.paid", {"id": "o1", "amount": 7})


def timing_out() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> Any:
        try:
            await ctx.step.wait_for_event("paid", event="order.paid", timeout="1h")
        except WaitTimeoutError:
            return await ctx.step.run("remind", lambda: "reminded")

    return [charge]


def invoking() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> Any:
        return await ctx.step.invoke("settle", {"amount": 5}, timeout="1h")

    @function("settle")
    async def settle(ctx: Context, data: Any) -> Any:
        await ctx.step.sleep("nap", "1m")
        return await ctx.step.run("settle", lambda: data["amount"] * 2)

    return [charge, settle]


def invoking_a_failure() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> Any:
        try:
            await ctx.step.invoke("settle", None, timeout="1h")
        except InvokeError as fault:
            return str(fault.cause)

    @function("settle")
    async def settle(ctx: Context) -> Any:
        raise NonRetryableError("card declined")

    return [charge, settle]


def branches() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> Any:
        looked = await ctx.step.parallel(
            "look-up", [lambda s: s.run("user", lambda: "u"), lambda s: s.run("stock", lambda: 3)]
        )
        return [looked, await ctx.step.map("mail", [1, 2, 3], lambda item, s, i: s.run("send", lambda: item * 10))]

    return [charge]


def retrying() -> Sequence[FunctionDefinition]:
    tries: list[int] = []

    @function("charge", on="order.placed", retry=RETRY)
    async def charge(ctx: Context) -> Any:
        await ctx.step.run("once", lambda: "kept")

        def flaky() -> int:
            tries.append(1)
            if len(tries) < 3:
                raise ValueError("not yet")
            return len(tries)

        return [await ctx.step.run("flaky", flaky), ctx.run.attempt]

    return [charge]


def compensating() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> Any:
        for name in ("flight", "hotel"):
            await ctx.step.run(name, lambda name=name: name)
            ctx.step.compensate(name, lambda name=name: f"cancelled {name}")
        raise NonRetryableError("no cars left")

    return [charge]


def exhausted() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed", retry=Retry(max_attempts=2, initial_delay="1s"))
    async def charge(ctx: Context) -> Any:
        await ctx.step.run("flight", lambda: 1)
        ctx.step.compensate("flight", lambda: "cancelled")
        raise ValueError("always")

    return [charge]


def compensating_twice() -> Sequence[FunctionDefinition]:
    left = [ValueError("not yet")]

    def undo() -> str:
        if left:
            raise left.pop()
        return "cancelled"

    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> Any:
        await ctx.step.run("flight", lambda: 1)
        ctx.step.compensate("flight", undo)
        raise NonRetryableError("no cars left")

    return [charge]


def secret() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed", secrets=["CARD_KEY"])
    async def charge(ctx: Context) -> Any:
        return [len(ctx.secrets.get("CARD_KEY")), ctx.secrets.has("OTHER")]

    return [charge]


def cancelled() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> Any:
        await ctx.step.run("before", lambda: 1)
        await ctx.step.wait_for_event("never", event="never")

    return [charge]


def undone() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed", on_cancel="compensate")
    async def charge(ctx: Context) -> Any:
        async def undo() -> str:
            return await ctx.step.run("refund", lambda: "paid back")

        await ctx.step.run("flight", lambda: 1)
        ctx.step.compensate("flight", undo)
        await ctx.step.wait_for_event("never", event="never")

    return [charge]


async def cancels(server: Work, run_id: str) -> None:
    await server.call(runs.cancel, id=run_id, reason="enough")


def publishing() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> Any:
        return sorted(await ctx.step.publish("orders.done", {"id": 1}))

    return [charge]


def plain_handler() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    def charge(ctx: Context, data: Any) -> Any:
        steps: Any = ctx.step
        first = steps.run("first", lambda: data["total"])
        steps.sleep("nap", "1m")
        return steps.run("second", lambda: first + 1)

    return [charge]


def upcast() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context, data: Any) -> Any:
        return [data, ctx.event.version]

    return [charge]


def pausing() -> Sequence[FunctionDefinition]:
    @function("charge", on="order.placed")
    async def charge(ctx: Context) -> Any:
        await ctx.step.sleep("nap", "1h")
        return await ctx.step.run("after", lambda: 1)

    return [charge]


async def pauses_and_resumes(server: Work, run_id: str) -> None:
    await server.call(controls.pause, run_id=run_id)
    await server.call(controls.resume, run_id=run_id)


def of_an_entity() -> Sequence[FunctionDefinition]:
    account = entity("account", key="id", initial={"balance": 0})

    @account.on("order.placed")
    async def charge(ctx: Context, data: Any) -> Any:
        # An earlier outcome of the table has left a state.
        ctx.state = {"balance": data["total"]}
        await ctx.step.run("charge", lambda: "charged")
        await ctx.step.sleep("nap", "1m")
        ctx.state["balance"] += 1
        return [await ctx.step.invoke("account.look", None, timeout="1h", entity_key=data["id"]), ctx.state]

    @account.read
    async def look(ctx: Context) -> Any:
        return ctx.state

    return [charge, look]


def encoded() -> Sequence[FunctionDefinition]:
    """Everything that an endpoint can do, too, with data that the server cannot read."""

    @function("charge", on="order.placed")
    async def charge(ctx: Context, data: Any) -> Any:
        charged = await ctx.step.run("charge", lambda: {"charged": data["total"]})
        ctx.set("status", charged)
        await ctx.step.sleep("nap", "1m")
        settled = await ctx.step.invoke("settle", charged, timeout="1h")
        return [data["id"], settled, await ctx.step.map("mail", [1, 2], lambda n, step, _: step.run("send", lambda: n))]

    @function("settle", retry=RETRY)
    async def settle(ctx: Context, data: Any) -> Any:
        if ctx.run.attempt == 1:
            raise ValueError("not yet")
        return await ctx.step.run("settle", lambda: data["charged"] * 2)

    return [charge, settle]


def flipped(text: bytes) -> bytes:
    return bytes(each ^ 0x5A for each in text)


CODEC = Codec(flipped, flipped)
ORDER = {"total": 100, "id": "o1"}
TIMED_OUT = {"status": "failed", "output": None, "error": "WAIT_TIMEOUT", "steps": [["paid", "timed_out", None]]}
GIVEN_UP = {
    "status": "failed", "output": None, "error": "NON_RETRYABLE",
    "steps": [["compensate:flight", "failed", None], ["flight", "completed", 1]],
}  # fmt: skip
NOT_UNDONE = {
    "status": "cancelled", "output": None, "error": None,
    "steps": [["flight", "completed", 1], ["never", "waiting", None]],
}  # fmt: skip
SCENARIOS = [
    Scenario("three steps", three_steps),
    Scenario("sleeps", sleeping),
    Scenario("an awaited event", waiting, pays),
    # The wire of existing clients has no time-out in the handler.
    Scenario("a wait that times out", timing_out, differs={"answers": TIMED_OUT}),
    Scenario("an invoked function", invoking),
    Scenario("an invoked function that fails", invoking_a_failure),
    Scenario("branches", branches),
    Scenario("retries", retrying),
    Scenario("compensations", compensating),
    Scenario("compensations after the last attempt", exhausted),
    Scenario("secrets", secret),
    Scenario("a cancelled run", cancelled, cancels),
    # Hosts of existing clients cannot run compensations alone.
    Scenario("a cancelled run that is undone", undone, cancels, differs={"answers": NOT_UNDONE}),
    # For the same reason, one that fails there is not tried again.
    Scenario("a compensation that fails once", compensating_twice, differs={"answers": GIVEN_UP}),
    Scenario("a published message", publishing),
    Scenario("a plain handler", plain_handler),
    Scenario("an old event", upcast),
    Scenario("a run paused and resumed", pausing, pauses_and_resumes),
    # An endpoint without the call back is not given the state.
    Scenario("a handler of an entity", of_an_entity, kinds=KINDS[:3], machine=True),
    Scenario("encoded data", encoded, codec=CODEC, machine=True),
]


def registry() -> UpcasterRegistry:
    upcasters = UpcasterRegistry()
    upcasters.register("order.placed", 1, 2)(lambda data: {**data, "currency": "EUR"})
    return upcasters


@asynccontextmanager
async def hosted(
    server: Work, functions: Sequence[FunctionDefinition], kind: str, codec: Codec | None = None
) -> AsyncIterator[None]:
    """The functions at a host of that kind."""
    async with AsyncExitStack() as stack:
        if kind in ("push", "answers"):
            push = served(server, functions, checkpoints=kind == "push", upcasters=registry(), codec=codec)
            await stack.enter_async_context(push)
        else:
            address = await stack.enter_async_context(listening(server.inside.app))
            made = Worker if kind == "polling" else StreamingWorker
            worker = made(functions=functions, url=address, clock=server.clock, upcasters=registry(), codec=codec)
            await stack.enter_async_context(worker)
        yield


async def outcome(server: Work, scenario: Scenario, kind: str) -> dict[str, Any]:
    """What became of the run of the scenario's first function."""
    codec, data = scenario.codec, ORDER if scenario.data is None else scenario.data
    async with hosted(server, scenario.make(), kind, codec):
        (run_id,) = (await server.emit(data=data if codec is None else in_envelope(codec, data))).run_ids
        script = scenario.script
        async with asyncio.timeout(SOON_S):
            while (run := await server.run(run_id)).status.value not in ("completed", "failed", "cancelled"):
                why = await server.call(controls.why, id=run_id)
                if why.reason in ("wait_event", "sleep") and script is not None:
                    await script(server, run_id)
                    script = None
                elif why.reason in ("sleep", "retry", "wait_event", "invoke"):
                    await pass_time(server, run_id)
                await asyncio.sleep(0.005)
        steps = await server.steps(run_id)
    return {
        "status": run.status.value,
        "output": value_of(run.output, codec),
        "error": run.error.code if run.error is not None else None,
        "steps": sorted(([each.name, each.status.value, value_of(each.output, codec)] for each in steps), key=repr),
    }


async def outcome_in_time_machine(scenario: Scenario) -> dict[str, Any]:
    async with time_machine(scenario.make(), codec=scenario.codec) as machine:
        run = await machine.emit("order.placed", ORDER)
        await machine.advance("1d")
        steps = sorted(([each.name, each.status.value, each.output] for each in run.steps), key=repr)
        return {"status": run.status, "output": run.output, "error": run.error and run.error.code, "steps": steps}


def in_envelope(codec: Codec, data: Any) -> Any:
    return msgspec.json.decode(codec.encoded(msgspec.Raw(msgspec.json.encode(data))))


def value_of(output: msgspec.Raw | None, codec: Codec | None) -> Any:
    """An output; of an event, what is the same in every run. codec: the server has it in an envelope."""
    value = msgspec.json.decode(output) if output is not None else None
    if codec is not None and value is not None:
        assert list(value) == ["$encoded"]
        return codec.decoded_value(value)
    if isinstance(value, dict) and "eventId" in value:
        return "published"
    return value["data"] if isinstance(value, dict) and "timestamp" in value else value


async def pass_time(server: Work, run_id: str) -> None:
    """Moves the clock to what the run or its children wait for next."""
    soonest = []
    for each in await server.runs():
        why = await server.call(controls.why, id=each.id)
        if why.until is not None and why.reason in ("sleep", "retry", "wait_event"):
            soonest.append(int(why.until.timestamp() * 1000))
    if soonest:
        server.move(max(min(soonest) - server.now, 0))
        for loop in ("timers", "leases", "jobs-offer"):
            await server.loop(loop)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[each.name for each in SCENARIOS])
async def test_a_scenario_has_the_same_outcome_with_every_kind_of_worker(server: Work, scenario: Scenario):
    await server.call(secrets.set_, name="CARD_KEY", value="0123456789")
    polling = await outcome(server, scenario, "polling")
    for kind in scenario.kinds[1:]:
        assert (kind, await outcome(server, scenario, kind)) == (kind, scenario.differs.get(kind, polling))
    if scenario.machine:
        assert await outcome_in_time_machine(scenario) == polling


LIMITS: dict[str, dict[str, Any]] = {
    "an actor": {"actor_key": "id"},
    "a limit": {"concurrency": Concurrency(1)},
    "a limit for each key": {"concurrency": Concurrency(1, key="id")},
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_runs_wait_for_one_another_with_every_kind_of_worker(server: Work, limit: str):
    polling = await outcome_of_three(server, "polling", LIMITS[limit])
    assert polling["begun"] == polling["ended"] == [0, 1, 2]
    for kind in KINDS[1:]:
        assert (kind, await outcome_of_three(server, kind, LIMITS[limit])) == (kind, polling)


async def outcome_of_three(server: Work, kind: str, limit: dict[str, Any]) -> dict[str, Any]:
    """The order of three runs of one key, and what they wait for; the first ends after the others are there."""
    begun: list[int] = []
    ended: list[int] = []
    release = asyncio.Event()

    @function("charge", on="order.placed", **limit)
    async def charge(ctx: Context, data: Any) -> Any:
        begun.append(data["number"])
        await release.wait()
        assert len(begun) == len(ended) + 1
        ended.append(data["number"])
        return await ctx.step.run("charge", lambda: data["number"])

    async with hosted(server, [charge], kind), asyncio.timeout(SOON_S):
        run_ids = [(await server.emit(data={"id": "o1", "number": number})).run_ids[0] for number in range(3)]
        while not begun:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        waits = [(await server.call(controls.why, id=run_id)).reason for run_id in run_ids]
        release.set()
        found = [await until(server, run_id, "completed", "failed") for run_id in run_ids]
    return {"begun": begun, "ended": ended, "waits": waits, "statuses": [each.status.value for each in found]}


PRIORITY: dict[str, Any] = {"priority": "data.tier == 'gold' ? 10 : 0", "concurrency": Concurrency(1)}
TIERS = ["first", "plain", "gold", "plain", "gold"]
# The first holds the slot; of those that wait, the gold ones come first, each tier in its order.
BY_PRIORITY = [0, 2, 4, 1, 3]


async def test_priority_orders_runs_with_every_kind_of_worker(server: Work):
    for kind in KINDS:
        assert (kind, await order_by_priority(server, kind)) == (kind, BY_PRIORITY)


async def order_by_priority(server: Work, kind: str) -> list[int]:
    begun: list[int] = []
    release = asyncio.Event()

    @function("charge", on="order.placed", **PRIORITY)
    async def charge(ctx: Context, data: Any) -> None:
        begun.append(data["number"])
        await release.wait()
        await ctx.step.run("charge", lambda: 1)

    async with hosted(server, [charge], kind), asyncio.timeout(SOON_S):
        run_ids: list[str] = []
        for number, tier in enumerate(TIERS):
            run_ids += (await server.emit(data={"number": number, "tier": tier})).run_ids
            while not begun:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        release.set()
        for run_id in run_ids:
            await until(server, run_id, "completed")
    return begun


async def test_priority_orders_runs_in_the_time_machine():
    begun: list[int] = []

    @function("charge", on="order.placed", **PRIORITY)
    async def charge(ctx: Context, data: Any) -> None:
        begun.append(data["number"])
        if data["tier"] == "first":
            # A limit is for executions: those that wait are there before the first of them is over.
            for number, tier in enumerate(TIERS[1:], start=1):
                await ctx.client.emit("order.placed", {"number": number, "tier": tier})

    async with time_machine([charge]) as machine:
        await machine.emit("order.placed", {"number": 0, "tier": "first"})
        await machine.advance("1s")

    assert begun == BY_PRIORITY
