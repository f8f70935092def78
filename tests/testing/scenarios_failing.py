"""Scenarios of functions that fail, are undone, restart, and race."""

import asyncio
from datetime import timedelta

from ironflow import (
    Concurrency,
    Context,
    InvokeError,
    NonRetryableError,
    Retry,
    RetryAfterError,
    StepError,
    event,
    function,
    invoke,
    sleep,
)
from tests.testing.scenarios import always, failing, nothing, scenario, sleeper

# Retries.


@scenario(expect=("completed", "done"))
def a_body_that_fails_and_then_succeeds():
    body = failing(ValueError("1"), ValueError("2"))

    @function("main", retry=Retry(max_attempts=3))
    async def main(ctx: Context):
        return await ctx.step.run("a", body)

    return [main]


@scenario(expect=("failed", None))
def a_body_whose_attempts_are_used_up():
    @function("main", retry=Retry(max_attempts=3))
    async def main(ctx: Context):
        return await ctx.step.run("a", always(ValueError("no")))

    return [main]


@scenario(expect=("failed", None))
def a_handler_whose_attempts_are_used_up():
    @function("main", retry=Retry(max_attempts=2))
    async def main(ctx: Context):
        await ctx.step.run("a", nothing)
        raise ValueError("no")

    return [main]


@scenario(expect=("failed", None))
def a_failure_that_is_not_tried_again():
    @function("main", retry=Retry(max_attempts=3))
    async def main(ctx: Context):
        await ctx.step.run("a", always(NonRetryableError("no")))

    return [main]


@scenario(expect=("paused", None))
def a_run_that_is_paused_when_its_attempts_are_used_up():
    @function("main", retry=Retry(max_attempts=2, on_exhausted="pause"))
    async def main(ctx: Context):
        await ctx.step.run("a", always(ValueError("no")))

    return [main]


@scenario(expect=("failed", None))
def a_run_whose_failure_is_final_and_that_would_be_paused_otherwise():
    @function("main", retry=Retry(max_attempts=2, on_exhausted="pause"))
    async def main(ctx: Context):
        await ctx.step.run("a", always(NonRetryableError("no")))

    return [main]


@scenario(expect=("failed", None))
def a_wait_that_began_before_the_attempts_were_used_up():
    @function("main", retry=Retry(max_attempts=2, initial_delay="2h"))
    async def main(ctx: Context):
        await ctx.step.wait_for_event("w", event="reply", timeout="1h")
        await ctx.step.run("a", always(ValueError("no")))

    return [main]


@scenario(expect=("completed", [None, "done"]))
def a_wait_that_began_before_an_attempt_failed():
    body = failing(ValueError("1"))

    @function("main", retry=Retry(max_attempts=3, initial_delay="2h"))
    async def main(ctx: Context):
        return await ctx.step.parallel(
            "p",
            [
                lambda s: s.wait_for_event("w", event="reply", timeout="1h", on_timeout=None),
                lambda s: s.run("a", body),
            ],
        )

    return [main]


@scenario(expect=("completed", "done"))
def a_pause_that_the_error_names():
    body = failing(RetryAfterError("later", after="1h"))

    @function("main", retry=Retry(max_attempts=2))
    async def main(ctx: Context):
        return await ctx.step.run("a", body)

    return [main]


@scenario(expect=("completed", "done"))
def a_step_with_attempts_of_its_own():
    body = failing(ValueError("1"), ValueError("2"))

    @function("main", retry=Retry(max_attempts=1))
    async def main(ctx: Context):
        return await ctx.step.run("a", body, retry=Retry(max_attempts=3, initial_delay="1h"))

    return [main]


@scenario(expect=("failed", None))
def a_step_whose_own_attempts_are_used_up():
    @function("main", retry=Retry(max_attempts=3))
    async def main(ctx: Context):
        return await ctx.step.run("a", always(ValueError("no")), retry=Retry(max_attempts=2))

    return [main]


@scenario(expect=("paused", None))
def a_step_whose_own_attempts_are_used_up_of_a_run_that_is_paused_then():
    @function("main", retry=Retry(max_attempts=3, on_exhausted="pause"))
    async def main(ctx: Context):
        return await ctx.step.run("a", always(ValueError("no")), retry=Retry(max_attempts=2))

    return [main]


@scenario(expect=("completed", "no"))
def a_step_whose_failure_the_handler_catches():
    @function("main", retry=Retry(max_attempts=3))
    async def main(ctx: Context):
        try:
            await ctx.step.run("a", always(ValueError("no")))
        except StepError as error:
            return str(error)

    return [main]


# Compensations.


@scenario(expect=("failed", None))
def compensations_of_a_run_that_failed():
    @function("main", retry=Retry(max_attempts=2))
    async def main(ctx: Context):
        await ctx.step.run("a", nothing)
        ctx.step.compensate("a", nothing)
        await ctx.step.run("b", nothing)
        ctx.step.compensate("b", nothing)
        await ctx.step.run("c", always(ValueError("no")))

    return [main]


