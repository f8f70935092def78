"""Waits, invoked functions, branches and compensations: protocol/step-semantics.md 5 to 9."""

import asyncio
import functools
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ironflow.base.duration import InvalidDuration
from ironflow.base.errors import (
    InvokeError,
    InvokeTimeoutError,
    NonRetryableError,
    ValidationError,
    WaitTimeoutError,
)
from ironflow.base.time import FixedClock
from ironflow.sdk.definition.function import function
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.report import Completed, Failed, Yielded
from ironflow.sdk.durable.steps.alternatives import event, invoke, sleep
from ironflow.sdk.values.definitions import define_event
from ironflow.sdk.values.upcasting import UpcasterRegistry
from tests.sdk.durable.jobs import a_job, an_execution, as_sent, outputs

AWAITED = {
    "id": "evt_9",
    "name": "order.approved",
    "version": 2,
    "data": {"orderId": 7},
    "timestamp": "2026-01-02T00:00:00Z",
    "idempotencyKey": "k",
    "emittedBy": "run_5",
}


async def value(execution):
    outcome = await execution.run()
    assert isinstance(outcome, Completed), outcome
    return msgspec.json.decode(outcome.output)


async def left_for(execution):
    outcome = await execution.run()
    assert isinstance(outcome, Yielded), outcome
    (step,) = outcome.steps
    return as_sent(step)


async def all_left_for(execution):
    outcome = await execution.run()
    assert isinstance(outcome, Yielded), outcome
    return [step.step_id for step in outcome.steps]


# Waiting for events.


@pytest.mark.parametrize(
    ("asked", "event_filter"),
    [
        ({"event": " order.approved "}, {"event": "order.approved", "timeout": "7d", "look_back": "run"}),
        (
            {"event": "e", "match": "orderId", "timeout": "24h"},
            {"event": "e", "match": "orderId", "timeout": "24h", "look_back": "run"},
        ),
        ({"event": "e", "look_back": "run"}, {"event": "e", "timeout": "7d", "look_back": "run"}),
        ({"event": "e", "look_back": "execution"}, {"event": "e", "timeout": "7d"}),
        (
            {"event": "e", "match": "data.id", "match_value": "", "payload": {"a": 1}, "timeout": 90},
            {
                "event": "e",
                "match": "data.id",
                "match_value": "",
                "payload": {"a": 1},
                "timeout": "90000ms",
                "look_back": "run",
            },
        ),
    ],
)
async def test_a_wait_reports_its_event_filter(asked, event_filter):
    async def handler(ctx):
        await ctx.step.wait_for_event("approval", **asked)

    assert await left_for(an_execution(handler)) == {
        "type": "wait_for_event",
        "step_id": "r:approval:0",
        "step_name": "approval",
        "event_filter": event_filter,
        "on_timeout": "answer",
    }


async def test_the_event_that_came_is_what_the_wait_gives():
    async def handler(ctx):
        event = await ctx.step.wait_for_event("approval", event="order.approved")
        assert event.timestamp == datetime(2026, 1, 2, tzinfo=UTC)
        return [event.id, event.name, event.version, event.data, event.idempotency_key, event.emitted_by, event.source]

    found = await value(an_execution(handler, done={"r:approval:0": AWAITED}))

    assert found == ["evt_9", "order.approved", 2, {"orderId": 7}, "k", "run_5", None]


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"event": " "}, ValidationError),
        ({"event": "e", "timeout": 0}, InvalidDuration),
        ({"event": "e", "timeout": "soon"}, InvalidDuration),
        ({"event": "e", "timeout": float("inf")}, InvalidDuration),
        ({"event": "e", "look_back": "yesterday"}, ValidationError),
    ],
    ids=str,
)
async def test_a_wait_is_for_a_named_event_and_a_time(asked, fault):
    async def handler(ctx):
        with pytest.raises(fault):
            await ctx.step.wait_for_event("approval", **asked)

    await value(an_execution(handler))


# Invoking functions.


