"""A handler of an entity is invoked with the key of its entity, and handlers of one key run one at a time."""

from typing import Any

import pytest

from ironflow import Context, InvokeError, InvokeTimeoutError, NonRetryableError, entity, function
from ironflow.base.errors import InvalidArgument
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.testing import NeverEnds, TestClient, time_machine

payment = entity("payment", key="id", initial={"status": "new"})


@payment.handler
async def cancel(ctx: Context, data: Any) -> Any:
    ctx.state = {"status": "cancelled", "by": data["by"]}


@function("charge")
async def charge(ctx: Context) -> None: ...


async def test_a_handler_is_invoked_with_a_key_that_its_data_does_not_have():
    client = TestClient([cancel])

    run = await client.invoke(cancel, {"by": "ada"}, entity_key="p1")

    assert run.status == "completed"
    assert client.state("payment", "p1") == {"status": "cancelled", "by": "ada"}


@function("support")
async def support(ctx: Context, data: Any) -> Any:
    await ctx.step.invoke(cancel, {"by": "step"}, entity_key=data)
    try:
        await ctx.step.invoke(charge, entity_key=data)
    except InvokeError as error:
        return error.cause


async def test_a_step_invokes_a_handler_with_a_key():
    client = TestClient([support, cancel, charge], strict=False)

    run = await client.invoke(support, "p1")

    assert run.output == "function 'charge' is no handler of an entity: it takes no entity_key"
    assert client.state("payment", "p1") == {"status": "cancelled", "by": "step"}


@function("starts")
async def starts(ctx: Context, data: Any) -> Any:
    await ctx.step.invoke_async(cancel, {"by": "none"}, entity_key=f"{data}-1")
    handles = [await ctx.step.start(cancel, {"by": "one"}, entity_key=f"{data}-2")]
    handles += await ctx.step.start_many(cancel, [{"by": "two"}, {"by": "three"}], entity_key=["p3", "p4"])
    await ctx.step.join("all", handles)
    await ctx.step.start_many(cancel, [{"by": "two"}], entity_key=["p3", "p4"])


async def test_a_step_starts_handlers_with_keys():
    client = TestClient([starts, cancel], strict=False)

    run = await client.invoke(starts, "p")

    assert [client.state("payment", key)["by"] for key in ("p-1", "p-2", "p3", "p4")] == [
        "none",
        "one",
        "two",
        "three",
    ]
    assert run.error is not None
    assert run.error.message == "'payment.cancel': 1 inputs have 2 entity keys; give one each."


async def test_a_function_without_an_entity_takes_no_key():
    with pytest.raises(InvalidArgument, match="no handler of an entity"):
        await TestClient([charge]).invoke(charge, entity_key="p1")


# One at a time.

counter = entity("counter", key="id", initial={"n": 0})
A, B = {"id": "a"}, {"id": "b"}
LONG = "30d"


@counter.handler
async def inc(ctx: Context) -> Any:
    ctx.state = {"n": ctx.state["n"] + 1}
    return ctx.state["n"]


@counter.handler
async def slow(ctx: Context) -> Any:
    ctx.state = {"n": ctx.state["n"] + 1}
    await ctx.step.sleep("long", "2d")
    ctx.state = {"n": ctx.state["n"] + 10}
    return ctx.state["n"]


@counter.handler
async def again(ctx: Context, data: Any) -> Any:
    ctx.state = {"n": ctx.state["n"] * 2 + 1}
    await ctx.step.sleep("nap", "1h")
    if data.get("left"):
        return ctx.restart({**data, "left": data["left"] - 1})
    return ctx.state["n"]


@counter.handler
async def failing(ctx: Context) -> None:
    ctx.state = {"n": ctx.state["n"] + 100}
    await ctx.step.sleep("nap", "1h")
    raise NonRetryableError("no")


@counter.handler
async def inner(ctx: Context, data: Any) -> Any:
    try:
        return await ctx.step.invoke(inc, data, timeout="1h")
    except InvokeTimeoutError:
        return "waits for itself"


@counter.read
async def watch(ctx: Context) -> Any:
    before = await ctx.step.run("before", lambda: ctx.state["n"])
    await ctx.step.sleep("long", "3d")
    return [before, ctx.state["n"]]


