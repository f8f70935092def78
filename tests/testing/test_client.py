"""TestClient: a function is run to its end without a server, with mocks for what it does."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock

import msgspec
import pytest
from pytest import raises

from ironflow import InvokeError, NonRetryableError, Retry, RetryAfterError, StepError, function
from ironflow.base.errors import InvalidArgument
from ironflow.engine.errors import StepNotFound
from ironflow.features.functions.contract import FunctionNotFound, InvalidFunction
from ironflow.sdk.client.views import Failure
from ironflow.sdk.client.views.run_results import NoRunStarted
from ironflow.testing import NeverEnds, NotMocked, TestClient


class Order(msgspec.Struct):
    id: str
    amount: int


class Charge(msgspec.Struct):
    id: str


def never(*_: Any) -> Any:
    raise AssertionError("a real body was run")


def error_of(run: Any) -> Failure:
    """Why the run, or the step, failed."""
    assert run.error is not None
    return run.error


def charge_card(amount: int, currency: str = "EUR") -> Charge:
    return Charge(id=f"{currency}-{amount}")


@function("process-order", on="order.placed")
async def process_order(ctx, order: Order):
    charge = await ctx.step.run("charge", charge_card, order.amount, currency="USD")
    await ctx.step.sleep("cool-off", "10m")
    shipped = await ctx.step.run("ship", never, order.id)
    return {"charge": charge.id, "shipped": shipped}


@function("transfer", on="transfer.requested", retry=Retry(max_attempts=3))
async def transfer(ctx):
    debit = await ctx.step.run("debit", never)
    ctx.step.compensate("debit", lambda: never(debit))
    await ctx.step.run("reserve", never)
    ctx.step.compensate("reserve", never)
    await ctx.step.run("credit", never)
    return "done"


def client_of(*functions, **settings):
    return TestClient(functions=list(functions), **settings)


def transferring(*credit):
    client = client_of(transfer)
    client.mock_step("debit", {"ref": "D1"})
    client.mock_step("reserve")
    client.mock_step("credit", *credit)
    return client


async def test_a_run_has_what_its_mocks_gave():
    client = client_of(process_order)
    client.mock_step("charge", {"id": "ch_1"})
    client.mock_step("ship", "DHL")

    run = await client.emit("order.placed", {"id": "o1", "amount": 5})

    assert (run.status, run.error, run.attempt) == ("completed", None, 1)
    assert run.output == {"charge": "ch_1", "shipped": "DHL"}
    assert [(step.name, step.step_type, step.status) for step in run.steps] == [
        ("charge", "invoke", "completed"),
        ("cool-off", "sleep", "completed"),
        ("ship", "invoke", "completed"),
    ]
    assert run.step_output("charge") == {"id": "ch_1"}


async def test_a_step_without_a_mock_is_not_run_and_the_error_shows_how_to_mock_it():
    client = client_of(process_order)

    with raises(NotMocked, match=r"step 'charge' is not mocked.*client\.mock_step\('charge', \.\.\.\)"):
        await client.emit("order.placed", {"id": "o1", "amount": 5})


async def test_a_handler_that_catches_everything_does_not_hide_a_missing_mock():
    @function("careless", on="x")
    async def careless(ctx):
        return await ctx.step.parallel("p", [lambda steps: steps.run("a", never)], on_error="collect")

    with raises(NotMocked, match="'a'"):
        await client_of(careless).emit("x")


async def test_a_missing_mock_of_one_run_is_forgotten_by_the_next():
    client = client_of(process_order)
    with raises(NotMocked):
        await client.emit("order.placed", {"id": "o1", "amount": 5})
    client.mock_step("charge", {"id": "ch_1"})
    client.mock_step("ship", "DHL")

    assert (await client.emit("order.placed", {"id": "o1", "amount": 5})).status == "completed"


async def test_without_strict_the_bodies_without_mocks_are_run():
    client = client_of(process_order, strict=False)
    client.mock_step("ship", lambda order_id: f"{order_id} is on its way")

    run = await client.emit("order.placed", {"id": "o1", "amount": 5})

    assert run.output == {"charge": "USD-5", "shipped": "o1 is on its way"}


@pytest.mark.parametrize("mock", [Mock(return_value={"id": "m"}), AsyncMock(return_value={"id": "m"})])
async def test_a_callable_is_called_with_the_arguments_of_the_body(mock):
    client = client_of(process_order)
    client.mock_step("charge", mock)
    client.mock_step("ship", lambda: "no arguments wanted")

    run = await client.emit("order.placed", {"id": "o1", "amount": 5})

    mock.assert_called_once_with(5, currency="USD")
    assert run.step_output("ship") == "no arguments wanted"


async def test_a_mock_is_read_as_the_class_that_the_body_returns():
    client = client_of(process_order)
    client.mock_step("charge", {"number": 5})

    run = await client.emit("order.placed", {"id": "o1", "amount": 5})

    assert run.status == "failed"
    assert "the data does not fit Charge" in error_of(run).message


async def test_data_that_does_not_fit_fails_the_run_at_once():
    run = await client_of(process_order).emit("order.placed", {"id": "o1", "amount": "lots"})

    assert (run.status, error_of(run).code, run.steps) == ("failed", "VALIDATION_ERROR", [])


# Failures.


@pytest.mark.parametrize("error", [NonRetryableError("Insufficient funds"), NonRetryableError])
async def test_an_exception_fails_the_step_and_compensations_run_newest_first(error):
    run = await transferring(error).emit("transfer.requested")

    assert (run.status, run.attempt, run.output) == ("failed", 1, None)
    assert error_of(run).code == "STEP_FAILED"
    assert run.compensations == ["reserve", "debit"]
    assert [step.name for step in run.steps] == [
        "debit",
        "reserve",
        "credit",
        "compensate:reserve",
        "compensate:debit",
    ]


async def test_answers_are_given_one_after_another_and_the_last_one_stays():
    run = await transferring(ConnectionError("down"), ConnectionError("still down"), {"ok": True}).emit(
        "transfer.requested"
    )

    assert (run.status, run.attempt, run.output) == ("completed", 3, "done")
    assert [(step.name, step.attempt) for step in run.steps] == [("debit", 1), ("reserve", 1), ("credit", 3)]


async def test_a_retryable_failure_ends_the_run_when_its_attempts_are_used_up():
    run = await transferring(RetryAfterError("busy", after="1h")).emit("transfer.requested")

    assert (run.status, run.attempt, error_of(run).message) == ("failed", 3, "busy")
    assert run.compensations == ["reserve", "debit"]


async def test_a_run_that_is_to_be_paused_is_paused_and_nothing_is_undone():
    @function("held", on="x", retry=Retry(max_attempts=2, on_exhausted="pause"))
    async def held(ctx):
        ctx.step.compensate("a", never)
        await ctx.step.run("a", never)

    client = client_of(held)
    client.mock_step("a", ConnectionError)

    run = await client.emit("x")

    assert (run.status, run.attempt, run.compensations) == ("paused", 2, [])


async def test_a_mocked_compensation_sees_its_call_and_may_fail_without_stopping_the_others():
    client = transferring(NonRetryableError("no"))
    undo = Mock(return_value="undone")
    client.mock_step("compensate:debit", undo)
    client.mock_step("compensate:reserve", RuntimeError("the warehouse is closed"))

    run = await client.emit("transfer.requested")

    undo.assert_called_once_with()
    assert run.compensations == ["reserve", "debit"]
    assert error_of(run.step("compensate:reserve")).message == "the warehouse is closed"
    assert run.step_output("compensate:debit") == "undone"


async def test_without_strict_compensations_are_really_run():
    undone = []

    @function("f", on="x")
    async def f(ctx):
        ctx.step.compensate("a", lambda: undone.append("a"))
        raise NonRetryableError("no")

    run = await client_of(f, strict=False).emit("x")

    assert undone == ["a"]
    assert run.compensations == ["a"]


async def test_an_error_that_the_handler_catches_does_not_fail_the_run():
    @function("f", on="x")
    async def f(ctx):
        try:
            await ctx.step.run("a", never)
        except StepError as error:
            return f"went another way: {error}"

    client = client_of(f)
    client.mock_step("a", ValueError("broken"))

    run = await client.emit("x")

    assert run.output == "went another way: broken"
    assert run.step("a").status == "failed"


# Waiting.


@function("approve", on="expense.*")
async def approve(ctx):
    answer = await ctx.step.wait_for_event("decision", event="expense.decided", match="id", payload={"q": "ok?"})
    return answer.data["by"]


async def test_a_wait_takes_the_oldest_queued_event_that_is_for_it():
    client = client_of(approve)
    client.send_event("expense.decided", {"id": 8, "by": "Eve"})
    client.send_event("expense.decided", {"id": 7, "by": "Ada"})
    client.send_event("expense.decided", {"id": 7, "by": "Bob"})

    first = await client.emit("expense.submitted", {"id": 7})
    second = await client.emit("expense.submitted", {"id": 7})

    assert (first.output, second.output) == ("Ada", "Bob")
    assert first.step("decision").input == {"q": "ok?"}
    assert first.step_output("decision")["name"] == "expense.decided"


async def test_a_wait_for_which_nothing_is_queued_times_out():
    client = client_of(approve)
    client.send_event("expense.decided", {"id": 8, "by": "Eve"})

    run = await client.emit("expense.submitted", {"id": 7})

    assert (run.status, error_of(run).code) == ("failed", "WAIT_TIMEOUT")
    assert "client.send_event('expense.decided', ...)" in error_of(run).message
    assert run.step("decision").status == "timed_out"


async def test_sleeps_take_no_time_but_the_functions_time_goes_on():
    @function("patient", on="x")
    async def patient(ctx):
        await ctx.step.sleep("a year", "365d")
        await ctx.step.sleep_until("the date", "2028-01-01T00:00:00Z")
        return ctx.run.started_at.isoformat()

    run = await client_of(patient, start=datetime(2026, 1, 1, tzinfo=UTC)).emit("x")

    assert run.output == "2028-01-01T00:00:00+00:00"
    assert run.step("a year").sleep_until == datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=365)


async def test_a_function_that_sleeps_for_ever_is_refused_with_a_way_out():
    @function("endless", on="x")
    async def endless(ctx):
        while True:
            await ctx.step.sleep("nap", "1s")

    with raises(NeverEnds, match="time_machine"):
        await client_of(endless).emit("x")


async def test_a_plain_handler_uses_the_same_mocks_in_its_thread():
    @function("plain", on="x")
    def plain(ctx):
        found = ctx.step.map("all", [1, 2], lambda item, steps, index: steps.run("double", never, item))
        ctx.step.sleep("nap", "1h")
        return found

    client = client_of(plain)
    client.mock_step("double", lambda number: number * 2)

    assert (await client.emit("x")).output == [2, 4]


@function("loud", on="x")
async def loud(ctx):
    return await ctx.step.publish("orders.done", {"id": 7})


async def test_publishing_reaches_no_subscriber_and_needs_no_mock():
    run = await client_of(loud).emit("x")

    assert run.output == run.step_output("publish:orders.done")
    assert sorted(run.output) == ["eventId", "sequence"]


async def test_a_mock_of_publishing_is_given_the_message():
    client, publish = client_of(loud), Mock(return_value={"eventId": "e", "sequence": 1})
    client.mock_step("publish:orders.done", publish)

    assert (await client.emit("x")).output == {"eventId": "e", "sequence": 1}
    publish.assert_called_once_with({"id": 7})


async def test_a_handler_that_is_not_deterministic_is_found_out_as_with_a_server():
    executions = []

    @function("fickle", on="x")
    async def fickle(ctx):
        executions.append(1)
        if len(executions) > 1:
            await ctx.step.run("nap", never)
        await ctx.step.sleep("nap", "1h")

    run = await client_of(fickle).emit("x")

    assert (run.status, error_of(run).code) == ("paused", "STEP_DIVERGED")


# Other functions.


@function("parent", on="x")
async def parent(ctx):
    try:
        return await ctx.step.invoke("child", {"n": 3})
    except InvokeError as error:
        return {"function": error.function_id, "cause": error.cause}


@function("child")
async def child(ctx, data: dict):
    return await ctx.step.run("double", lambda: data["n"] * 2)


async def test_a_mocked_function_is_given_the_input():
    client = client_of(parent)
    client.mock_invoke(child, lambda given: {"seen": given})

    run = await client.emit("x")

    assert run.output == {"seen": {"n": 3}}
    assert (run.step("child").step_type, run.step("child").input) == ("invoke_function", {"n": 3})


async def test_an_exception_of_a_mocked_function_is_an_invoke_error_for_the_handler():
    client = client_of(parent)
    client.mock_invoke("child", ValueError("card declined"))

    run = await client.emit("x")

    assert run.output == {"function": "child", "cause": "card declined"}
    assert run.step("child").status == "failed"


@pytest.mark.parametrize("client", [client_of(parent, child), client_of(parent, strict=False)])
async def test_an_invoked_function_without_a_mock_is_not_run_and_the_error_shows_how_to_mock_it(client):
    with raises(NotMocked, match=r"function 'child' is invoked but not mocked.*mock_invoke\('child'"):
        await client.emit("x")


async def test_without_strict_an_invoked_function_of_the_client_is_run():
    run = await client_of(parent, child, strict=False).emit("x")

    assert run.output == 6
    assert [each.function_id for each in run.children] == ["child"]
    assert run.step("child").child_run_id == run.children[0].id


async def test_an_invoked_function_that_fails_is_an_invoke_error_as_with_a_server():
    other = function("child", retry={"max_attempts": 1})(lambda ctx: 1 / 0)

    run = await client_of(parent, other, strict=False).emit("x")

    assert "division by zero" in run.output["cause"]


async def test_an_invoked_function_may_have_triggers_as_with_a_server():
    other = function("child", on="y")(lambda ctx: 1)

    assert (await client_of(parent, other, strict=False).emit("x")).output == 1


async def test_invoke_async_gives_the_id_of_the_child():
    @function("starter", on="x")
    async def starter(ctx):
        return (await ctx.step.invoke_async("child", {"n": 4})).run_id

    strict, real = client_of(starter), client_of(starter, child, strict=False)
    strict.mock_invoke("child")

    assert (await strict.emit("x")).output.startswith("run_")
    run = await real.emit("x")
    assert run.output == run.children[0].id
    assert run.children[0].output == 8


# Which function an event starts.


async def test_an_event_starts_what_its_name_and_its_expression_allow():
    @function("large", on="order.*", when="data.total > 100")
    async def large(ctx):
        return ctx.event.name

    client = client_of(large)

    assert (await client.emit("order.placed", {"total": 101})).output == "order.placed"
    with raises(NoRunStarted, match=r"'order.placed' starts none .*large"):
        await client.emit("order.placed", {"total": 100})


async def test_of_several_functions_the_test_names_one():
    one, two = function("one", on="x")(lambda ctx: 1), function("two", on="x")(lambda ctx: 2)
    client = client_of(one, two)

    with raises(InvalidArgument, match=r"starts 'one', 'two'\. Name the one to run"):
        await client.emit("x")
    assert (await client.emit("x", function=two)).output == 2


async def test_a_function_without_a_trigger_for_it_is_invoked():
    client = client_of(child, strict=False)

    assert (await client.invoke("child", {"n": 2})).output == 4
    with raises(FunctionNotFound, match="there is 'child'"):
        await client.invoke("missing")


@pytest.mark.parametrize(("wrong", "message"), [([never], "is no function"), ([child, child], "two functions")])
def test_what_is_no_function_or_comes_twice_is_refused(wrong, message):
    with raises(InvalidFunction, match=message):
        TestClient(functions=wrong)


async def test_only_declared_secrets_are_given():
    @function("f", on="x", secrets=["KEY"])
    async def f(ctx):
        return [ctx.secrets.get("KEY"), ctx.secrets.has("OTHER")]

    assert (await client_of(f, secrets={"KEY": "k", "OTHER": "o"}).emit("x")).output == ["k", False]


async def test_a_missing_step_is_an_error_that_names_the_others():
    run = await transferring({"ok": True}).emit("transfer.requested")

    with raises(StepNotFound, match=r"no step called 'refund'\. Its steps: 'debit', 'reserve', 'credit'"):
        run.step_output("refund")
    with raises(StepNotFound, match="only 1 steps called 'debit'"):
        run.step("debit", 1)


async def test_a_failure_that_the_handler_caught_is_raised_again_after_a_wait():
    bodies = []

    async def charge():
        bodies.append(1)
        raise ValueError("declined")

    @function("checkout")
    async def checkout(ctx):
        try:
            await ctx.step.run("charge", charge)
        except StepError as error:
            await ctx.step.sleep("cool off", "1h")
            return str(error)

    run = await TestClient(functions=[checkout], strict=False).invoke("checkout")

    assert (run.output, bodies) == ("declined", [1])
