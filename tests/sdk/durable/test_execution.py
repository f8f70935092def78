"""Executions: replay over the memo, new steps, and how they end. No server, no worker."""

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ironflow.base.duration import InvalidDuration
from ironflow.base.errors import ValidationError
from ironflow.base.time import FixedClock, to_datetime
from ironflow.sdk.durable.job.report import Completed, Failed, Sleep, Yielded
from ironflow.sdk.wire import current_run
from tests.sdk.durable.jobs import EMITTED_AT, an_execution, outputs, raw


class Ran:
    """Counts how often bodies run."""

    def __init__(self):
        self.names = []

    def body(self, name, value=None):
        async def run():
            self.names.append(name)
            return value

        return run


async def completed(execution):
    outcome = await execution.run()
    assert isinstance(outcome, Completed), outcome
    return msgspec.json.decode(outcome.output)


async def failed(execution):
    outcome = await execution.run()
    assert isinstance(outcome, Failed), outcome
    return outcome.error


async def test_new_steps_run_in_order_and_are_recorded_with_their_outputs():
    ran = Ran()

    async def handler(ctx):
        a = await ctx.step.run("a", ran.body("a", {"n": 1}))
        b = await ctx.step.run("b", ran.body("b", [1, 2]))
        return {"a": a, "b": b}

    execution = an_execution(handler)

    assert await completed(execution) == {"a": {"n": 1}, "b": [1, 2]}
    assert outputs(execution) == {"r:a:0": {"n": 1}, "r:b:0": [1, 2]}
    assert [(row.type, row.status, row.name) for row in execution.rows] == [
        ("invoke", "completed", "a"),
        ("invoke", "completed", "b"),
    ]
    assert all(row.ended_at >= row.started_at and row.duration_ms >= 0 for row in execution.rows)


async def test_a_finished_step_is_never_run_again():
    ran = Ran()

    async def handler(ctx):
        first = await ctx.step.run("a", ran.body("a"))
        second = await ctx.step.run("a", ran.body("a again"))
        return [first, second, await ctx.step.run("b", ran.body("b", "new"))]

    execution = an_execution(handler, done={"r:a:0": "stored 0", "r:a:1": "stored 1"})

    assert await completed(execution) == ["stored 0", "stored 1", "new"]
    assert ran.names == ["b"]
    assert list(outputs(execution)) == ["r:b:0"]


async def test_a_step_recorded_without_output_gives_none():
    async def handler(ctx):
        return [await ctx.step.run("a", Ran().body("a"))]

    assert await completed(an_execution(handler, done={"r:a:0": None})) == [None]


async def test_bodies_take_arguments():
    async def handler(ctx):
        return await ctx.step.run("add", lambda a, b, *, c: a + b + c, 1, 2, c=3)

    assert await completed(an_execution(handler)) == 6


async def test_a_plain_body_runs_in_a_thread_with_the_runs_context():
    async def handler(ctx):
        return await ctx.step.run("where", lambda: [threading.current_thread().name, current_run.run_id.get()])

    thread, run_id = await completed(an_execution(handler, run_id="run_7"))

    assert thread != threading.current_thread().name
    assert run_id == "run_7"
    assert current_run.run_id.get() == ""


async def test_a_lambda_that_makes_a_coroutine_is_awaited_on_the_loop():
    async def fetch(number):
        return [number, threading.current_thread() is threading.main_thread()]

    async def handler(ctx):
        return await ctx.step.run("fetch", lambda: fetch(7))

    assert await completed(an_execution(handler)) == [7, True]


async def test_a_blocking_handler_uses_the_same_steps_without_await():
    def handler(ctx, data):
        doubled = ctx.step.run("double", lambda: data["n"] * 2)
        ctx.step.sleep("rest", "1m")
        return ctx.step.run("again", lambda: doubled * 2)

    first = an_execution(handler, data={"n": 1})
    assert isinstance(await first.run(), Yielded)
    assert outputs(first) == {"r:double:0": 2}

    assert await completed(an_execution(handler, data={"n": 1}, done={"r:double:0": 2, "r:rest:0": None})) == 4


async def test_blocking_handlers_do_not_wait_for_each_others_threads():
    def handler(ctx):
        return ctx.step.run("inner", lambda: "done")

    executions = [an_execution(handler, run_id=f"r{number}") for number in range(60)]

    async with asyncio.timeout(20):
        assert await asyncio.gather(*map(completed, executions)) == ["done"] * 60


