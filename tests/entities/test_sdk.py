"""`entity(...)`, `ctx.state` and `client.entities`."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from ironflow import Context, NonRetryableError, Retry, SyncContext, entity, function
from ironflow.base.errors import InvalidArgument
from ironflow.features.entities.contract import EntityNotFound, EntityStateReadOnly
from ironflow.features.functions.contract import InvalidFunction
from ironflow.sdk.definition.function import StateShape
from ironflow.sdk.durable.entity_state import EntityState, NoEntity
from ironflow.sdk.durable.job.assignment import JobEntity
from ironflow.sdk.values.payload import from_payload
from ironflow.server.settings import Settings
from ironflow.testing import TestClient, context_for_test, time_machine

payment = entity("payment", key="id", initial={"paid": 0, "status": "new"})
bodies: list[str] = []


@payment.on("payment.make")
async def make(ctx: Context, data: dict[str, Any]) -> Any:
    ctx.state["paid"] += data["amount"]
    ctx.state["status"] = "charging"
    await ctx.step.run("charge", lambda: bodies.append("charge"))
    ctx.state["status"] = "clearing"
    await ctx.step.sleep("clearing", "1h")
    ctx.state["status"] = "paid"
    return ctx.state["paid"]


@payment.handler(retry=Retry(max_attempts=2, initial_delay="1s"))
async def refund(ctx: Context, data: dict[str, Any]) -> None:
    ctx.state["paid"] -= data["amount"]
    if data.get("after") == "step":
        await ctx.step.run("bank", lambda: 1)
    ctx.state["status"] = "never written"
    raise ValueError("the bank is closed")


@payment.handler
def close(ctx: SyncContext) -> str:
    ctx.step.run("archive", lambda: 1)
    ctx.state = {"paid": ctx.state["paid"], "status": "closed", "by": ctx.entity.key if ctx.entity else ""}
    return ctx.state["status"]


@payment.read
async def status(ctx: Context) -> Any:
    return ctx.state


@payment.read(id="payment.cheat")
async def cheat(ctx: Context, data: Any) -> None:
    if data == "set":
        ctx.state = {}
    ctx.state["paid"] = 1_000_000


@payment.handler
async def huge(ctx: Context, data: Any) -> Any:
    ctx.state = "x" * 1_000
    if data == "step":
        await ctx.step.run("one", lambda: 1)
        await ctx.step.run("two", lambda: 2)
    return "done"


@payment.handler
async def within(ctx: Context) -> None:
    def body() -> None:
        ctx.state = 1

    await ctx.step.run("body", body)


@dataclass
class Cart:
    items: list[str]


cart = entity("cart", key="user", state=Cart, initial=lambda: Cart([]))


@cart.handler
async def add(ctx: Context, data: Any) -> int:
    ctx.state.items.append(data["item"])
    return len(ctx.state.items)


@function("outside")
async def outside(ctx: Context) -> Any:
    assert ctx.entity is None
    return ctx.state


def test_handlers_are_functions_of_one_entity():
    assert [each.id for each in payment.functions] == [
        "payment.make", "payment.refund", "payment.close", "payment.status", "payment.cheat", "payment.huge",
        "payment.within",
    ]  # fmt: skip
    assert make.settings.entity is not None
    assert (make.settings.entity.name, make.settings.entity.key, make.settings.entity.access) == ("payment", "id", "")
    assert [each.event for each in make.settings.triggers] == ["payment.make"]
    assert status.settings.entity is not None
    assert status.settings.entity.access == "read"


@pytest.mark.parametrize("settings", [{"concurrency": {"limit": 2}}, {"actor_key": "id"}, {"priority": "1"}])
def test_limits_of_handlers_are_refused(settings: dict[str, Any]):
    with pytest.raises(InvalidFunction, match="a key is a limit"):
        payment.on("payment.more", **settings)


@pytest.mark.parametrize(("name", "key"), [("pay ment", "id"), ("", "id"), ("payment", ""), ("a:b", "id")])
def test_entities_that_are_refused(name: str, key: str):
    with pytest.raises(InvalidFunction):
        entity(name, key=key)


async def test_a_state_is_changed_in_place_step_by_step():
    async with time_machine(functions=payment.functions) as machine:
        bodies.clear()
        run = await machine.emit("payment.make", {"id": "p1", "amount": 5})

        assert (await machine.client.entities.get("payment", "p1")).state == {"paid": 5, "status": "clearing"}
        await machine.advance("1h")

        found = await machine.client.entities.get("payment", "p1")
        assert (run.status, run.output, bodies) == ("completed", 5, ["charge"])
        assert (found.state, found.run_id, found.entity_id) == ({"paid": 5, "status": "paid"}, run.id, "payment:p1")
        seen = [each async for each in machine.client.entities.history("payment", "p1")]
        assert [each.data["status"] for each in seen] == ["charging", "clearing", "paid"]
        assert found.version == seen[-1].entity_version
        back = [each.entity_version async for each in machine.client.entities.history("payment", "p1", backward=True)]
        assert back == [3, 2, 1]


async def test_a_call_waits_behind_the_handler_that_sleeps_and_readers_do_not():
    async with time_machine(functions=payment.functions) as machine:
        first = await machine.emit("payment.make", {"id": "p1", "amount": 5})
        second = await machine.emit("payment.make", {"id": "p1", "amount": 2})
        other = await machine.emit("payment.make", {"id": "p2", "amount": 1})
        assert [each.state for each in (first, second, other)] == ["waiting", "pending", "waiting"]

        sent = await machine.client.entities.send("payment", "p1", "status")
        await machine.settle()
        assert (await machine.client.runs.get(sent.run_id)).output == {"paid": 5, "status": "clearing"}

        await machine.advance("1h")
        assert [each.state for each in (first, second, other)] == ["completed", "waiting", "completed"]
        await machine.advance("1h")
        assert second.output == 7


async def test_an_attempt_that_fails_writes_what_it_had_at_its_last_step():
    async with time_machine(functions=payment.functions) as machine:
        await machine.client.entities.send("payment", "p1", "refund", {"amount": 1})
        await machine.client.entities.send("payment", "p2", "refund", {"amount": 1, "after": "step"})
        await machine.advance("1m")

        with pytest.raises(EntityNotFound):
            await machine.client.entities.get("payment", "p1")
        # Once, although the second attempt takes it off again.
        assert (await machine.client.entities.get("payment", "p2")).state == {"paid": -1, "status": "new"}


async def test_plain_handlers_set_the_state():
    async with time_machine(functions=payment.functions) as machine:
        sent = await machine.client.entities.send("payment", "p1", "close")
        await machine.settle()

        assert (await machine.client.runs.get(sent.run_id)).output == "closed"
        found = await machine.client.entities.get("payment", "p1")
        assert found.state == {"paid": 0, "status": "closed", "by": "p1"}


@pytest.mark.parametrize("how", ["set", "in place"])
async def test_a_reader_that_changes_the_state_fails(how: str):
    async with time_machine(functions=payment.functions) as machine:
        sent = await machine.client.entities.send("payment", "p1", "cheat", how)
        await machine.settle()

        run = await machine.client.runs.get(sent.run_id)
        assert run.error is not None
        assert (run.status, run.error.code, run.attempt) == ("failed", "ENTITY_STATE_READ_ONLY", 1)
        with pytest.raises(EntityNotFound):
            await machine.client.entities.get("payment", "p1")


@pytest.mark.parametrize("how", ["step", "end"])
async def test_a_state_that_is_too_large_fails_its_run_once(how: str):
    settings = Settings(entity_state_bytes_max=100)
    async with time_machine(functions=payment.functions, settings=settings) as machine:
        sent = await machine.client.entities.send("payment", "p1", "huge", how)
        await machine.settle()

        run = await machine.client.runs.get(sent.run_id)
        assert run.error is not None
        assert (run.status, run.error.code, run.attempt) == ("failed", "ENTITY_STATE_TOO_LARGE", 1)
        # The step itself is recorded all the same.
        assert [each.name for each in await machine.client.runs.steps(sent.run_id)] == (
            ["one"] if how == "step" else []
        )


async def test_a_step_does_not_set_the_state():
    async with time_machine(functions=payment.functions) as machine:
        sent = await machine.client.entities.send("payment", "p1", "within")
        await machine.advance("1h")

        run = await machine.client.runs.get(sent.run_id)
        assert run.error is not None
        assert "within step" in run.error.message


async def test_a_state_has_a_type():
    async with time_machine(functions=cart.functions) as machine:
        for item in ("tea", "cup"):
            await machine.client.entities.send("cart", "ada", "add", {"item": item})
            await machine.settle()

        assert (await machine.client.entities.get("cart", "ada")).state == {"items": ["tea", "cup"]}
        assert [each.key async for each in machine.client.entities.list("cart")] == ["ada"]


async def test_another_function_has_no_state():
    async with time_machine(functions=[outside]) as machine:
        run = await machine.invoke(outside)

        assert run.error is not None
        assert run.error.code == "NO_ENTITY"


async def test_a_call_answers_what_its_handler_returns():
    async with time_machine(functions=cart.functions) as machine:
        call = asyncio.create_task(machine.client.entities.call("cart", "bob", "add", {"item": "tea"}, timeout="30s"))
        while not call.done():
            await machine.settle()
            await asyncio.sleep(0)

        assert await call == 1
        again = [
            await machine.client.entities.send("cart", "bob", "add", {"item": "cup"}, idempotency_key="k") for _ in "ab"
        ]
        await machine.settle()
        assert again[0].run_id == again[1].run_id
        assert (await machine.client.entities.get("cart", "bob")).state == {"items": ["tea", "cup"]}
        with pytest.raises(InvalidArgument):
            await machine.client.entities.send("cart", "a b", "add", {})


async def test_the_test_client_keeps_states():
    client = TestClient(functions=[*payment.functions, *cart.functions], strict=False)
    client.set_state("payment", "p1", {"paid": 1, "status": "new"})

    made = await client.emit("payment.make", {"id": "p1", "amount": 2})
    failed = await client.invoke("payment.refund", {"id": "p2", "amount": 2})
    read = await client.invoke("payment.status", {"id": "p1"})
    cheated = await client.invoke("payment.cheat", {"id": "p1"})
    for item in ("tea", "cup"):
        await client.invoke(add, {"user": "ada", "item": item})

    assert (made.status, made.output) == ("completed", 3)
    assert client.state("payment", "p1") == {"paid": 3, "status": "paid"} == read.output
    assert (failed.status, client.state("payment", "p2")) == ("failed", None)
    assert (cheated.status, client.state("payment", "p1")["paid"]) == ("failed", 3)
    assert client.state("cart", "ada") == {"items": ["tea", "cup"]}


async def test_a_context_for_tests_has_a_state():
    state = {"paid": 1, "status": "new"}

    assert await status(context_for_test(state=state)) is state


def an_entity_state(rows: list[int], **more: Any) -> EntityState:
    job = JobEntity(entity="payment", key="p1", is_new=True, **more)
    return EntityState(job, StateShape(from_payload, lambda: {"n": 0}), lambda: len(rows))


def test_a_change_is_not_sent_before_the_steps_that_ended_before_it():
    rows: list[int] = []
    state = an_entity_state(rows)
    state.look()
    assert state.unsent(0, 0) is None
    state.value["n"] = 1
    rows.append(1)
    state.look()

    assert state.unsent(0, 0) is None
    found = state.unsent(0, 1)
    assert found is not None
    assert (found.number, from_payload(found.state)) == (1, {"n": 1})
    assert state.unsent(1, 1) is None


async def test_code_that_makes_fewer_changes_loses_none_of_its_own():
    deployed = [False]
    tally = entity("tally", key="id", initial={})

    @tally.handler
    async def count(ctx: Context) -> None:
        state = ctx.state
        state["first"] = 1
        await ctx.step.run("a", lambda: None)
        if not deployed[0]:
            state["second"] = 2
        await ctx.step.run("b", lambda: None)
        if not deployed[0]:
            state["third"] = 3
        await ctx.step.sleep("rest", "1h")
        state["new"] = 1
        await ctx.step.run("c", lambda: None)
        await ctx.step.run("d", lambda: None)
        await ctx.step.wait_for_event("wait", event="went", timeout="1d")
        state["newer"] = 2

    async with time_machine(functions=tally.functions) as machine:
        sent = await machine.client.entities.send("tally", "t1", "count")
        await machine.settle()
        assert (await machine.client.entities.get("tally", "t1")).state == {"first": 1, "second": 2, "third": 3}
        deployed[0] = True
        await machine.advance("1h")
        assert (await machine.client.entities.get("tally", "t1")).state == {"first": 1, "new": 1}
        await machine.emit("went", {})
        await machine.settle()

        assert (await machine.client.runs.get(sent.run_id)).status == "completed"
        found = await machine.client.entities.get("tally", "t1")
        assert found.state == {"first": 1, "new": 1, "newer": 2}
        assert found.version == 5


@pytest.mark.parametrize(
    ("number", "ended", "changes", "sent"),
    [
        (0, False, 1, 1),
        (1, False, 1, 1),
        (2, False, 1, 1),
        (2, True, 1, 3),
        (2, True, 0, None),
        (1, True, 1, 1),
    ],
)
def test_a_change_past_the_record_has_a_number_above_all_that_were_made(
    number: int, ended: bool, changes: int, sent: int | None
):
    state = an_entity_state([], number=number)
    for n in range(1, changes + 1):
        state.value["n"] = n
        state.look()
    assert state.value["n"] == changes
    state.look(ended=ended)

    found = state.unsent(0, 0)
    assert (found.number if found is not None else None) == sent


def test_a_state_that_is_what_it_was_is_no_change():
    state = an_entity_state([])
    state.set({"n": 0})
    state.look()

    assert state.unsent(0, 0) is None
    with pytest.raises(EntityStateReadOnly):
        an_entity_state([], read_only=True).set(1)
    with pytest.raises(NoEntity):
        EntityState(None, None).set(1)


def test_a_refused_state_fails_the_handler_at_its_next_step():
    state = an_entity_state([])
    state.set(1)
    state.look()
    state.refused(NonRetryableError("too large"))

    assert state.unsent(0, 0) is None
    with pytest.raises(NonRetryableError, match="too large"):
        state.look()
