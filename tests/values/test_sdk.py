"""`ctx.set` and `client.runs.value`."""

import pytest

from ironflow import NonRetryableError, Retry, function
from ironflow.base.errors import ValidationError
from ironflow.features.values.contract import ValueNotFound
from ironflow.sdk.durable.run_values import RunValues
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

    assert [each.name for each in values.unsent(0, 0)] == ["early"]
    assert [each.name for each in values.unsent(0, 1)] == ["early", "late"]
    assert [each.name for each in values.unsent(1, 1)] == ["late"]
    assert not values.unsent(2, 1)


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