@scenario(expect=("failed", None))
def a_compensation_that_fails_first():
    undo = failing(ValueError("1"))

    @function("main", retry=Retry(max_attempts=3))
    async def main(ctx: Context):
        await ctx.step.run("a", nothing)
        ctx.step.compensate("a", undo)
        await ctx.step.run("c", always(NonRetryableError("no")))

    return [main]


@scenario(expect=("failed", None))
def a_compensation_that_fails_for_good():
    @function("main", retry=Retry(max_attempts=3))
    async def main(ctx: Context):
        await ctx.step.run("a", nothing)
        ctx.step.compensate("a", always(ValueError("never")))
        await ctx.step.run("c", always(NonRetryableError("no")))

    return [main]


@scenario(expect=("failed", None))
def a_compensation_that_cannot_succeed():
    @function("main", retry=Retry(max_attempts=3))
    async def main(ctx: Context):
        await ctx.step.run("a", nothing)
        ctx.step.compensate("a", always(NonRetryableError("never")))
        await ctx.step.run("c", always(NonRetryableError("no")))

    return [main]


@scenario(expect=("failed", None))
def compensations_after_a_wait_that_timed_out():
    @function("main")
    async def main(ctx: Context):
        await ctx.step.run("a", nothing)
        ctx.step.compensate("a", nothing)
        await ctx.step.wait_for_event("w", event="reply", timeout="1h")

    return [main]


@scenario(cancel_at="nap", expect=("cancelled", None))
def a_cancel_that_undoes():
    @function("main", on_cancel="compensate")
    async def main(ctx: Context):
        await ctx.step.run("a", nothing)
        ctx.step.compensate("a", nothing)
        await ctx.step.sleep("nap", "1h")

    return [main]


@scenario(cancel_at="nap", expect=("cancelled", None))
def a_cancel_that_leaves_all_as_it_is():
    @function("main")
    async def main(ctx: Context):
        await ctx.step.run("a", nothing)
        ctx.step.compensate("a", nothing)
        await ctx.step.sleep("nap", "1h")

    return [main]


# Limits, restarts, handles.


@scenario({"id": 1}, expect=("completed", "done"))
def a_limit_of_one_run():
    @function("main", concurrency=Concurrency(1))
    async def main(ctx: Context):
        await ctx.step.sleep("nap", "1h")
        return await ctx.step.run("a", failing())

    return [main]


@scenario(3, expect=("completed", "end"))
def a_run_that_restarts():
    @function("main")
    async def main(ctx: Context, left: int):
        if left:
            await ctx.step.sleep("nap", "1h")
            return ctx.restart(left - 1)
        return "end"

    return [main]


@scenario(expect=("completed", ["child"]))
def a_child_that_is_started_and_joined():
    @function("main")
    async def main(ctx: Context):
        handle = await ctx.step.start("child")
        await ctx.step.run("meanwhile", nothing)
        return await ctx.step.join("j", [handle])

    return [main, sleeper("1h")]


@scenario(expect=("completed", "INVOKE_FAILED"))
def a_child_that_is_joined_too_late():
    @function("main")
    async def main(ctx: Context):
        handle = await ctx.step.start("child")
        try:
            return await ctx.step.join("j", [handle], timeout="1h")
        except InvokeError as error:
            return error.code

    return [main, sleeper("2h")]


# The order of things.


@scenario(None, ("reply", 1), expect=("completed", "came"))
def the_first_of_an_event_and_a_sleep():
    @function("main")
    async def main(ctx: Context):
        first = await ctx.step.wait_any("race", came=event("reply", timeout="2h"), late=sleep("1h"))
        return first.name

    return [main]


@scenario(expect=("completed", "late"))
def the_first_of_an_event_that_does_not_come_and_a_sleep():
    @function("main")
    async def main(ctx: Context):
        first = await ctx.step.wait_any("race", came=event("reply", timeout="2h"), late=sleep("1h"))
        return first.name

    return [main]


@scenario(expect=("completed", "late"))
def the_first_of_a_sleep_and_a_longer_child():
    @function("main")
    async def main(ctx: Context):
        first = await ctx.step.wait_any("race", child=invoke("child", timeout="3h"), late=sleep("1h"))
        return first.name

    return [main, sleeper("2h")]


@scenario(expect=("failed", None))
def a_body_that_takes_too_long():
    async def slow() -> None:
        await asyncio.sleep(60)

    @function("main", retry=Retry(max_attempts=1))
    async def main(ctx: Context):
        await ctx.step.run("a", slow, timeout=0.01)

    return [main]


@scenario("nine", expect=("failed", None))
def data_that_does_not_fit():
    @function("main", retry=Retry(max_attempts=3))
    async def main(ctx: Context, data: int):
        return data

    return [main]


@scenario(expect=("completed", None))
def the_time_that_sleeps_take():
    @function("main")
    async def main(ctx: Context):
        first = await ctx.step.run("t1", lambda: None)
        await ctx.step.sleep("a", timedelta(hours=1))
        return first

    return [main]