async def test_an_invoked_function_is_waited_for():
    async def handler(ctx):
        return await ctx.step.invoke("settle", {"amount": 7}, timeout="2m")

    assert await left_for(an_execution(handler)) == {
        "type": "invoke_function",
        "step_id": "r:settle:0",
        "step_name": "settle",
        "function_id": "settle",
        "input": {"amount": 7},
        "invoke_timeout_ms": 120_000,
        "on_timeout": "answer",
        "with_triggers": True,
    }
    assert await value(an_execution(handler, done={"r:settle:0": [1]})) == [1]


class Order(msgspec.Struct):
    id: int


class Receipt(msgspec.Struct):
    number: str


approved = define_event("order.approved", version=2, type=Order)


async def test_a_wait_for_a_defined_event_gives_its_data_as_the_declared_type():
    awaited = {**AWAITED, "data": {"id": 7}}

    async def handler(ctx):
        event = await ctx.step.wait_for_event("approval", event=approved, match="id")
        return [type(event.data).__name__, event.data.id, event.version]

    step = await left_for(an_execution(handler))
    assert step["event_filter"] == {"event": "order.approved", "timeout": "7d", "match": "id", "look_back": "run"}
    assert await value(an_execution(handler, done={"r:approval:0": awaited})) == ["Order", 7, 2]


async def test_an_awaited_event_whose_data_is_of_another_type_is_a_validation_error():
    async def handler(ctx):
        with pytest.raises(ValidationError, match=r"step 'approval'.*'order.approved'.*Order"):
            await ctx.step.wait_for_event("approval", event=approved)

    await value(an_execution(handler, done={"r:approval:0": AWAITED}))


async def test_an_awaited_event_is_brought_to_its_latest_version_before_its_data_is_read():
    registry = UpcasterRegistry()
    registry.register("order.approved", 1, 2, lambda data: {"id": data["orderId"]})

    async def handler(ctx):
        event = await ctx.step.wait_for_event("approval", event=approved)
        return [event.data.id, event.version]

    old = {**AWAITED, "version": 1}
    execution = Execution(
        function("f")(handler),
        a_job(done={"r:approval:0": old}),
        clock=FixedClock(),
        environment="test",
        upcasters=registry,
    )
    assert await value(execution) == [7, 2]


async def settle(ctx: Any, order: Order) -> Receipt:
    return Receipt(str(order.id))


settling = function("settle")(settle)


async def test_the_output_of_a_function_given_by_its_definition_is_what_its_handler_returns():
    async def handler(ctx):
        by_definition = await ctx.step.invoke(settling, Order(7))
        by_name = await ctx.step.invoke("settle", Order(7))
        return [by_definition.number, by_name["number"]]

    step = await left_for(an_execution(handler))
    assert (step["function_id"], step["input"]) == ("settle", {"id": 7})
    done = {f"r:settle:{place}": {"number": "n-7"} for place in (0, 1)}
    assert await value(an_execution(handler, done=done)) == ["n-7", "n-7"]


async def test_the_output_of_a_function_that_returned_something_else_is_a_validation_error():
    async def handler(ctx):
        with pytest.raises(ValidationError, match=r"output of function 'settle'.*Receipt"):
            await ctx.step.invoke(settling, Order(7))

    await value(an_execution(handler, done={"r:settle:0": {"count": 1}}))


def twice(fn):
    @functools.wraps(fn)
    def wrapper(*args):
        return fn(*args)

    return wrapper


async def test_functions_within_the_same_decorator_have_types_of_their_own():
    @twice
    def order() -> Order:
        raise AssertionError

    @twice
    def receipt() -> Receipt:
        raise AssertionError

    async def handler(ctx):
        return [type(await ctx.step.run("step", fn)).__name__ for fn in (order, receipt)]

    done = {"r:step:0": {"id": 7}, "r:step:1": {"number": "n"}}
    assert await value(an_execution(handler, done=done)) == ["Order", "Receipt"]


async def test_a_function_is_invoked_by_its_definition_too():
    settle = function("settle")(lambda ctx: None)

    async def handler(ctx):
        return await ctx.step.invoke(settle)

    step = await left_for(an_execution(handler))
    assert (step["function_id"], step["input"], step["invoke_timeout_ms"]) == ("settle", None, 30_000)


