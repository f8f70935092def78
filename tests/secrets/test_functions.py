"""Secrets in functions: what handlers are given, and what neither leaves them in outputs, errors nor logs."""

import io
import logging

import pytest

import ironflow.testing
from ironflow import Context, NonRetryableError, function
from ironflow.base.logs import JsonFormatter, TextFormatter
from ironflow.testing import TestClient, context_for_test, time_machine

VALUE = "sk_live_1234"


@function("charge", on="order.placed", secrets=["STRIPE_KEY"])
async def charge(ctx: Context) -> str:
    return await ctx.step.run("charge", lambda: f"charged with {len(ctx.secrets.get('STRIPE_KEY'))} characters")


@function("leak", on="order.leaked", secrets=["STRIPE_KEY"])
async def leak(ctx: Context) -> None:
    await ctx.step.run("log in", lambda: "token")
    ctx.step.compensate("log in", lambda: None)
    await ctx.step.run("leak", lambda: {"key": ctx.secrets.get("STRIPE_KEY")})


@function("return-it", on="order.returned", secrets=["STRIPE_KEY"])
async def return_it(ctx: Context) -> str:
    return ctx.secrets.get("STRIPE_KEY")


@function("fail", on="order.failed", secrets=["STRIPE_KEY"])
async def fail(ctx: Context) -> None:
    def body() -> None:
        raise NonRetryableError(f"401 for {ctx.secrets.get('STRIPE_KEY')}")

    await ctx.step.run("charge", body)


FUNCTIONS = [charge, leak, return_it, fail]


async def test_a_worker_is_given_what_is_stored_for_its_server():
    async with time_machine([charge]) as machine:
        await machine.client.secrets.set("STRIPE_KEY", VALUE)
        run = await machine.emit("order.placed")
        assert run.output == "charged with 12 characters"


async def test_the_client_manages_secrets_without_seeing_values():
    async with time_machine([charge]) as machine:
        secrets = machine.client.secrets
        made = await secrets.create("A", VALUE, description="cards")
        changed = await secrets.update("A", new_name="B")
        assert [each async for each in secrets.list()] == [await secrets.get("B")]
        assert VALUE not in repr([made, changed])
        assert (await secrets.rekey()).secrets == 1
        await secrets.delete("B")
        assert [each async for each in secrets.list()] == []


async def test_a_step_that_returns_a_secret_fails_and_earlier_steps_are_compensated():
    async with time_machine([leak]) as machine:
        await machine.client.secrets.set("STRIPE_KEY", VALUE)
        run = await machine.emit("order.leaked")
        assert run.error is not None
        assert (run.status, run.error.code, run.error.retryable) == ("failed", "SECRET_IN_OUTPUT", False)
        assert [(each.name, each.status) for each in run.steps] == [
            ("log in", "completed"), ("leak", "failed"), ("compensate:log in", "completed"),
        ]  # fmt: skip
        assert VALUE not in repr(run.steps)


@pytest.mark.parametrize(
    ("event", "message"), [("order.returned", "contains a secret"), ("order.failed", "401 for [secret]")]
)
async def test_a_run_records_no_secret_in_its_output_or_error(event: str, message: str):
    async with time_machine(FUNCTIONS) as machine:
        await machine.client.secrets.set("STRIPE_KEY", VALUE)
        run = await machine.emit(event)
        assert run.status == "failed"
        assert run.error is not None
        assert message in run.error.message
        assert VALUE not in repr([run.error, run.steps])


async def test_without_a_server_outputs_and_errors_are_held_to_the_same():
    client = TestClient(functions=FUNCTIONS, strict=False, secrets={"STRIPE_KEY": VALUE})
    assert (await client.emit("order.placed")).output == "charged with 12 characters"
    for event in ("order.leaked", "order.returned", "order.failed"):
        run = await client.emit(event)
        assert run.status == "failed"
        assert VALUE not in repr(run)


def logged(*, formatter: logging.Formatter, shown: str = VALUE) -> str:
    ctx = context_for_test(secrets={"KEY": shown})
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    target = logging.getLogger("ironflow.function")
    target.addHandler(handler)
    try:
        ctx.logger.warning("the key is %s", shown)
        try:
            raise ValueError(shown)
        except ValueError:
            ctx.logger.exception("it failed")
    finally:
        target.removeHandler(handler)
    return out.getvalue()


@pytest.mark.parametrize("formatter", [logging.Formatter(), TextFormatter(), JsonFormatter()])
def test_the_log_of_a_run_shows_no_secret(formatter: logging.Formatter):
    text = logged(formatter=formatter)
    assert "the key is [secret]" in text
    assert "ValueError: [secret]" in text
    assert VALUE not in text


def test_short_values_are_left_alone_because_they_occur_by_chance():
    assert "the key is short" in logged(formatter=logging.Formatter(), shown="short")


async def test_a_handler_is_called_with_a_context_of_the_test():
    async def handler(ctx: Context) -> list[object]:
        looked_up = await ctx.step.run("look up", lambda: "from the body")
        stored = await ctx.step.run("store", lambda: "ran")
        return [ctx.event.data, ctx.secrets.get("KEY"), looked_up, stored, ctx.run.attempt]

    ctx = context_for_test({"n": 1}, secrets={"KEY": "k"}, completed_steps={"look up": 7}, attempt=2)
    assert await handler(ctx) == [{"n": 1}, "k", 7, "ran", 2]


def test_secrets_for_tests_show_stars():
    for make in (ironflow.testing.secrets, ironflow.testing.create_secrets_client):
        secrets = make({"KEY": VALUE})
        assert (secrets.get("KEY"), secrets.has("OTHER")) == (VALUE, False)
        assert repr(secrets) == "<Secrets KEY=***>"