async def test_the_first_result_of_a_step_is_what_a_replay_gives():
    async def handler(ctx):
        result = await ctx.step.run("make", lambda: {"pair": (1, 2), "at": EMITTED_AT, 3: "three"})
        result["pair"].append(3)
        return result

    execution = an_execution(handler)

    assert await completed(execution) == {"pair": [1, 2, 3], "at": "2026-01-01T00:00:00Z", "3": "three"}
    assert outputs(execution)["r:make:0"]["pair"] == [1, 2]


class Charge(msgspec.Struct):
    id: str
    amount: int


@dataclass
class Receipt:
    charge: Charge


async def test_a_body_with_a_return_annotation_gives_that_type_also_when_replayed():
    async def charge() -> Charge:
        return Charge("ch_1", 7)

    def receipts() -> list[Receipt]:
        return [Receipt(Charge("ch_2", 8))]

    async def handler(ctx):
        made, several = await ctx.step.run("charge", charge), await ctx.step.run("receipts", receipts)
        return [made.id, several[0].charge.amount]

    first = an_execution(handler)

    assert await completed(first) == ["ch_1", 8]
    assert await completed(an_execution(handler, done=outputs(first))) == ["ch_1", 8]


async def test_integers_of_any_size_survive():
    big = 2**70

    async def handler(ctx):
        return [await ctx.step.run("big", lambda: big), ctx.event.data]

    assert await completed(an_execution(handler, data={"big": big})) == [big, {"big": big}]


# Sleeping.


async def test_a_sleep_leaves_the_handler_until_its_time():
    ran = Ran()
    clock = FixedClock()

    async def handler(ctx):
        await ctx.step.run("a", ran.body("a"))
        await ctx.step.sleep("nap", "10m")
        await ctx.step.run("b", ran.body("b"))

    execution = an_execution(handler, clock=clock)
    outcome = await execution.run()

    until = to_datetime(clock.now() + 600_000)
    assert outcome == Yielded((Sleep(step_id="r:nap:0", step_name="nap", until=until),))
    assert ran.names == ["a"]
    assert list(outputs(execution)) == ["r:a:0"]


async def test_a_sleep_that_is_over_is_passed():
    async def handler(ctx):
        await ctx.step.sleep("nap", timedelta(hours=1))
        await ctx.step.sleep_until("dawn", "2026-01-02T06:00:00Z")
        return "awake"

    assert await completed(an_execution(handler, done={"r:nap:0": None, "r:dawn:0": None})) == "awake"


@pytest.mark.parametrize("duration", [0, -1, "0s", "soon", float("nan"), timedelta(0)])
async def test_a_sleep_is_longer_than_nothing(duration):
    async def handler(ctx):
        with pytest.raises(InvalidDuration):
            await ctx.step.sleep("nap", duration)
        return "refused"

    assert await completed(an_execution(handler)) == "refused"


async def test_a_fraction_of_a_millisecond_is_rounded_up():
    when = datetime(2026, 1, 1, 0, 0, 0, 1500, tzinfo=UTC)

    async def handler(ctx):
        await ctx.step.sleep_until("dawn", when)

    outcome = await an_execution(handler).run()

    until = datetime(2026, 1, 1, 0, 0, 0, 2000, tzinfo=UTC)
    assert outcome == Yielded((Sleep(step_id="r:dawn:0", step_name="dawn", until=until),))


async def test_a_moment_that_passed_on_the_way_is_no_error():
    clock = FixedClock()
    clock.move(60_000)
    when = EMITTED_AT + timedelta(seconds=1)

    async def handler(ctx):
        await ctx.step.sleep_until("dawn", when)

    outcome = await an_execution(handler, clock=clock).run()

    assert outcome == Yielded((Sleep(step_id="r:dawn:0", step_name="dawn", until=when),))


async def test_a_moment_before_the_run_began_fails_the_handler():
    async def handler(ctx):
        await ctx.step.sleep_until("dawn", EMITTED_AT - timedelta(days=1))

    error = await failed(an_execution(handler))

    assert (error.code, error.retryable) == ("ERROR", True)


async def test_a_handler_cannot_swallow_a_wait():
    async def handler(ctx):
        try:
            await ctx.step.sleep("nap", "1m")
        except Exception:  # noqa: BLE001 - what users write
            return "caught as an exception"
        except BaseException:  # noqa: BLE001
            return "caught as anything"

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Yielded)
    assert [step.step_id for step in outcome.steps] == ["r:nap:0"]