@pytest.mark.parametrize(
    ("error", "child", "cause"),
    [
        ({"message": "m", "function_id": "settle", "child_run_id": "run_c", "cause": "declined"}, "run_c", "declined"),
        ('{"message": "m", "child_run_id": "run_c"}', "run_c", "m"),
        ("no such function", "", "no such function"),
        (None, "", "no reason was recorded"),
    ],
)
async def test_a_child_that_failed_raises_and_is_not_started_again(error, child, cause):
    async def handler(ctx):
        with pytest.raises(InvokeError, match="settle") as raised:
            await ctx.step.invoke("settle")
        return [raised.value.function_id, raised.value.child_run_id, raised.value.cause, raised.value.retryable]

    assert await value(an_execution(handler, failed={"r:settle:0": error})) == ["settle", child, cause, False]


async def test_a_function_can_be_started_and_left_to_itself():
    async def handler(ctx):
        return (await ctx.step.invoke_async("settle", [1])).run_id

    assert await left_for(an_execution(handler)) == {
        "type": "invoke_function_async",
        "step_id": "r:settle:0",
        "step_name": "settle",
        "function_id": "settle",
        "input": [1],
        "with_triggers": True,
    }
    assert await value(an_execution(handler, done={"r:settle:0": {"run_id": "run_c"}})) == "run_c"


# Branches.


async def echo(text):
    return text


async def refuse(text):
    raise ValueError(text)


async def test_branches_run_concurrently_and_answer_in_order():
    met = asyncio.Barrier(3)

    async def meet(text):
        await met.wait()
        return text

    async def handler(ctx):
        return await ctx.step.parallel(
            "look-up", [lambda s, text=text: s.run("find", meet, text) for text in ("a", "b", "c")]
        )

    execution = an_execution(handler)

    assert await value(execution) == ["a", "b", "c"]
    assert set(outputs(execution)) == {f"r:look-up:{index}:find:0" for index in range(3)}


async def test_a_replayed_branch_does_not_run_again():
    async def handler(ctx):
        return await ctx.step.parallel(
            "p", [lambda s: s.run("find", echo, "new"), lambda s: s.run("find", echo, "new")]
        )

    execution = an_execution(handler, done={"r:p:0:find:0": "stored"})

    assert await value(execution) == ["stored", "new"]
    assert set(outputs(execution)) == {"r:p:1:find:0"}


async def test_map_is_a_branch_for_each_item():
    async def handler(ctx):
        return await ctx.step.map("mail", ["a", "b"], lambda item, s, i: s.run("send", echo, f"{item}{i}"))

    execution = an_execution(handler)

    assert await value(execution) == ["a0", "b1"]
    assert set(outputs(execution)) == {"r:mail:0:send:0", "r:mail:1:send:0"}


async def test_nothing_to_do_in_parallel_is_done_at_once():
    async def handler(ctx):
        return [await ctx.step.parallel("p", []), await ctx.step.map("m", [], lambda item, s, i: None)]

    assert await value(an_execution(handler)) == [[], []]


async def test_no_more_branches_run_at_a_time_than_asked():
    running = most = 0

    async def body():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    async def handler(ctx):
        await ctx.step.map("m", range(10), lambda item, s, i: s.run("a", body), concurrency=3)

    await an_execution(handler).run()

    assert most == 3


async def test_the_first_error_ends_the_branches_and_the_lowest_is_raised():
    async def handler(ctx):
        branches = [
            lambda s: s.run("slow", refuse_later, "first branch"),
            lambda s: s.run("fast", refuse, "second branch"),
            lambda s: s.run("never", echo, "x"),
        ]
        await ctx.step.parallel("p", branches, concurrency=2)

    async def refuse_later(text):
        await asyncio.sleep(0)
        raise ValueError(text)

    execution = an_execution(handler)
    outcome = await execution.run()

    assert isinstance(outcome, Failed)
    assert outcome.error.message == "first branch"
    assert {row.name for row in execution.rows} == {"slow", "fast"}


