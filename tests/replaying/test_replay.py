"""Handlers replayed over records of runs that the real engine made."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from ironflow import (
    InvokeError,
    NonRetryableError,
    Retry,
    StepError,
    StepTimeoutError,
    WaitTimeoutError,
    event,
    function,
    sleep,
)
from ironflow.base.errors import InvalidArgument
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunNotFound
from ironflow.sdk.replaying.record import Record
from ironflow.sdk.replaying.replay import replay_record
from ironflow.testing import ReplayDiverged, Replayed, replay, time_machine

BODIES: list[str] = []


def body(name, value=None):
    def run():
        BODIES.append(name)
        return name if value is None else value

    return run


def order(handler, **settings):
    return function("process-order", on="order.placed", **settings)(handler)


@asynccontextmanager
async def recorded(handler, data=None, *, advance="", functions=(), emit=(), **settings):
    """A run of `handler` on a time machine: `replayed(other, ...)` replays it with another handler."""
    before = order(handler, **settings)
    async with time_machine(functions=[before, *functions]) as machine:
        run = await machine.emit("order.placed", data or {"id": 7})
        for name, more in emit:
            await machine.emit(name, more)
        if advance:
            await machine.advance(advance)
        BODIES.clear()

        async def replayed(other=handler, *, more=None, **options) -> Replayed:
            return await replay(order(other, **(more or settings)), run.id, client=machine.client, **options)

        yield SimpleNamespace(run=run, replayed=replayed, machine=machine)


def kinds(replayed):
    return [(each.kind.value, each.step) for each in replayed.divergences]


async def simple(ctx):
    reserved = await ctx.step.run("reserve", body("reserve"))
    await ctx.step.sleep("settle", "1h")
    charged = await ctx.step.run("charge", body("charge"))
    return [reserved, charged]


async def test_an_untouched_run_fits_and_no_body_runs():
    async with recorded(simple, advance="1h") as made:
        found = await made.replayed()

    assert (found.verdict, found.end, found.output, found.asked) == ("fits", "completed", ["reserve", "charge"], 3)
    assert not found.other_output
    assert BODIES == []
    found.check()


async def test_a_renamed_step_is_a_new_one_before_a_recorded_one():
    async def renamed(ctx):
        await ctx.step.run("reserve", body("reserve"))
        await ctx.step.sleep("settle", "1h")
        return await ctx.step.run("charge-card", body("charge-card"))

    async with recorded(simple, advance="1h") as made:
        found = await made.replayed(renamed)

    assert (found.verdict, kinds(found)) == ("diverges", [("new_step", "charge-card")])
    assert BODIES == []
    with pytest.raises(ReplayDiverged, match="'charge-card', which is not recorded, while step 'charge' is recorded"):
        found.check()


async def test_a_removed_step_is_not_asked_for():
    async def removed(ctx):
        await ctx.step.sleep("settle", "1h")
        return ["reserve", await ctx.step.run("charge", body("charge"))]

    async with recorded(simple, advance="1h") as made:
        found = await made.replayed(removed)

    assert kinds(found) == [("not_asked", "reserve")]


async def test_another_type_under_the_same_name():
    async def changed(ctx):
        await ctx.step.run("reserve", body("reserve"))
        await ctx.step.run("settle", body("settle"))

    async with recorded(simple, advance="1h") as made:
        found = await made.replayed(changed)

    assert kinds(found) == [("other_type", "settle")]
    assert found.divergences[0].message == "Step 'settle' is recorded as sleep, and the code takes it for run."


async def test_another_outcome():
    async def refuses(ctx):
        await simple(ctx)
        raise ValueError("no")

    async with recorded(simple, advance="1h") as made:
        found = await made.replayed(refuses)

    assert kinds(found) == [("other_outcome", "")]
    assert found.error == "no"


async def test_a_run_under_way_fits_where_it_waits_and_a_step_after_the_end_of_the_record_is_no_divergence():
    async def longer(ctx):
        done = await simple(ctx)
        await ctx.step.run("mail", body("mail"))
        return done

    async with recorded(simple) as made:
        waiting = await made.replayed()
        await made.machine.advance("1h")
        longer_now = await made.replayed(longer)

    assert (waiting.verdict, waiting.end, waiting.next_steps) == ("fits", "waits", ("settle",))
    assert (longer_now.verdict, longer_now.end, longer_now.next_steps) == ("fits", "goes_on", ("mail",))


async def test_a_run_is_replayed_as_it_was_at_a_time():
    async with recorded(simple, advance="1h") as made:
        client, run_id = made.machine.client, made.run.id
        run = await client.call(runs.get, runs.GetRun(id=run_id))
        record = Record(run, (await client.call(runs.steps, runs.GetRunSteps(run_id=run_id))).steps, None)
    (slept,) = [step for step in record.steps if step.step_type.value == "sleep"]
    ended = record.run.ended_at
    assert ended is not None
    assert slept.started_at is not None
    before = record.at(slept.started_at + timedelta(minutes=1))

    found = await replay_record(order(simple), before)

    assert (found.verdict, found.end, found.next_steps) == ("fits", "waits", ("settle",))
    assert record.at(ended) == record
    assert before.end.status == "running"
    assert [step.status for step in before.steps if step.step_id == slept.step_id] == ["sleeping"]
    assert record.at(record.run.created_at - timedelta(seconds=1)).steps == []


async def test_a_wait_of_a_run_under_way_that_the_code_no_longer_has():
    async def hasty(ctx):
        return await ctx.step.run("reserve", body("reserve"))

    async with recorded(simple) as made:
        found = await made.replayed(hasty)

    assert kinds(found) == [("not_asked", "settle")]


async def test_caught_failures_and_waits_timed_out_are_seen_again():
    def refuse():
        raise NonRetryableError("declined")

    async def careful(ctx):
        reason = ""
        try:
            await ctx.step.run("charge", refuse)
        except StepError as error:
            reason = str(error)
        try:
            await ctx.step.wait_for_event("paid", event="order.paid", timeout="1h")
        except WaitTimeoutError:
            return await ctx.step.run("cancel", body("cancel", reason))

    async with recorded(careful, advance="1h") as made:
        found = await made.replayed()

    assert (found.verdict, found.output) == ("fits", made.run.output)
    assert "declined" in found.output


async def test_a_failed_run_with_its_compensations():
    def refuse():
        raise NonRetryableError("declined")

    async def saga(ctx):
        await ctx.step.run("reserve", body("reserve"))
        ctx.step.compensate("reserve", body("release"))
        await ctx.step.run("charge", refuse)

    async def forgets(ctx):
        await ctx.step.run("reserve", body("reserve"))
        await ctx.step.run("charge", refuse)

    async def catches(ctx):
        try:
            await saga(ctx)
        except StepError:
            return "well"

    async with recorded(saga, retry=Retry(max_attempts=1)) as made:
        same = await made.replayed()
        without = await made.replayed(forgets)
        mended = await made.replayed(catches)

    assert (made.run.status, same.verdict, same.end, BODIES) == ("failed", "fits", "failed", [])
    assert kinds(without) == [("not_asked", "compensate:reserve")]
    assert kinds(mended) == [("other_outcome", "")]


async def test_the_steps_of_compensations_are_not_asked_for():
    def refuse():
        raise NonRetryableError("declined")

    async def saga(ctx):
        async def back():
            await ctx.step.run("a: refund", body("refund"))
            await ctx.step.sleep("a day", "1d")

        await ctx.step.run("reserve: all", body("reserve"))
        ctx.step.compensate("reserve: all", back)
        await ctx.step.run("charge", refuse)

    async with recorded(saga, retry=Retry(max_attempts=1)) as made:
        undoing = await made.replayed()
        await made.machine.advance("2d")
        undone = await made.replayed()

    assert made.run.status == "failed"
    assert [(each.verdict, kinds(each)) for each in (undoing, undone)] == [("fits", [])] * 2


async def test_branches_alternatives_and_invoked_functions():
    @function("price")
    async def price(ctx, data):
        return data * 2

    async def wide(ctx):
        priced = await ctx.step.invoke("price", 21)
        both = await ctx.step.parallel(
            "both", [lambda s: s.run("left", body("left")), lambda s: s.sleep("right", "5m")]
        )
        first = await ctx.step.wait_any("reply", paid=event("order.paid"), late=sleep("3d"))
        return [priced, both, first.name]

    async with recorded(wide, advance="1h", functions=[price]) as made:
        waiting = await made.replayed()
        await made.machine.emit("order.paid", {})
        ended = await made.replayed()

    assert (waiting.verdict, waiting.end) == ("fits", "waits")
    assert (ended.verdict, ended.output) == ("fits", made.run.output)
    assert ended.output[0] == 42


async def test_a_plain_handler():
    def plain(ctx):
        ctx.step.run("reserve", body("reserve"))
        return ctx.step.run("charge", body("charge"))

    def renamed(ctx):
        ctx.step.run("hold", body("hold"))
        return ctx.step.run("charge", body("charge"))

    async with recorded(plain) as made:
        same, other = await made.replayed(), await made.replayed(renamed)
        stopped = await made.replayed(until="charge")

    assert (same.verdict, other.verdict, BODIES) == ("fits", "diverges", [])
    assert (stopped.verdict, stopped.end, stopped.asked) == ("fits", "stopped", 2)


async def test_until_stops_at_a_step_and_a_real_step_runs_its_body():
    async with recorded(simple, advance="1h") as made:
        stopped = await made.replayed(until="settle")
        assert (stopped.verdict, stopped.end, stopped.asked, BODIES) == ("fits", "stopped", 2, [])
        real = await made.replayed(run_steps=["charge"])

    assert BODIES == ["charge"]
    assert [(each.name, each.output, each.recorded) for each in real.real] == [("charge", "charge", "charge")]
    assert (real.verdict, real.output) == ("fits", ["reserve", "charge"])


async def test_secrets_are_placeholders_unless_they_are_given():
    @function("process-order", on="order.placed", secrets=["KEY"])
    async def using(ctx):
        BODIES.append(ctx.secrets.get("KEY"))
        return await ctx.step.run("charge", body("charge"))

    async def plain(ctx):
        return await ctx.step.run("charge", body("charge"))

    async with recorded(plain) as made:
        await replay(using, made.run.id, client=made.machine.client)
        await replay(using, made.run.id, client=made.machine.client, secrets={"KEY": "k-123"})

    assert BODIES == ["<secret KEY>", "k-123"]


async def test_redacted_payloads_leave_a_run_undecided_when_the_code_needs_them():
    async def reads(ctx):
        reserved = await ctx.step.run("reserve", body("reserve", {"table": 12}))
        return reserved["table"]

    async def reads_not(ctx):
        await ctx.step.run("reserve", body("reserve", {"table": 12}))

    async with recorded(reads) as made:
        await made.machine.client.runs.redact(made.run.id)
        needs, needs_not = await made.replayed(), await made.replayed(reads_not)

    assert (needs.verdict, needs_not.verdict) == ("undecided", "fits")
    assert needs.reason == (
        "the record lacks its event (redacted), the output of reserve (redacted), "
        "and the code went another way without it"
    )
    needs.check()


async def test_another_output_is_shown_and_is_no_divergence():
    async def other(ctx):
        await simple(ctx)
        return "other"

    async with recorded(simple, advance="1h") as made:
        found = await made.replayed(other)

    assert (found.verdict, found.other_output) == ("fits", True)


async def test_what_cannot_be_replayed_is_refused():
    @function("another")
    async def another(ctx):
        pass

    async with recorded(simple) as made:
        with pytest.raises(InvalidArgument, match="is one of function 'process-order', not of 'another'"):
            await replay(another, made.run.id, client=made.machine.client)
        with pytest.raises(RunNotFound):
            await replay(another, "run_none", client=made.machine.client)


async def test_five_hundred_untouched_runs_fit():
    async def quick(ctx):
        return await ctx.step.run("charge", lambda: 1)

    async with time_machine(functions=[order(quick)]) as machine:
        await machine.client.emit_batch([{"name": "order.placed", "data": {"id": number}} for number in range(500)])
        await machine.settle()
        made = await machine.runs("process-order")
        found = [await replay(order(quick), run.id, client=machine.client) for run in made]

    assert [each.verdict for each in found] == ["fits"] * 500


async def test_a_step_that_ran_out_of_time_raises_the_same_error_again():
    async def slow(ctx):
        try:
            await ctx.step.run("crawl", asyncio.sleep, 60, timeout="5ms")
        except StepTimeoutError:
            return "late"

    async with recorded(slow) as made:
        found = await made.replayed()

    assert (made.run.output, found.verdict, found.output) == ("late", "fits", "late")


async def test_a_failure_of_an_invoked_function_is_seen_again():
    @function("price", retry=Retry(max_attempts=1))
    async def price(ctx, data):
        raise NonRetryableError("no price")

    async def asks(ctx):
        try:
            await ctx.step.invoke("price", 21)
        except InvokeError as error:
            return [error.function_id, error.cause, bool(error.child_run_id)]

    async with recorded(asks, functions=[price]) as made:
        found = await made.replayed()

    assert made.run.output == ["price", "no price", True]
    assert (found.verdict, found.output) == ("fits", made.run.output)


async def test_a_run_with_step_ids_of_another_kind_is_undecided():
    async with recorded(simple) as made:
        client, run_id = made.machine.client, made.run.id
        run = await client.call(runs.get, runs.GetRun(id=run_id))
        (step, *_) = (await client.call(runs.steps, runs.GetRunSteps(run_id=run_id))).steps
        found = await replay_record(order(simple), Record(run, [replace(step, step_id="4f2a")], None))

    assert (found.verdict, found.reason) == (
        "undecided",
        "the ids of its steps are those of another SDK, which this one cannot replay",
    )


async def test_a_run_without_its_event_is_undecided_when_the_code_needs_it():
    async def reads(ctx):
        return ctx.event.data["id"]

    async with recorded(reads) as made:
        run = await made.machine.client.call(runs.get, runs.GetRun(id=made.run.id))
        run = replace(run, input=None)
        found = await replay_record(order(reads), Record(run, [], None))

    assert found.reason == "the record lacks its event (deleted), and the code went another way without it"


async def test_a_run_whose_steps_are_not_recorded_for_time_travel_is_replayed():
    async with recorded(simple, advance="1h", recording_profile="run_lifecycle") as made:
        found = await made.replayed()

    assert (found.verdict, found.asked) == ("fits", 3)