HANDLERS = [inc, slow, again, failing, inner, watch]


async def outcome(main: FunctionDefinition) -> tuple[Any, dict[str, Any]]:
    """The output, and the states by key; those of TestClient, which a server gives as well."""
    functions, keys = [main, *HANDLERS], ("a", "b")
    client = TestClient(functions, strict=False)
    run = await client.invoke(main)
    simulated = run.output, {key: client.state("counter", key) for key in keys}
    async with time_machine(functions) as machine:
        real_run = await machine.invoke(main)
        await machine.advance("40d")
        states = {each.key: each.state async for each in machine.client.entities.list("counter")}
        real = real_run.output, {key: states.get(key) for key in keys}
    assert simulated == real
    return simulated


async def test_two_handlers_that_are_invoked_in_parallel_both_count():
    @function("main")
    async def main(ctx: Context):
        return await ctx.step.parallel("both", [lambda steps: steps.invoke(inc, A), lambda steps: steps.invoke(inc, A)])

    assert await outcome(main) == ([1, 2], {"a": {"n": 2}, "b": None})


async def test_handlers_that_are_started_without_a_wait_all_count():
    @function("main")
    async def main(ctx: Context):
        for _ in range(3):
            await ctx.step.invoke_async(inc, A)

    assert await outcome(main) == (None, {"a": {"n": 3}, "b": None})


async def test_a_handler_that_sleeps_keeps_the_others_of_its_key_waiting_in_their_order():
    @function("main")
    async def main(ctx: Context):
        wanted = [slow, inc, slow, inc]
        return await ctx.step.map("all", wanted, lambda each, steps, _: steps.invoke(each, A, timeout=LONG))

    assert await outcome(main) == ([11, 12, 23, 24], {"a": {"n": 24}, "b": None})


async def test_another_key_does_not_wait():
    @function("main")
    async def main(ctx: Context):
        await ctx.step.invoke_async(slow, A)
        found = [await ctx.step.invoke(inc, B, timeout="1h")]
        try:
            found.append(await ctx.step.invoke(inc, A, timeout="1h"))
        except InvokeTimeoutError:
            found.append("waits")
        return found

    output, states = await outcome(main)

    assert output == [1, "waits"]
    assert states["b"] == {"n": 1}


async def test_readers_run_beside_and_see_the_newest_state():
    @function("main")
    async def main(ctx: Context):
        await ctx.step.invoke_async(slow, A)
        await ctx.step.sleep("until it sleeps", "1h")
        return await ctx.step.invoke(watch, A, timeout=LONG)

    assert await outcome(main) == ([1, 11], {"a": {"n": 11}, "b": None})


async def test_a_handler_that_restarts_keeps_its_key():
    @function("main")
    async def main(ctx: Context):
        return await ctx.step.parallel(
            "both",
            [
                lambda steps: steps.invoke(again, {**A, "left": 2}, timeout=LONG),
                lambda steps: steps.invoke(inc, A, timeout=LONG),
            ],
        )

    assert await outcome(main) == ([7, 8], {"a": {"n": 8}, "b": None})


async def test_a_handler_that_has_failed_lets_the_next_begin():
    @function("main")
    async def main(ctx: Context):
        await ctx.step.invoke_async(failing, A)
        return await ctx.step.invoke(inc, A, timeout=LONG)

    assert await outcome(main) == (101, {"a": {"n": 101}, "b": None})


async def test_a_handler_that_invokes_one_of_its_own_key_waits_for_itself():
    @function("main")
    async def main(ctx: Context):
        return await ctx.step.invoke(inner, A, timeout=LONG)

    assert (await outcome(main))[0] == "waits for itself"


async def test_a_handler_that_waits_for_itself_without_a_timeout_never_ends():
    @counter.handler
    async def stuck(ctx: Context, data: Any) -> Any:
        return await ctx.step.invoke(inc, data, timeout_from="start")

    message = "'counter.inc' waits for key 'a' of entity 'counter', which 'counter.stuck' holds"
    with pytest.raises(NeverEnds, match=message):
        await TestClient([stuck, inc], strict=False).invoke(stuck, A)