@pytest.mark.parametrize("on_error", ["collect", "allSettled"])
async def test_errors_can_be_collected(on_error):
    async def handler(ctx):
        found = await ctx.step.parallel(
            "p", [lambda s: s.run("a", refuse, "no"), lambda s: s.run("b", echo, "yes")], on_error=on_error
        )
        return [str(found[0]), type(found[0]).__name__, found[1]]

    assert await value(an_execution(handler)) == ["no", "StepError", "yes"]


@pytest.mark.parametrize("on_error", ["ignore", "", "fail-fast", None])
async def test_another_way_to_handle_errors_is_refused_before_a_branch_starts(on_error):
    async def handler(ctx):
        await ctx.step.map("m", [1, 2], lambda item, s, i: s.run("a", echo, item), on_error=on_error)

    execution = an_execution(handler)
    outcome = await execution.run()

    assert isinstance(outcome, Failed)
    assert "write 'fail_fast' or 'collect'" in outcome.error.message
    assert list(execution.rows) == []


async def test_the_documents_name_for_failing_fast_is_the_same():
    outcome = await waiting_beside_a_failure("failFast").run()
    assert isinstance(outcome, Failed)
    assert outcome.error.message == "no"


def waiting_beside_a_failure(on_error):
    async def handler(ctx):
        branches = [
            lambda s: s.run("a", refuse, "no"),
            lambda s: s.sleep("nap", "1h"),
            lambda s: s.sleep("later nap", "1h"),
            lambda s: s.run("b", echo, "x"),
        ]
        await ctx.step.parallel("p", branches, on_error=on_error)

    return an_execution(handler)


async def test_branches_wait_together_while_others_run():
    execution = waiting_beside_a_failure("collect")

    assert await all_left_for(execution) == ["r:p:1:nap:0", "r:p:2:later nap:0"]
    assert {row.name for row in execution.rows} == {"a", "b"}


async def test_an_error_that_fails_fast_cancels_what_other_branches_wait_for():
    execution = waiting_beside_a_failure("fail_fast")

    assert isinstance(await execution.run(), Failed)
    assert execution.cancels == ["r:p:"]
    assert {row.name for row in execution.rows} == {"a", "b"}


async def test_a_branch_that_waits_counts_among_those_at_a_time():
    async def handler(ctx):
        await ctx.step.map("m", ["1h", "2h", "3h"], lambda item, s, i: s.sleep("nap", item), concurrency=2)

    assert await all_left_for(an_execution(handler)) == ["r:m:0:nap:0", "r:m:1:nap:0"]
    assert await all_left_for(an_execution(handler, done={"r:m:1:nap:0": None})) == ["r:m:0:nap:0", "r:m:2:nap:0"]


async def test_steps_of_one_gather_wait_together():
    async def handler(ctx):
        await asyncio.gather(ctx.step.sleep("a", "1h"), ctx.step.invoke("settle"))

    assert await all_left_for(an_execution(handler)) == ["r:a:0", "r:settle:0"]


# Time-outs and the first of several.


async def test_a_wait_that_timed_out_raises():
    async def handler(ctx):
        with pytest.raises(WaitTimeoutError) as raised:
            await ctx.step.wait_for_event("approval", event="e", timeout="3d")
        error = raised.value
        return [error.message, error.step_name, error.event, error.code, error.retryable]

    found = await value(an_execution(handler, timed_out={"r:approval:0": {"message": "No e was received."}}))

    assert found == ["No e was received.", "approval", "e", "WAIT_TIMEOUT", False]


async def test_a_wait_that_timed_out_gives_none_where_that_is_asked_for():
    async def handler(ctx):
        return await ctx.step.wait_for_event("approval", event="e", on_timeout=None)

    assert await value(an_execution(handler, timed_out={"r:approval:0": {"message": "late"}})) is None


async def test_an_uncaught_time_out_runs_the_compensations_and_fails_for_good():
    undone = []

    async def handler(ctx):
        ctx.step.compensate("reserve", lambda: undone.append("reserve"))
        await ctx.step.wait_for_event("approval", event="e")

    outcome = await an_execution(handler, timed_out={"r:approval:0": {"message": "late"}}).run()

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable, undone) == ("WAIT_TIMEOUT", False, ["reserve"])