async def test_a_wait_inside_a_body_is_refused_too():
    async def handler(ctx):
        await ctx.step.run("outer", lambda: ctx.step.sleep("inner", "1m"))

    error = await failed(an_execution(handler))

    assert error.error_class == "StepWithinStep"


async def test_a_wait_in_a_task_group_leaves_the_handler():
    async def handler(ctx):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ctx.step.sleep("nap", "1m"))

    assert isinstance(await an_execution(handler).run(), Yielded)


async def test_bodies_that_run_beside_a_wait_are_finished_and_recorded():
    release = asyncio.Event()

    async def slow():
        await release.wait()
        return "slow"

    async def nap(ctx):
        asyncio.get_running_loop().call_soon(release.set)
        await ctx.step.sleep("nap", "1m")

    async def handler(ctx):
        await asyncio.gather(ctx.step.run("slow", slow), nap(ctx))

    execution = an_execution(handler)

    assert isinstance(await execution.run(), Yielded)
    assert outputs(execution) == {"r:slow:0": "slow"}


# What is asked of callers.


async def test_a_step_is_given_a_function_and_not_its_coroutine():
    async def handler(ctx):
        with pytest.raises(ValidationError, match="Give it a function"):
            await ctx.step.run("fetch", Ran().body("x")())
        return "refused"

    assert await completed(an_execution(handler)) == "refused"


@pytest.mark.parametrize("name", ["", None, 7])
async def test_a_step_has_a_name(name):
    async def handler(ctx):
        with pytest.raises(ValidationError):
            await ctx.step.run(name, int)
        return "refused"

    assert await completed(an_execution(handler)) == "refused"


async def test_a_stopped_execution_runs_no_more_steps():
    ran = Ran()

    async def handler(ctx):
        execution.stop()
        await ctx.step.run("a", ran.body("a"))

    execution = an_execution(handler)
    with pytest.raises(asyncio.CancelledError):
        await execution.run()

    assert ran.names == []


# What the handler is given.


async def test_the_context_has_event_run_and_secrets():
    async def handler(ctx):
        event, run = ctx.event, ctx.run
        assert ctx.secrets.has("KEY")
        assert not ctx.secrets.has("OTHER")
        assert "hunter2" not in repr(ctx.secrets)
        assert ctx.logger.extra == {"run_id": "run_7", "function_id": "f", "attempt": 2}
        seen = [event.id, event.name, event.version, event.timestamp, run.attempt, run.max_attempts, run.environment]
        return [*seen, ctx.secrets.get("KEY")]

    execution = an_execution(handler, run_id="run_7", attempt=2, secrets={"KEY": "hunter2"})

    assert await completed(execution) == ["evt_1", "order.placed", 1, "2026-01-01T00:00:00Z", 2, 3, "test", "hunter2"]


async def test_a_missing_secret_fails_the_run_for_good():
    async def handler(ctx):
        ctx.secrets.get("KEY")

    error = await failed(an_execution(handler))

    assert (error.code, error.retryable) == ("SECRET_MISSING", False)


async def test_the_payload_is_read_once_and_exactly():
    async def handler(ctx, data):
        return data

    assert await completed(an_execution(handler, data=raw({"é": 1.5}))) == {"é": 1.5}


async def test_a_plain_handler_that_makes_a_coroutine_awaits_its_steps_on_the_loop():
    async def real(ctx):
        return await ctx.step.run("double", lambda: 42)

    def handler(ctx):
        return real(ctx)

    outcome = await asyncio.wait_for(an_execution(handler).run(), 5)

    assert outcome == Completed(raw(42)), outcome


async def test_a_coroutine_with_the_steps_of_a_plain_handler_fails_and_does_not_block_the_loop():
    def handler(ctx):
        step = ctx.step

        async def real():
            return step.run("double", lambda: 42)

        return real()

    error = await asyncio.wait_for(failed(an_execution(handler)), 5)

    assert error.code == "BLOCKING_STEP_ON_LOOP"


@pytest.mark.parametrize("plain", [False, True])
async def test_a_step_within_a_step_is_refused_and_names_both(plain):
    async def on_loop(ctx):
        async def outer():
            return await ctx.step.run("inner", lambda: 1)

        return await ctx.step.run("outer", outer)

    def in_thread(ctx):
        return ctx.step.run("outer", lambda: ctx.step.run("inner", lambda: 1))

    error = await asyncio.wait_for(failed(an_execution(in_thread if plain else on_loop)), 5)

    assert (error.error_class, error.retryable) == ("StepWithinStep", False)
    assert "step 'inner' is called within step 'outer'" in error.message
