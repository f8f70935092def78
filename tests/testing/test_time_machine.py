"""The time machine: the real engine in the test's process, on a clock that the test moves."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest import raises

from ironflow import (
    CancelOn,
    Concurrency,
    Debounce,
    InvokeError,
    InvokeTimeoutError,
    NonRetryableError,
    Retry,
    Throttle,
    WaitTimeoutError,
    event,
    function,
    invoke,
    sleep,
)
from ironflow.base.errors import InvalidArgument
from ironflow.engine.errors import StepNotFound
from ironflow.features.controls import contract as controls
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.jobs import contract as jobs
from ironflow.sdk.client.views.run_results import NoRunStarted
from ironflow.server.settings import Settings
from ironflow.testing import NotSettled, time_machine

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def after(**span):
    return NEW_YEAR + timedelta(**span)


@function("trial", on="trial.started", cancel_on=[CancelOn("trial.cancelled", match="user")])
async def trial(ctx, data: dict):
    await ctx.step.run("welcome", lambda: f"welcome, {data['user']}")
    await ctx.step.sleep("trial", "30d")
    return await ctx.step.run("bill", lambda: f"{data['user']} pays")


async def test_thirty_days_pass_in_a_moment_and_the_run_goes_on_when_they_are_over():
    async with time_machine(functions=[trial]) as machine:
        run = await machine.emit("trial.started", {"user": "ada"})
        assert (run.status, run.state, run.reason) == ("paused", "waiting", "sleep")
        assert run.step_output("welcome") == "welcome, ada"

        begun = time.monotonic()
        await machine.advance("29d")
        assert run.state == "waiting"
        await machine.advance("1d")
        took_s = time.monotonic() - begun

    assert (run.status, run.output) == ("completed", "ada pays")
    assert run.info.ended_at == after(days=30)
    assert (run.step("bill").started_at, run.step("bill").ended_at) == (after(days=30), after(days=30))
    assert took_s < 5


async def test_time_stops_at_each_moment_at_which_something_is_due():
    seen = []

    @function("ticker", cron="0 */6 * * *")
    async def ticker(ctx):
        await ctx.step.sleep("nap", "90m")
        seen.append(ctx.run.started_at)

    async with time_machine(functions=[ticker]) as machine:
        await machine.advance("1d")
        runs = await machine.runs("ticker")

    assert seen == [after(hours=hours, minutes=30) for hours in (7, 13, 19)]
    assert [run.info.created_at for run in runs] == [after(hours=hours) for hours in (6, 12, 18, 24)]
    assert [run.state for run in runs] == ["completed", "completed", "completed", "waiting"]


async def test_a_failed_attempt_is_followed_by_the_next_when_its_pause_is_over():
    attempts = []

    @function("flaky", on="x", retry=Retry(max_attempts=3, initial_delay="1h", backoff_factor=3, max_delay="1d"))
    async def flaky(ctx):
        attempts.append(ctx.run.started_at)
        return await ctx.step.run("try", fail_until_third)

    def fail_until_third():
        if len(attempts) < 3:
            raise ConnectionError("not yet")
        return "at last"

    async with time_machine(functions=[flaky]) as machine:
        run = await machine.emit("x")
        assert (run.reason, run.attempt, run.error and run.error.message) == ("retry", 1, "not yet")
        await machine.advance("1d")

    assert attempts == [NEW_YEAR, after(hours=1), after(hours=4)]
    assert (run.output, run.attempt) == ("at last", 3)


async def test_when_attempts_are_used_up_the_compensations_have_run():
    @function("saga", on="x", retry=Retry(max_attempts=2, initial_delay="1h"))
    async def saga(ctx):
        for name in ("flight", "hotel"):
            await ctx.step.run(name, lambda: "booked")
            ctx.step.compensate(name, lambda: "cancelled")
        raise ConnectionError("no car")

    async with time_machine(functions=[saga]) as machine:
        run = await machine.emit("x")
        assert run.compensations == []
        await machine.advance("1h")

    assert (run.status, run.compensations) == ("failed", ["hotel", "flight"])


async def test_an_event_ends_a_wait_and_another_cancels_a_run():
    @function("order", on="order.placed")
    async def order(ctx):
        return (await ctx.step.wait_for_event("payment", event="order.paid", match="id", timeout="3d")).data["by"]

    async with time_machine(functions=[trial, order]) as machine:
        one = await machine.emit("order.placed", {"id": 1})
        two = await machine.emit("order.placed", {"id": 2})
        ada = await machine.emit("trial.started", {"user": "ada"})
        await machine.advance("1d")
        await machine.emit("order.paid", {"id": 2, "by": "card"})
        await machine.emit("trial.cancelled", {"user": "ada"})
        assert (one.state, two.output, ada.status) == ("waiting", "card", "cancelled")
        await machine.advance("2d")

    assert (one.status, one.error and one.error.code) == ("failed", "WAIT_TIMEOUT")
    assert one.info.ended_at == after(days=3)


async def test_gathered_events_start_one_run_when_they_have_paused():
    @function("index", on="page.saved", debounce=Debounce("10m", key="page"))
    async def index(ctx):
        return ctx.event.data["text"]

    async with time_machine(functions=[index]) as machine:
        await machine.emit("page.saved", {"page": 1, "text": "a"})
        await machine.advance("9m")
        await machine.emit("page.saved", {"page": 1, "text": "ab"})
        await machine.advance("9m")
        assert await machine.runs() == []
        await machine.advance("1m")
        (run,) = await machine.runs()

    assert (run.output, run.info.created_at) == ("ab", after(minutes=19))


async def test_throttled_and_limited_runs_wait_for_their_turn():
    @function("slow", on="slow", concurrency=Concurrency(1))
    async def slow(ctx):
        return ctx.run.started_at

    @function("few", on="few", throttle=Throttle(2, "1h"))
    async def few(ctx):
        return ctx.run.started_at

    async with time_machine(functions=[slow, few]) as machine:
        for _ in range(4):
            await machine.emit("few")
            await machine.emit("slow")
        assert [run.status for run in await machine.runs("slow")] == ["completed"] * 4
        assert [run.reason for run in await machine.runs("few")] == ["", "", "throttle", "throttle"]
        await machine.advance("1h")

        assert [run.info.ended_at for run in await machine.runs("few")] == [NEW_YEAR] * 2 + [after(hours=1)] * 2


async def test_an_invoked_function_and_its_timeout_take_their_time():
    @function("parent", on="x")
    async def parent(ctx):
        first = await ctx.step.invoke("child", "1h", timeout="2h")
        try:
            await ctx.step.invoke("child", "3h", timeout="2h")
        except InvokeError as error:
            return [first, error.cause]

    @function("child")
    async def child(ctx, nap: str):
        await ctx.step.sleep("nap", nap)
        return f"slept {nap}"

    async with time_machine(functions=[parent, child]) as machine:
        run = await machine.emit("x")
        await machine.advance("1d")
        children = await machine.runs("child")

    assert run.output == ["slept 1h", "invoke timed out"]
    assert run.info.ended_at == after(hours=3)
    assert [each.output for each in children] == ["slept 1h", "slept 3h"]


async def test_a_time_out_is_an_answer_that_the_handler_may_catch():
    @function("order", on="order.placed")
    async def order(ctx):
        ctx.step.compensate("reserve", lambda: "released")
        await ctx.step.run("reserve", lambda: "reserved")
        try:
            await ctx.step.wait_for_event("payment", event="order.paid", timeout="3d")
        except WaitTimeoutError as late:
            reminded = await ctx.step.wait_for_event("reminded", event="order.paid", timeout="1d", on_timeout=None)
            if ctx.event.data["strict"]:
                raise
            return [late.step_name, reminded]

    async with time_machine(functions=[order]) as machine:
        lenient = await machine.emit("order.placed", {"strict": False})
        strict = await machine.emit("order.placed", {"strict": True})
        await machine.advance("4d")

    assert (lenient.output, lenient.compensations) == (["payment", None], [])
    assert (strict.status, strict.error and strict.error.code) == ("failed", "WAIT_TIMEOUT")
    assert (strict.attempt, strict.compensations) == (1, ["reserve"])


async def test_an_invoked_function_that_takes_too_long_has_an_error_of_its_own():
    @function("parent", on="x")
    async def parent(ctx):
        try:
            await ctx.step.invoke("child", timeout="1h")
        except InvokeTimeoutError as error:
            return error.function_id

    @function("child")
    async def child(ctx):
        await ctx.step.sleep("nap", "2h")

    async with time_machine(functions=[parent, child]) as machine:
        run = await machine.emit("x")
        await machine.advance("1h")

    assert run.output == "child"


async def test_branches_sleep_together_and_go_on_when_they_can():
    ended = []

    @function("naps", on="x")
    async def naps(ctx):
        async def nap(hours, steps, index):
            await steps.sleep("nap", f"{hours}h")
            return await steps.run("after", lambda: ended.append(hours) or hours)

        return await ctx.step.map("naps", [3, 1, 2], nap)

    async with time_machine(functions=[naps]) as machine:
        run = await machine.emit("x")
        await machine.advance("3h")

    assert (run.output, ended) == ([3, 1, 2], [1, 2, 3])
    assert run.info.ended_at == after(hours=3)


async def test_branches_receive_their_events_in_whatever_order_they_come():
    @function("collect", on="x")
    async def collect(ctx):
        async def wait(name, steps, index):
            return (await steps.wait_for_event("w", event=f"{name}.done")).data

        return await ctx.step.map("all", ["a", "b", "c"], wait)

    async with time_machine(functions=[collect]) as machine:
        run = await machine.emit("x")
        for name in ("c", "a", "b"):
            await machine.advance("1m")
            await machine.emit(f"{name}.done", name)

    assert run.output == ["a", "b", "c"]


async def test_an_error_that_fails_fast_cancels_the_children_of_other_branches():
    @function("parent", on="x")
    async def parent(ctx):
        async def late(steps):
            await steps.sleep("nap", "1m")
            raise NonRetryableError("no")

        branches = [late, lambda s: s.invoke("child", timeout="1d"), lambda s: s.wait_for_event("w", event="e")]
        try:
            await ctx.step.parallel("p", branches)
        except NonRetryableError as error:
            await ctx.step.sleep("cool off", "1h")
            return error.message

    @function("child")
    async def child(ctx):
        await ctx.step.sleep("nap", "12h")

    async with time_machine(functions=[parent, child]) as machine:
        run = await machine.emit("x")
        await machine.advance("1m")
        (started,) = await machine.runs("child")
        assert (started.status, run.reason) == ("cancelled", "sleep")
        await machine.advance("1h")

    assert run.output == "no"


@pytest.mark.parametrize("comes", ["paid", "cancelled", "late", "settled"])
async def test_the_first_of_several_wins_and_the_rest_is_cancelled(comes: str):
    @function("order", on="order.placed")
    async def order(ctx):
        first = await ctx.step.wait_any(
            "outcome",
            paid=event("order.paid", match="id"),
            cancelled=event("order.cancelled", match="id", timeout="3h"),
            late=sleep("2h"),
            settled=invoke("settle", ctx.event.data["settle"], timeout="1d"),
        )
        await ctx.step.sleep("afterwards", "1d")
        return [first.name, first.value if first.name in ("late", "settled") else first.value.data["id"]]

    @function("settle")
    async def settle(ctx, after: str):
        await ctx.step.sleep("nap", after)
        return "settled"

    async with time_machine(functions=[order, settle]) as machine:
        run = await machine.emit("order.placed", {"id": 7, "settle": "1h" if comes == "settled" else "5h"})
        if comes in ("paid", "cancelled"):
            await machine.emit(f"order.{comes}", {"id": 7})
        await machine.advance("2d")
        (child,) = await machine.runs("settle")

    assert run.output == [comes, {"late": None, "settled": "settled"}.get(comes, 7)]
    assert child.status == ("completed" if comes == "settled" else "cancelled")


async def test_the_rest_of_the_first_of_several_may_be_left_to_go_on():
    @function("order", on="x")
    async def order(ctx):
        first = await ctx.step.wait_any("any", rest="leave", late=sleep("1h"), settled=invoke("settle", timeout="1d"))
        await ctx.step.sleep("afterwards", "5h")
        return first.name

    @function("settle")
    async def settle(ctx):
        await ctx.step.sleep("nap", "2h")

    async with time_machine(functions=[order, settle]) as machine:
        run = await machine.emit("x")
        await machine.advance("1d")
        (child,) = await machine.runs("settle")

    assert (run.output, child.status) == ("late", "completed")
    assert run.info.ended_at == after(hours=6)


async def test_a_signal_that_comes_while_the_run_sleeps_before_its_wait_is_seen():
    @function("order", on="x")
    async def order(ctx):
        await ctx.step.sleep("nap", "1h")
        old = await ctx.step.wait_for_event("old", event="go", look_back="execution", timeout="1h", on_timeout=None)
        return [old, (await ctx.step.wait_for_event("w", event="go")).data]

    async with time_machine(functions=[order]) as machine:
        run = await machine.emit("x")
        await machine.emit("go", 1)
        await machine.advance("2h")

    assert run.output == [None, 1]


async def test_an_event_that_comes_between_two_attempts_of_the_step_before_the_wait_is_seen():
    attempts = []

    @function("order", on="x", retry=Retry(max_attempts=2, initial_delay="1h"))
    async def order(ctx):
        await ctx.step.run("ask", ask)
        return (await ctx.step.wait_for_event("answer", event="answer")).data

    def ask():
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError("no line")

    async with time_machine(functions=[order]) as machine:
        run = await machine.emit("x")
        await machine.emit("answer", "yes")
        await machine.advance("1h")

    assert run.output == "yes"


async def test_a_chaser_is_cancelled_by_an_answer_that_came_before_it_started():
    @function("ask", on="asked")
    async def ask(ctx):
        await ctx.step.sleep("think", "1h")
        started = await ctx.step.invoke_async("chase", ctx.event.data)
        await ctx.step.wait_for_event("answer", event="answered", match="id")
        return started.run_id

    @function("chase", cancel_on=[CancelOn("answered", match="id")])
    async def chase(ctx):
        await ctx.step.sleep("patience", "1d")
        return "reminded"

    async with time_machine(functions=[ask, chase]) as machine:
        early, other = await machine.emit("asked", {"id": 1}), await machine.emit("asked", {"id": 2})
        await machine.emit("answered", {"id": 1})
        await machine.advance("2d")
        chasers = {run.id: run.status for run in await machine.runs("chase")}

    assert chasers[early.output] == "cancelled"
    assert other.state == "waiting"
    assert sorted(chasers.values()) == ["cancelled", "completed"]


async def test_a_chaser_is_not_cancelled_by_what_its_parent_has_waited_for_before():
    @function("ask", on="asked")
    async def ask(ctx):
        await ctx.step.wait_for_event("first", event="answered")
        await ctx.step.invoke_async("chase", ctx.event.data)

    @function("chase", cancel_on=[CancelOn("answered", match="id")])
    async def chase(ctx):
        await ctx.step.sleep("patience", "1d")

    async with time_machine(functions=[ask, chase]) as machine:
        await machine.emit("asked", {"id": 1})
        await machine.emit("answered", {"id": 1})
        await machine.advance("1d")
        (chaser,) = await machine.runs("chase")

    assert chaser.status == "completed"


async def test_branches_within_branches_may_sleep_wait_and_invoke():
    @function("spread", on="x")
    async def spread(ctx):
        async def nap(steps, index):
            await steps.sleep("nap", "1h")
            return await steps.run("after", lambda: f"slept {index}")

        async def inner(steps):
            return await steps.map("naps", [0, 1], lambda item, s, index: nap(s, index))

        async def waiting(steps):
            event = await steps.wait_for_event("w", event="go", look_back="run")
            return event.data

        branches = [inner, waiting, lambda steps: steps.invoke("child", "1m", timeout="1d")]
        return await ctx.step.parallel("all", branches, on_error="collect")

    @function("child")
    async def child(ctx, nap: str):
        await ctx.step.sleep("nap", nap)
        return f"slept {nap}"

    async with time_machine(functions=[spread, child]) as machine:
        run = await machine.emit("x")
        await machine.client.emit("go", {"by": "hand"})
        await machine.advance("1d")

    assert run.output == [["slept 0", "slept 1"], {"by": "hand"}, "slept 1m"]


async def test_a_plain_handler_works_in_its_thread():
    @function("plain", on="x")
    def plain(ctx):
        ctx.step.sleep("nap", "1d")
        return ctx.step.map("all", [1, 2, 3], lambda item, steps, index: steps.run("double", lambda: item * 2))

    async with time_machine(functions=[plain]) as machine:
        run = await machine.emit("x")
        await machine.advance("1d")

    assert run.output == [2, 4, 6]


async def test_a_lost_lease_is_given_to_the_worker_when_its_time_is_over():
    @function("f", on="x")
    async def f(ctx):
        return ctx.run.id

    async with time_machine(functions=[f]) as machine:
        await machine.client.call(
            jobs.register, jobs.RegisterWorker(worker="dies", function_ids=["f"], max_concurrent_jobs=1)
        )
        emitted = await machine.client.emit("x")
        taken = await machine.client.call(jobs.poll, jobs.PollJobs(worker="dies", available=1, acked=True))
        assert [job.run_id for job in taken.jobs] == emitted.run_ids
        (run,) = await machine.runs()

        await machine.advance("89s")
        assert run.status == "running"
        await machine.advance("1s")

    assert (run.status, run.output) == ("completed", run.id)


async def test_a_run_goes_on_while_another_one_is_still_at_work():
    come = asyncio.Event()

    @function("waits", on="x")
    async def waits(ctx):
        await ctx.step.run("wait", come.wait)

    @function("brings", on="y")
    async def brings(ctx):
        await ctx.step.run("bring", come.set)

    async with time_machine(functions=[waits, brings]) as machine:
        both = asyncio.gather(machine.client.emit("x"), machine.client.emit("y"))
        await both
        await machine.settle()

        assert [run.status for run in await machine.runs()] == ["completed", "completed"]


async def test_a_handler_that_does_not_come_to_an_end_is_named():
    @function("stuck", on="x")
    async def stuck(ctx):
        await asyncio.Event().wait()

    async with time_machine(functions=[stuck], settle_within="50ms") as machine:
        with raises(NotSettled, match=r"nothing had happened in run_\w+ of stuck"):
            await machine.emit("x")


async def test_an_event_that_starts_nothing_is_no_error_until_its_run_is_asked_for():
    async with time_machine(functions=[trial]) as machine:
        run = await machine.emit("without.trigger")

        with raises(NoRunStarted, match=r"'without.trigger' started no run"):
            _ = run.status
        with raises(NoRunStarted):
            _ = run.steps


async def test_a_function_without_triggers_is_invoked():
    @function("settle")
    async def settle(ctx, amount: int):
        return amount * 2

    async with time_machine(functions=[settle]) as machine:
        assert (await machine.invoke(settle, 4)).output == 8


async def test_what_the_client_changes_is_seen_when_the_world_has_settled():
    async with time_machine(functions=[trial]) as machine:
        run = await machine.emit("trial.started", {"user": "ada"})
        await machine.client.runs.cancel(run.id, reason="changed her mind")
        assert run.state == "waiting"
        await machine.settle()

        assert run.status == "cancelled"


async def test_a_run_that_had_ended_is_followed_when_it_goes_on_after_all():
    prices = [ConnectionError("down"), ConnectionError("down"), ConnectionError("down"), 7]

    @function("f", on="x", retry=Retry(initial_delay="1s"))
    async def f(ctx):
        return await ctx.step.run("price", price)

    def price():
        found = prices.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async with time_machine(functions=[f]) as machine:
        run = await machine.emit("x")
        await machine.advance("1m")
        assert (run.status, run.attempt) == ("failed", 3)
        await machine.client.call(controls.resume, controls.ResumeRun(run_id=run.id))
        await machine.settle()

        assert (run.status, run.output, run.step_output("price")) == ("completed", 7, 7)


async def test_the_worker_stays_registered_while_time_passes():
    async with time_machine(functions=[trial]) as machine:
        await machine.advance("400d")

        assert [each.last_heartbeat async for each in machine.client.workers.list()] == [machine.now]
        run = await machine.emit("trial.started", {"user": "ada"})
        assert run.state == "waiting"


async def test_time_begins_at_start_and_moves_only_forward():
    start = datetime(2030, 5, 1, 12, tzinfo=UTC)
    async with time_machine(functions=[trial], start=start) as machine:
        assert machine.now == start
        await machine.advance_to(datetime(2030, 6, 1, tzinfo=UTC))
        assert machine.now == datetime(2030, 6, 1, tzinfo=UTC)

        with raises(InvalidArgument, match="2030-06-01"):
            await machine.advance_to(start)
        with raises(InvalidArgument, match="time zone"):
            await machine.advance_to(datetime(2031, 1, 1))  # noqa: DTZ001 - that is the mistake


async def test_settings_are_those_of_the_server():
    @function("f", on="x")
    async def f(ctx):
        raise ConnectionError("down")

    async with time_machine(functions=[f], settings=Settings(max_attempts=1)) as machine:
        assert (await machine.emit("x")).status == "failed"


async def test_nothing_is_left_of_it_also_when_the_test_fails():
    files: list[Path] = []

    async def failing_test():
        async with time_machine(functions=[trial]) as machine:
            await machine.emit("trial.started", {"user": "ada"})
            files.append(Path(machine.database))
            assert files[0].exists()
            raise ZeroDivisionError

    with raises(ZeroDivisionError):
        await failing_test()
    assert not files[0].parent.exists()


async def test_where_there_is_no_place_in_memory_it_is_on_the_disk(monkeypatch, tmp_path):
    monkeypatch.setattr("ironflow.testing.machine._MEMORY", tmp_path / "nowhere")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async with time_machine(functions=[trial]) as machine:
        assert Path(machine.database).is_relative_to(tmp_path)
        assert (await machine.emit("trial.started", {"user": "ada"})).state == "waiting"


async def test_two_worlds_stand_beside_each_other():
    async with time_machine(functions=[trial]) as one, time_machine(functions=[trial]) as two:
        await one.emit("trial.started", {"user": "ada"})
        await one.advance("30d")

        assert (len(await one.runs()), len(await two.runs())) == (1, 0)
        assert two.now == NEW_YEAR


async def test_the_repr_of_a_run_shows_its_state():
    @function("f", on="x")
    async def f(ctx):
        raise NonRetryableError("no card")

    async with time_machine(functions=[f]) as machine:
        run, none = await machine.emit("x"), await machine.emit("y")

        assert repr(run) == f"<TimeMachineRun {run.id} of f, failed, no card>"
        assert repr(none) == "<TimeMachineRun of event 'y': none>"
        with raises(StepNotFound, match="Its steps: none"):
            run.step("charge")


@pytest.mark.parametrize(("wrong", "message"), [([3], "is no function"), ([trial, trial], "two functions")])
async def test_what_is_no_function_or_comes_twice_is_refused(wrong, message):
    with raises(InvalidFunction, match=message):
        async with time_machine(functions=wrong):
            raise AssertionError("it was opened")


async def test_a_step_has_the_kind_of_the_method_that_made_it():
    @function("child")
    async def child(ctx):
        return 1

    @function("kinds", on="x")
    async def kinds(ctx):
        await ctx.step.run("body", lambda: 1)
        await ctx.step.sleep("nap", "1m")
        await ctx.step.invoke("child", 1)
        await ctx.step.wait_for_event("answer", event="y", timeout="1h")

    async with time_machine([kinds, child]) as machine:
        run = await machine.emit("x")
        await machine.advance("1m")
        await machine.emit("y")

    assert run.status == "completed"
    assert [step.kind for step in run.steps] == ["run", "sleep", "invoke", "wait_for_event"]