async def test_an_invoked_function_that_took_too_long_raises_an_error_of_its_own():
    async def handler(ctx):
        with pytest.raises(InvokeTimeoutError) as raised:
            await ctx.step.invoke("settle")
        return [raised.value.function_id, raised.value.child_run_id]

    error = {"message": "m", "function_id": "settle", "child_run_id": "run_c", "cause": "late", "timed_out": True}
    assert await value(an_execution(handler, failed={"r:settle:0": error})) == ["settle", "run_c"]


def first_of_three(**more):
    async def handler(ctx):
        first = await ctx.step.wait_any(
            "reply", paid=event("order.paid"), late=sleep("3d"), settled=invoke("settle"), **more
        )
        return [first.name, first.value.id if first.name == "paid" else first.value]

    return handler


PAID, LATE, SETTLED = "r:reply:0:paid:paid:0", "r:reply:0:late:late:0", "r:reply:0:settled:settle:0"


async def test_the_first_of_several_is_waited_for_with_all_of_them():
    assert await all_left_for(an_execution(first_of_three())) == [PAID, LATE, SETTLED]


async def test_the_first_of_several_is_recorded_and_the_rest_cancelled():
    execution = an_execution(first_of_three(), done={PAID: AWAITED})

    assert await value(execution) == ["paid", "evt_9"]
    assert outputs(execution) == {"r:reply:0": {"first": "paid"}}
    assert execution.cancels == ["r:reply:0:late:", "r:reply:0:settled:"]


async def test_the_rest_can_be_left():
    execution = an_execution(first_of_three(rest="leave"), done={LATE: None})

    assert await value(execution) == ["late", None]
    assert execution.cancels == []


async def test_what_was_first_stays_first_when_others_end_later():
    done = {PAID: AWAITED, SETTLED: "x", "r:reply:0": {"first": "settled"}}

    assert await value(an_execution(first_of_three(), done=done)) == ["settled", "x"]


@pytest.mark.parametrize("asked", [{}, {"rest": "forget", "a": sleep("1s")}])
async def test_the_first_of_several_needs_alternatives(asked):
    async def handler(ctx):
        with pytest.raises(ValidationError):
            await ctx.step.wait_any("reply", **asked)

    await value(an_execution(handler))


async def test_a_run_that_has_failed_runs_its_compensations_and_no_step():
    ran = []

    async def handler(ctx):
        await ctx.step.run("reserve", ran.append, "reserve")
        ctx.step.compensate("reserve", lambda: ran.append("undone"))
        await ctx.step.parallel("p", [lambda s: s.run("a", ran.append, "a"), lambda s: s.sleep("nap", "1h")])
        ctx.step.compensate("more", lambda: ran.append("too far"))

    outcome = await an_execution(handler, done={"r:reserve:0": None}, compensating={"message": "late"}).run()

    assert isinstance(outcome, Failed)
    assert ran == ["undone"]


async def test_branches_have_branches():
    async def handler(ctx):
        async def outer(steps):
            return await steps.parallel(
                "inner", [lambda s: s.run("a", echo, "left"), lambda s: s.map("leaf", [1, 2], leaf)]
            )

        return await ctx.step.parallel("outer", [outer, outer])

    def leaf(item, steps, index):
        return steps.run("a", echo, item)

    execution = an_execution(handler)

    assert await value(execution) == [["left", [1, 2]], ["left", [1, 2]]]
    ids = {row.id for row in execution.rows}
    assert len(ids) == 6
    done = {row.id: msgspec.json.decode(row.output) for row in execution.rows if row.output is not msgspec.UNSET}
    again = an_execution(handler, done=done)
    assert await value(again) == [["left", [1, 2]], ["left", [1, 2]]]
    assert again.rows == []


@pytest.mark.parametrize("more", [{"concurrency": 0}, {"on_error": "ignore"}], ids=str)
async def test_what_makes_no_sense_of_branches_is_refused(more):
    async def handler(ctx):
        with pytest.raises(ValidationError):
            await ctx.step.parallel("p", [lambda s: s.run("a", echo, 1)], **more)

    await value(an_execution(handler))


