"""Errors: how they are made, and what of them travels over the wire."""

from datetime import timedelta

import pytest

import ironflow
from ironflow import Context, NonRetryableError, StepTimeoutError, errors, function
from ironflow.base.errors import IronflowError
from ironflow.sdk.wire.operations import error_in
from ironflow.testing import time_machine
from tests.sdk.client.fake_transport import answer

# Those that users can make, under their own names; other modules derive errors with arguments of their own.
PUBLIC = {getattr(errors, name) for name in errors.__all__}
ALL = sorted({each for each in PUBLIC if isinstance(each, type)}, key=lambda each: each.__name__)


@pytest.mark.parametrize("kind", ALL, ids=[each.__name__ for each in ALL])
def test_every_error_takes_what_the_documents_give_it(kind: type[IronflowError]):
    cause = ValueError("first")
    made = kind("went wrong", code="MINE", retryable=True, details={"a": 1}, cause=cause)

    assert (made.message, str(made), made.code, made.retryable) == ("went wrong", "went wrong", "MINE", True)
    assert made.details == {"a": 1}
    assert made.__cause__ is cause


def test_what_is_not_given_is_that_of_the_class():
    made = IronflowError("went wrong")
    assert (made.code, made.retryable, made.details, made.__cause__) == ("UNKNOWN_ERROR", False, {}, None)
    assert errors.StepError().retryable


def test_wrapping_makes_an_error_final():
    first = ValueError("bad card")
    final = NonRetryableError.wrap(first)
    assert (final.message, final.code, final.retryable, final.__cause__) == ("bad card", "NON_RETRYABLE", False, first)
    assert NonRetryableError.wrap(final) is final

    own = IronflowError("declined", code="DECLINED", details={"by": "bank"}, retryable=True)
    wrapped = NonRetryableError.wrap(own)
    assert (wrapped.code, wrapped.details, wrapped.retryable) == ("DECLINED", {"by": "bank"}, False)


DOCUMENTED = {
    "ConnectionError": ("CONNECTION_LOST", True),
    "SubscriptionError": ("SUBSCRIPTION_ERROR", True),
    "TimeoutError": ("TIMEOUT", True),
    "ValidationError": ("VALIDATION_ERROR", False),
    "SchemaValidationError": ("VALIDATION_ERROR", False),
    "SignatureError": ("SIGNATURE_INVALID", False),
    "FunctionNotFoundError": ("FUNCTION_NOT_FOUND", False),
    "RunNotFoundError": ("RUN_NOT_FOUND", False),
    "StepError": ("STEP_FAILED", True),
    "NonRetryableError": ("NON_RETRYABLE", False),
    "NotConfiguredError": ("NOT_CONFIGURED", False),
    "InvokeError": ("INVOKE_FAILED", False),
    "InvokeTimeoutError": ("INVOKE_FAILED", False),
    "StepTimeoutError": ("STEP_TIMEOUT", True),
    "UnauthenticatedError": ("UNAUTHENTICATED", False),
    "EnterpriseRequiredError": ("ENTERPRISE_REQUIRED", False),
    "UnauthorizedError": ("UNAUTHORIZED", False),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_names_are_there(name: str):
    kind = getattr(errors, name)
    assert name in errors.__all__
    assert (kind.code, kind.retryable) == DOCUMENTED[name]


def test_a_server_that_wants_a_licence_is_understood():
    found = error_in(answer({"error": "This is for holders of a licence."}, status=402))
    assert isinstance(found, errors.EnterpriseRequiredError)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (IronflowError("x", retryable=True), True),
        (IronflowError("x"), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (ValueError(), False),
        ("no error", False),
    ],
)
def test_whether_trying_again_may_help(error: object, again: bool):
    assert errors.is_retryable(error) is again
    assert errors.is_ironflow_error(error) is isinstance(error, IronflowError)


def test_anything_becomes_an_error():
    first = ValueError("x")
    assert errors.to_error(first) is first
    assert errors.to_error("text").args == ("text",)
    assert isinstance(errors.to_error(7), IronflowError)


async def test_ids_that_are_not_found_come_with_the_error():
    async with time_machine([]) as machine:
        with pytest.raises(errors.FunctionNotFoundError) as function_error:
            await machine.client.invoke("no-such", {})
        with pytest.raises(errors.FunctionNotFoundError) as got:
            await machine.client.functions.get("x" * 1000)
        with pytest.raises(errors.RunNotFoundError) as run_error:
            await machine.client.runs.get("run_none")

    assert (function_error.value.function_id, got.value.function_id) == ("no-such", "x" * 256)
    assert run_error.value.run_id == "run_none"


def test_an_error_of_an_older_server_has_no_id():
    found = error_in(answer({"code": "RUN_NOT_FOUND", "message": "none"}, status=404))
    assert isinstance(found, errors.RunNotFoundError)
    assert found.run_id == ""


async def test_a_step_s_time_out_names_the_step_and_the_time():
    seen: list[tuple[str, timedelta | None]] = []

    @function("slow", retry=ironflow.Retry(max_attempts=1))
    async def slow(ctx: Context) -> None:
        async def body() -> None:
            import asyncio

            await asyncio.Event().wait()

        for _ in range(2):
            try:
                await ctx.step.run("charge", body, timeout="10ms")
            except StepTimeoutError as error:
                seen.append((error.step_name, error.timeout))
        await ctx.step.sleep("rest", "1m")

    async with time_machine([slow]) as machine:
        await machine.invoke(slow)
        await machine.advance("2m")

    # In the execution that met it, and in the next one, from the record.
    assert seen == [("charge", timedelta(milliseconds=10))] * 4


async def test_an_invoke_s_time_out_names_the_function_and_the_time():
    seen: list[tuple[int | None, str, str]] = []

    @function("child")
    async def child(ctx: Context) -> None:
        await ctx.step.sleep("rest", "1h")

    @function("parent")
    async def parent(ctx: Context) -> None:
        try:
            await ctx.step.invoke("child", timeout="90s")
        except ironflow.InvokeTimeoutError as error:
            seen.append((error.timeout_ms, error.function_id, error.child_run_id))
        first = await ctx.step.start("child")
        (late,) = await ctx.step.join("both", [first], timeout="1m", on_error="collect")
        seen.append((late.timeout_ms, late.function_id, late.child_run_id))

    async with time_machine([child, parent]) as machine:
        await machine.invoke(parent)
        await machine.advance("10m")
        children = {run.id async for run in machine.client.runs.list(function_id="child")}

    assert {(timeout_ms, function_id) for timeout_ms, function_id, _ in seen} == {(90_000, "child"), (60_000, "child")}
    assert {run_id for _, _, run_id in seen} == children
