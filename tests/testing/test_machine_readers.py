"""The time machine's projections and consumers: they have seen everything of each moment before time goes on."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pytest import raises

from ironflow import Client, Context, function
from ironflow.base.errors import InvalidArgument
from ironflow.projection import projection
from ironflow.testing import NotSettled, time_machine

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@projection("totals", events=["order.*"], initial_state={"count": 0, "cents": 0})
def totals(state, event):
    return {"count": state["count"] + 1, "cents": state["cents"] + event.data["cents"]}


@function("dunning", on="order.placed")
async def dunning(ctx: Context):
    await ctx.step.sleep("patience", "14d")
    await ctx.step.run("remind", remind, ctx.event.data["cents"])


async def remind(cents: int) -> None:
    await Client().emit("order.reminded", {"cents": cents})


async def test_a_projection_has_folded_the_events_of_each_moment():
    async with time_machine([dunning], projections=[totals]) as machine:
        await machine.emit("order.placed", {"cents": 500})
        first = (await machine.projections.get("totals")).state

        await machine.advance("13d")
        before = (await machine.projections.get("totals")).state
        await machine.advance("1d")
        found = await machine.projections.get("totals")

    assert first == before == {"count": 1, "cents": 500}
    assert found.state == {"count": 2, "cents": 1000}
    assert found.state_event_time == NEW_YEAR + timedelta(days=14)


async def test_a_handler_that_waits_for_a_projection_is_given_its_state():
    @function("reads", on="order.placed")
    async def reads(ctx: Context):
        async def read():
            await ctx.client.projections.wait_for_event("totals", ctx.event.id, timeout="20s")
            return (await ctx.client.projections.get("totals")).state

        return await ctx.step.run("read", read)

    async with time_machine([reads], projections=[totals]) as machine:
        run = await machine.emit("order.placed", {"cents": 500})

    assert run.output == {"count": 1, "cents": 500}


async def test_a_partitioned_and_an_external_projection_run_too():
    seen = []

    @projection("customers", events=["order.*"], initial_state={"orders": 0}, partition_key="data.customer")
    def customers(state, event):
        return {"orders": state["orders"] + 1}

    @projection("mails", events=["order.placed"])
    async def mails(event):
        seen.append(event.data["customer"])

    async with time_machine(projections=[customers, mails]) as machine:
        for customer in ("ada", "bob", "ada"):
            await machine.emit("order.placed", {"customer": customer})
        ada = await machine.projections.get("customers", partition="ada")

    assert seen == ["ada", "bob", "ada"]
    assert ada.state == {"orders": 2}


async def test_a_rebuild_has_folded_everything_anew_when_the_machine_settles():
    factor = 1

    @projection("points", events=["order.*"], initial_state={"points": 0})
    def points(state, event):
        return {"points": state["points"] + factor * event.data["cents"]}

    async with time_machine(projections=[points]) as machine:
        await machine.emit("order.placed", {"cents": 3})
        await machine.emit("order.placed", {"cents": 4})
        factor = 10
        await machine.projections.rebuild("points")
        await machine.settle()
        rebuilt = await machine.projections.get("points")
        status = await machine.projections.status("points")
        await machine.emit("order.placed", {"cents": 1})
        later = await machine.projections.get("points")

    assert rebuilt.state == {"points": 70}
    assert status.status == "active"
    assert later.state == {"points": 80}


async def test_a_handler_that_fails_is_tried_again_by_the_machines_clock_and_shown_as_failing():
    broken = True

    @projection("fragile", events=["order.*"], initial_state={"count": 0})
    def fragile(state, event):
        if broken and event.data["cents"] == 2:
            raise ValueError("two")
        return {"count": state["count"] + 1}

    async with time_machine(projections=[fragile]) as machine:
        for cents in (1, 2, 3):
            await machine.emit("order.placed", {"cents": cents})
        stuck = (await machine.projections.get("fragile")).state
        await machine.advance("5m")
        failing = await machine.projections.status("fragile")

        broken = False
        await machine.projections.resume("fragile")
        await machine.advance("1m")
        after = await machine.projections.get("fragile")
        status = await machine.projections.status("fragile")

    assert stuck == {"count": 1}
    assert failing.status == "error"
    assert after.state == {"count": 3}
    assert status.status == "active"


async def test_what_many_other_partitions_have_saved_meanwhile_is_passed_over():
    """More than one look goes over."""
    broken = True

    @projection("counts", events=["order.*"], initial_state={"count": 0}, partition_key="data.customer")
    def counts(state, event):
        if broken and event.data["customer"] == "ada":
            raise ValueError("broken")
        return {"count": state["count"] + 1}

    async with time_machine(projections=[counts]) as machine:
        await machine.emit("order.placed", {"customer": "ada"})
        for _ in range(8):
            placed = [{"name": "order.placed", "data": {"customer": "bob"}}] * 100
            await machine.client.emit_batch(placed)
            await machine.settle()
        broken = False
        await machine.projections.resume("counts")
        await machine.advance("1h")
        for customer in ("ada", "bob", "eve"):
            await machine.emit("order.placed", {"customer": customer})
        states = [(await machine.projections.get("counts", partition=each)).state for each in ("ada", "bob", "eve")]

    assert states == [{"count": 2}, {"count": 801}, {"count": 1}]


async def test_two_projections_of_one_name_are_refused():
    with raises(InvalidArgument, match="totals"):
        async with time_machine(projections=[totals, totals]):
            pass


async def test_a_consumer_of_a_group_has_handled_the_events_of_each_moment():
    handled = []

    async def consume(client: Client) -> None:
        async for event in client.subscribe("order.*", group="billing", ack="manual"):
            handled.append((event.name, event.data["cents"]))
            await event.ack()

    async with time_machine([dunning], consumers=[consume]) as machine:
        await machine.emit("order.placed", {"cents": 500})
        assert handled == [("order.placed", 500)]

        await machine.advance("14d")
        assert handled == [("order.placed", 500), ("order.reminded", 500)]
        group = await machine.client.consumer_groups.get("billing")

    assert (group.lag, group.in_flight, group.dead_letters) == (0, 0, 0)


async def test_redeliveries_and_dead_letters_come_at_their_time():
    attempts = []

    async def consume(client: Client) -> None:
        async for event in client.subscribe("order.*", group="billing", ack="manual"):
            attempts.append((event.data["cents"], event.attempt))
            if event.data["cents"] == 1:
                await event.nak(delay="1h")
            # What is neither acked nor rejected comes again after the group's ack_wait and its delay.

    async with time_machine(consumers=[consume]) as machine:
        await machine.client.emit_batch([{"name": "order.placed", "data": {"cents": cents}} for cents in (1, 2)])
        await machine.settle()
        assert attempts == [(1, 1), (2, 1)]
        await machine.advance("59m")
        assert attempts == [(1, 1), (2, 1), (2, 2), (2, 3), (2, 4)]
        await machine.advance("1m")
        assert attempts[-1] == (1, 2)
        await machine.advance("1d")
        dead = [each.event_id async for each in machine.client.consumer_groups.dead_letters("billing")]

    assert attempts.count((1, 4)) == 1
    assert len(dead) == 2


@pytest.mark.parametrize("transport", ["websocket", "grpc", "auto"])
async def test_a_subscription_and_a_group_need_no_socket(transport):
    seen, handled = [], []

    async def watch(client: Client) -> None:
        async with client.subscribe("order.*", transport=transport) as events:
            async for event in events:
                seen.append(event.data)  # noqa: PERF401 a subscription has no end

    async def consume(client: Client) -> None:
        async for event in client.subscribe("order.*", group="g", transport=transport):
            handled.append(event.data)  # noqa: PERF401 as above

    async with time_machine(consumers=[watch, consume]) as machine:
        for number in range(3):
            await machine.emit("order.placed", number)
            assert (seen[-1], handled[-1]) == (number, number)
        replayed = [event.data async for event in _first(machine.client.subscribe("order.*", after=0), 3)]

    assert seen == handled == replayed == [0, 1, 2]


async def _first(subscription, count):
    async with subscription:
        for _ in range(count):
            yield await anext(subscription)


async def test_what_a_consumer_starts_is_done_when_the_machine_settles():
    @function("receipt", on="receipt.wanted")
    async def receipt(ctx: Context):
        return ctx.event.data

    async def consume(client: Client) -> None:
        async for event in Client().subscribe("order.*", group="receipts"):
            result = await client.emit_sync("receipt.wanted", event.data, timeout="20s")
            await client.emit("order.receipted" if event.name == "order.placed" else "receipted", result.output)

    async with time_machine([receipt], projections=[totals], consumers=[consume]) as machine:
        await machine.emit("order.placed", {"cents": 7})
        found = await machine.projections.get("totals")
        outputs = [run.output for run in await machine.runs(receipt)]

    assert outputs == [{"cents": 7}, {"cents": 7}]
    assert found.state == {"count": 2, "cents": 14}


async def test_a_failure_of_a_consumer_is_raised_where_the_machine_settles():
    async def consume(client: Client) -> None:
        async for event in client.subscribe("order.*"):
            raise ValueError(event.name)

    async with time_machine(consumers=[consume]) as machine:
        with raises(ValueError, match=r"order\.placed"):
            await machine.emit("order.placed")


async def test_a_consumer_may_start_functions_before_its_first_event():
    @function("receipt", on="receipt.wanted")
    async def receipt(ctx: Context):
        return "the first"

    outputs = []

    async def consume(client: Client) -> None:
        outputs.append((await client.emit_sync("receipt.wanted", timeout="1m")).output)
        async for event in client.subscribe("order.*"):
            outputs.append(event.data)  # noqa: PERF401 a subscription has no end

    async with time_machine([receipt], consumers=[consume]) as machine:
        await machine.emit("order.placed", "the second")

    assert outputs == ["the first", "the second"]


async def test_what_the_test_leaves_unread_or_waits_for_stops_nothing():
    handled = []

    @function("naps", on="nap.wanted")
    async def naps(ctx: Context):
        await ctx.step.sleep("nap", "1d")
        return "rested"

    async def consume(client: Client) -> None:
        later = client.subscribe("later.*")
        async for event in client.subscribe("order.*"):
            handled.append(event.data)  # noqa: PERF401 as above
        await later.close()

    async with (
        time_machine([naps], consumers=[consume]) as machine,
        machine.client.subscribe("order.*", after=0) as mine,
    ):
        await machine.emit("order.placed", 0)
        assert (await anext(mine)).data == 0
        run = await machine.emit("nap.wanted")
        output = asyncio.create_task(machine.client.runs.wait(run.id, timeout="1m"))
        for number in (1, 2):
            await machine.emit("order.placed", number)
        await machine.advance("1d")
        assert (await output).output == "rested"

    assert handled == [0, 1, 2]


async def test_a_consumer_that_works_after_its_subscription_is_waited_for():
    done = []

    async def consume(client: Client) -> None:
        async with client.subscribe("order.*") as events:
            await anext(events)
        await asyncio.to_thread(lambda: None)
        for _ in range(1000):
            await asyncio.sleep(0)
        done.append(True)

    async with time_machine(consumers=[consume]) as machine:
        await machine.emit("order.placed")
        assert done == [True]


async def test_a_consumer_that_does_something_else_is_named():
    async def consume(client: Client) -> None:
        await asyncio.Event().wait()

    with raises(NotSettled, match="consume"):
        async with time_machine(consumers=[consume], settle_within="100ms"):
            pass