async def test_a_blocking_handler_has_every_kind_of_step():
    def handler(ctx):
        event = ctx.step.wait_for_event("w", event="e")
        child = ctx.step.invoke("settle")
        started = ctx.step.invoke_async("audit").run_id
        found = ctx.step.parallel("p", [lambda s: s.run("a", lambda: 1), lambda s: s.run("a", echo, 2)])
        mapped = ctx.step.map("m", [3], lambda item, s, i: s.run("a", lambda: item + i))
        ctx.step.compensate("a", lambda: None)
        return [event.id, child, started, found, mapped]

    done = {"r:w:0": AWAITED, "r:settle:0": "paid", "r:audit:0": {"run_id": "run_c"}}

    assert await value(an_execution(handler, done=done)) == ["evt_9", "paid", "run_c", [1, 2], [3]]
    assert (await left_for(an_execution(handler)))["type"] == "wait_for_event"


# Compensations.


def undoing(undone, error):
    async def handler(ctx):
        await ctx.step.run("charge", echo, "ch_1")
        ctx.step.compensate("charge", lambda: undone.append("charge"))
        await ctx.step.run("ship", echo, "sh_1")
        ctx.step.compensate("ship", lambda: undone.append("ship"))
        if error:
            raise error

    return handler


@pytest.mark.parametrize(
    ("error", "job", "order"),
    [
        (None, {}, []),
        (NonRetryableError("no"), {}, ["ship", "charge"]),
        (ValueError("later"), {"attempt": 1, "max_attempts": 3}, []),
        (ValueError("later"), {"attempt": 3, "max_attempts": 3}, ["ship", "charge"]),
        (ValueError("later"), {"attempt": 3, "max_attempts": 3, "on_exhausted": "pause"}, []),
        (ValueError("later"), {"attempt": 3, "max_attempts": 0}, []),
    ],
    ids=["success", "final", "another attempt", "last attempt", "held for resume", "unknown"],
)
async def test_steps_are_undone_newest_first_when_the_run_fails_for_good(error, job, order):
    undone = []

    await an_execution(undoing(undone, error), **job).run()

    assert undone == order


async def test_compensations_are_recorded_as_steps_of_the_run():
    execution = an_execution(undoing([], NonRetryableError("no")))
    await execution.run()

    sent = [as_sent(row) for row in execution.rows[2:]]
    assert [(row["id"], row["name"], row["type"], row["compensation_for"], row["status"]) for row in sent] == [
        ("r:compensate:ship:0", "compensate:ship", "compensate", "ship", "completed"),
        ("r:compensate:charge:0", "compensate:charge", "compensate", "charge", "completed"),
    ]


async def test_a_step_is_undone_once():
    undone = []

    await an_execution(undoing(undone, NonRetryableError("no")), done={"r:compensate:ship:0": None}).run()

    assert undone == ["charge"]


async def test_a_compensation_that_fails_is_recorded_and_stops_nothing():
    undone = []

    async def handler(ctx):
        ctx.step.compensate("a", lambda: undone.append("a"))
        ctx.step.compensate("b", refuse_plainly)
        ctx.step.compensate("c", lambda: ctx.step.sleep("nap", "1h"))
        ctx.step.compensate("d", object)
        raise NonRetryableError("no")

    def refuse_plainly():
        raise ValueError("cannot undo")

    execution = an_execution(handler)
    outcome = await execution.run()

    assert isinstance(outcome, Failed)
    assert outcome.error.message == "no"
    assert undone == ["a"]
    failed = {row["name"]: row["error"] for row in map(as_sent, execution.rows) if row["status"] == "failed"}
    assert failed.keys() == {"compensate:b", "compensate:c", "compensate:d"}
    # A wait within a compensation and an output that is no JSON fail in the same way each time.
    assert [name for name, error in failed.items() if error["retryable"]] == ["compensate:b"]


async def test_a_compensation_of_a_branch_belongs_to_the_run():
    async def branch(steps):
        steps.compensate("a", lambda: None)
        raise NonRetryableError("no")

    async def handler(ctx):
        await ctx.step.parallel("p", [branch])

    execution = an_execution(handler)
    await execution.run()

    assert [row.id for row in execution.rows] == ["r:compensate:a:0"]
