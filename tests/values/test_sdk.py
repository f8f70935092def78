"""`ctx.set` and `client.runs.value`."""

import asyncio

import pytest

from ironflow import NonRetryableError, Retry, function
from ironflow.base.errors import ValidationError
from ironflow.features.values.contract import ValueNotFound
from ironflow.sdk.durable.run_values import RunValues
from ironflow.sdk.durable.steps.determinism import Place
from ironflow.testing import time_machine

seen: list[str] = []


@function("order")
async def order(ctx):
    ctx.set("status", {"at": "packing"})
    await ctx.step.run("pack", lambda: 1)
    ctx.set("status", {"at": "waiting"})
    await ctx.step.sleep("truck", "1h")
    ctx.set("status", {"at": "sent"})
    return 1


@function("plain")
def plain(ctx):
    ctx.set("n", 1)
    ctx.step.run("one", lambda: 1)
    ctx.set("n", 2)


@function("fails", retry=Retry(max_attempts=1))
async def fails(ctx):
    await ctx.step.run("one", lambda: 1)
    ctx.set("reached", "one")
    raise NonRetryableError("no")


async def test_readers_see_where_a_run_is():
    async with time_machine(functions=[order]) as machine:
        run = await machine.invoke(order, key="o1")

        assert await machine.client.runs.value("order", "status", key="o1") == {"at": "waiting"}
        assert (await machine.client.runs.get(run.id)).values == {"status": {"at": "waiting"}}
        await machine.advance("1h")
        found = await machine.client.runs.value_with_version(run.id, "status", wait="1h", after=2)
        assert (found.value, found.run_ended) == ({"at": "sent"}, True)
        with pytest.raises(ValueNotFound):
            await machine.client.runs.value(run.id, "other", wait="1h")


async def test_plain_handlers_and_failed_attempts_set_values():
    async with time_machine(functions=[plain, fails]) as machine:
        first, second = await machine.invoke(plain), await machine.invoke(fails)

        assert await machine.client.runs.value(first.id, "n") == 2
        assert (second.status, await machine.client.runs.value(second.id, "reached")) == ("failed", "one")


def test_a_value_is_not_sent_before_the_steps_that_ended_before_it():
    rows: list[int] = []
    values = RunValues(lambda: len(rows), ())
    values.set("early", 1)
    rows.append(1)
    values.set("late", 2)

    def unsent(sent: int, rows: int) -> list[str]:
        return [each.name for each in values.unsent(sent, rows)[0]]

    assert (unsent(0, 0), values.unsent(0, 0)[1]) == (["early"], 1)
    assert (unsent(0, 1), values.unsent(0, 1)[1]) == (["early", "late"], 2)
    assert unsent(1, 1) == ["late"]
    assert values.unsent(2, 1) == ([], 2)


@pytest.mark.parametrize(("name", "value"), [("", 1), ("a/b", 1), (" a", 1), (7, 1), ("big", "x" * 70_000)])
def test_values_that_are_refused_at_once(name, value):
    with pytest.raises(ValidationError):
        RunValues(lambda: 0, ()).set(name, value)


def test_a_run_sets_at_most_a_hundred_names():
    values = RunValues(lambda: 0, ())
    for number in range(100):
        values.set(f"n{number}", number)
    values.set("n7", 8)

    with pytest.raises(ValidationError, match="at most 100"):
        values.set("one more", 1)


def branch(after_ms: int, call: int, index: int) -> Place:
    return Place(after_ms, call, ((1, 0, "run"), (1, 0, "both"), (0, index, "")))


@pytest.mark.parametrize(
    "winner",
    [branch(5, 1, 0), branch(0, 2, 0), branch(0, 1, 10)],
    ids=["its last step ended later", "a later call of the branch", "a later branch"],
)
def test_of_places_that_set_one_name_the_same_wins_in_any_order(winner: Place):
    loser = branch(0, 1, 9)
    for order in ([loser, winner], [winner, loser]):
        places = iter(order)
        values = RunValues(lambda: 0, (), lambda places=places: next(places))
        for place in order:
            values.set("who", "winner" if place is winner else "loser")
        ((found,), _) = values.unsent(0, 0)
        assert (bytes(found.value), found.number) == (b'"winner"', winner.number)


def test_a_value_of_an_earlier_place_is_sent_after_one_of_a_later_place():
    places = iter([branch(5, 1, 0), branch(0, 1, 1)])
    values = RunValues(lambda: 0, (), lambda: next(places))
    values.set("a", 1)
    _, sent = values.unsent(0, 0)
    values.set("b", 2)
    assert [each.name for each in values.unsent(sent, 0)[0]] == ["b"]


@pytest.mark.parametrize("late", [0, 1])
async def test_of_parallel_branches_the_one_whose_last_step_ended_later_sets_the_value(late: int):
    @function("race")
    async def race(ctx):
        async def one(step, index):
            await step.sleep("nap", "2h" if index == late else "1h")
            ctx.set("who", index)

        await ctx.step.parallel("both", [lambda step: one(step, 0), lambda step: one(step, 1)])
        await ctx.step.sleep("rest", "1h")

    async with time_machine(functions=[race]) as machine:
        run = await machine.invoke(race)
        for value in (1 - late, late, late):
            await machine.advance("1h")
            assert await machine.client.runs.value(run.id, "who") == value
        assert run.status == "completed"


@pytest.mark.parametrize("first", [0, 1])
async def test_parallel_branches_that_set_one_name_leave_the_same_value_in_every_replay(first: int):
    ended = [asyncio.Event(), asyncio.Event()]

    @function("race")
    async def race(ctx):
        async def one(step, index):
            async def body():
                if index != first:
                    await ended[first].wait()

            await step.run("body", body)
            ctx.set("who", index)
            ended[index].set()

        await ctx.step.parallel("both", [lambda step: one(step, 0), lambda step: one(step, 1)])
        for _ in range(3):
            await ctx.step.sleep("rest", "1h")

    async with time_machine(functions=[race]) as machine:
        run = await machine.invoke(race)
        before = await machine.client.runs.value_with_version(run.id, "who")
        # The time of the machine stands still: both steps ended at the same moment, and the later branch wins.
        assert before.value == 1
        for _ in range(2):
            await machine.advance("1h")
            assert await machine.client.runs.value_with_version(run.id, "who") == before
