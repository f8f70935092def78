"""How exceptions are reported to the server: the Python column of protocol/step-semantics.md 10."""

import asyncio
import math
from typing import Any

import pytest
from msgspec import UNSET

from ironflow.base.errors import (
    InvokeError,
    IronflowError,
    NonRetryableError,
    ResourceExhausted,
    SerializationError,
    StepError,
    StepTimeoutError,
    ValidationError,
)
from ironflow.base.retry_after import RetryAfterError
from ironflow.sdk.durable.job.failure import MESSAGE_CHARS_MAX
from ironflow.sdk.durable.job.report import Completed, Failed
from ironflow.sdk.values.payload import to_payload
from tests.sdk.durable.jobs import an_execution, as_sent

TABLE = [
    (ValueError("broken"), "ERROR", True, UNSET),
    (TimeoutError("late"), "ERROR", True, UNSET),
    (ConnectionError("lost"), "ERROR", True, UNSET),
    (SystemExit(1), "ERROR", True, UNSET),
    (NonRetryableError("no"), "NON_RETRYABLE", False, UNSET),
    (ValidationError("no"), "VALIDATION_ERROR", False, UNSET),
    (SerializationError("no"), "SERIALIZATION_ERROR", False, UNSET),
    (InvokeError("child"), "INVOKE_FAILED", False, UNSET),
    (IronflowError("x"), "UNKNOWN_ERROR", False, UNSET),
    (IronflowError("x", retryable=True), "UNKNOWN_ERROR", True, UNSET),
    (RetryAfterError("busy", after="30s"), "RETRY_AFTER", True, 30_000),
    (ResourceExhausted("busy", retry_after_s=1.5), "RESOURCE_EXHAUSTED", True, 1500),
]


async def test_of_a_long_text_the_beginning_is_reported():
    async def handler(ctx):
        raise RuntimeError("z" * 100_000)

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Failed)
    assert outcome.error.message == "z" * MESSAGE_CHARS_MAX + f" … ({100_000 - MESSAGE_CHARS_MAX} more characters)"


@pytest.mark.parametrize(("raised", "code", "retryable", "retry_after_ms"), TABLE, ids=lambda value: str(value)[:30])
async def test_an_exception_in_the_handler(raised, code, retryable, retry_after_ms):
    async def handler(ctx):
        raise raised

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Failed)
    error = outcome.error
    reported = (error.message, error.code, error.retryable, error.retry_after_ms)
    assert reported == (str(raised), code, retryable, retry_after_ms)
    assert error.stack is not UNSET
    assert error.stack.startswith("Traceback")
    assert "sdk/durable/user_code.py" not in error.stack


# Codes that do not say why a step failed.
PLAIN_CODES = ("ERROR", "NON_RETRYABLE", "RETRY_AFTER", "UNKNOWN_ERROR")


@pytest.mark.parametrize(("raised", "code", "retryable", "retry_after_ms"), TABLE, ids=lambda value: str(value)[:30])
async def test_an_exception_in_a_step(raised, code, retryable, retry_after_ms):
    async def body():
        raise raised

    async def handler(ctx):
        await ctx.step.run("a", body)

    execution = an_execution(handler)
    outcome = await execution.run()

    row = as_sent(execution.rows[0])
    assert (row["status"], row["error"]["message"], row["error"]["retryable"]) == ("failed", str(raised), retryable)
    assert "output" not in row
    assert isinstance(outcome, Failed)
    error = outcome.error
    expected = "STEP_FAILED" if code in PLAIN_CODES else code
    assert (error.code, error.retryable, error.retry_after_ms) == (expected, retryable, retry_after_ms)
    assert error.error_class == type(raised).__name__


async def test_a_handler_may_catch_a_failed_step_and_go_on():
    def body():
        raise KeyError("missing")

    async def handler(ctx):
        try:
            await ctx.step.run("a", body)
        except StepError as error:
            return [error.step_id, error.step_name, type(error.__cause__).__name__]

    execution = an_execution(handler)

    outcome = await execution.run()

    assert isinstance(outcome, Completed)
    assert bytes(outcome.output) == b'["r:a:0","a","KeyError"]'
    assert [row.status for row in execution.rows] == ["failed"]


async def test_a_step_that_takes_too_long_fails_and_its_body_is_cancelled():
    cancelled = asyncio.Event()

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def handler(ctx):
        with pytest.raises(StepTimeoutError) as raised:
            await ctx.step.run("a", hang, timeout=0.01)
        return raised.value.retryable

    execution = an_execution(handler)
    outcome = await execution.run()

    assert isinstance(outcome, Completed)
    assert bytes(outcome.output) == b"true"
    assert cancelled.is_set()
    row = as_sent(execution.rows[0])
    assert (row["status"], row["error"]["retryable"]) == ("failed", True)
    assert "timeout of 0.01 s" in row["error"]["message"]


async def test_the_functions_step_timeout_holds_where_a_step_names_none():
    async def handler(ctx):
        await ctx.step.run("a", asyncio.Event().wait)

    outcome = await an_execution(handler, settings={"step_timeout": 0.01}).run()

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == ("STEP_TIMEOUT", True)


async def test_a_timeout_of_the_bodys_own_is_its_own():
    async def body():
        raise TimeoutError("the bank did not answer")

    async def handler(ctx):
        await ctx.step.run("a", body, timeout="1m")

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.message) == ("STEP_FAILED", "the bank did not answer")


@pytest.mark.parametrize("output", [math.nan, {"a": [math.inf]}, object(), {"a": {None: 1}}, "\ud800"], ids=range(5))
async def test_a_body_whose_output_is_no_json_has_failed_for_good(output):
    async def body():
        return output

    async def handler(ctx):
        await ctx.step.run("a", body)

    execution = an_execution(handler)
    outcome = await execution.run()

    (row,) = execution.rows
    assert row.error is not UNSET
    assert (row.status, row.error.kind, row.error.retryable) == ("failed", "serialization", False)
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == ("SERIALIZATION_ERROR", False)


async def test_a_handler_whose_output_is_no_json_fails_for_good():
    async def handler(ctx):
        return {"rate": math.nan}

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == ("SERIALIZATION_ERROR", False)


async def test_exceptions_of_a_task_group_fail_the_handler():
    async def broken():
        raise ValueError("one of them")

    async def handler(ctx):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(broken())

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Failed)
    assert outcome.error.retryable


async def test_cancelling_a_blocking_handler_cancels_what_its_thread_waits_for():
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def body():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    def handler(ctx):
        ctx.step.run("a", body)

    task = asyncio.create_task(an_execution(handler).run())
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_cancelling_an_execution_cancels_its_handler_and_gives_no_outcome():
    started = asyncio.Event()

    async def body():
        started.set()
        await asyncio.Event().wait()

    async def handler(ctx):
        await ctx.step.run("a", body)

    execution = an_execution(handler)
    task = asyncio.create_task(execution.run())
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert execution.rows == []


@pytest.mark.parametrize(
    ("returned", "advice"),
    [
        (asyncio.sleep, "it holds a coroutine, whose call was not awaited. Write `await` before the call."),
        (
            lambda _: object(),
            "an object of class object is not JSON. Use plain values, dataclasses, or msgspec or pydantic models.",
        ),
    ],
)
def test_what_is_not_json_is_refused_with_what_to_do(returned: Any, advice: str):
    value = returned(0)
    with pytest.raises(SerializationError) as raised:
        to_payload({"x": value}, "what function 'f' returned")
    if asyncio.iscoroutine(value):
        value.close()

    assert raised.value.message == f"what function 'f' returned cannot be written as JSON: {advice}"
