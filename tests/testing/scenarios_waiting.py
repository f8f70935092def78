"""Scenarios of functions that invoke and wait."""

from ironflow import (
    Context,
    InvokeError,
    NonRetryableError,
    Retry,
    WaitTimeoutError,
    function,
)
from tests.testing.scenarios import always, nothing, scenario, sleeper

# Invoking.


@scenario(expect=("failed", None))
def a_child_that_takes_longer_than_its_timeout():
    @function("main")
    async def main(ctx: Context):
        return await ctx.step.invoke("child", timeout="1h")

    return [main, sleeper("2h")]


@scenario(expect=("completed", "child"))
def a_child_that_ends_just_in_time():
    @function("main")
    async def main(ctx: Context):
        return await ctx.step.invoke("child", timeout="2h")

    return [main, sleeper("1h")]


@scenario(expect=("completed", ["InvokeTimeoutError", "INVOKE_FAILED"]))
def a_timeout_of_a_child_that_is_caught():
    @function("main")
    async def main(ctx: Context):
        try:
            return await ctx.step.invoke("child", timeout="1h")
        except InvokeError as error:
            await ctx.step.run("note", nothing)
            return [type(error).__name__, error.code]

    return [main, sleeper("2h")]


@scenario(expect=("failed", None))
def a_child_that_is_held_for_a_person():
    @function("main")
    async def main(ctx: Context):
        return await ctx.step.invoke("child", timeout="1h")

    @function("child", retry=Retry(max_attempts=1, on_exhausted="pause"))
    async def child(ctx: Context):
        await ctx.step.run("a", always(ValueError("no")))

    return [main, child]


@scenario(expect=("failed", None))
def a_child_that_fails():
    @function("main")
    async def main(ctx: Context):
        await ctx.step.invoke("child")

    @function("child", retry=Retry(max_attempts=2))
    async def child(ctx: Context):
        await ctx.step.run("a", always(ValueError("no")))

    return [main, child]


@scenario(expect=("completed", ["no", "NO", "NonRetryableError"]))
def a_child_that_fails_is_caught():
    @function("main")
    async def main(ctx: Context):
        try:
            await ctx.step.invoke("child")
        except InvokeError as error:
            return [error.cause, error.code, error.error_class]

    @function("child")
    async def child(ctx: Context):
        raise NonRetryableError("no", code="NO")

    return [main, child]


@scenario(expect=("completed", "child"))
def a_child_with_triggers():
    @function("main")
    async def main(ctx: Context):
        return await ctx.step.invoke("child", timeout="2h")

    return [main, sleeper("1h", on="other.event")]


@scenario(expect=("completed", "on"))
def a_child_started_without_waiting():
    @function("main")
    async def main(ctx: Context):
        await ctx.step.invoke_async("child")
        return "on"

    return [main, sleeper("1h")]


@scenario(expect=("completed", ["child", "other"]))
def two_children_at_once():
    @function("main")
    async def main(ctx: Context):
        return await ctx.step.parallel(
            "both",
            [lambda s: s.invoke("child", timeout="3h"), lambda s: s.invoke("other", timeout="1h")],
            on_error="collect",
        )

    @function("other")
    async def other(ctx: Context):
        await ctx.step.sleep("s", "30m")
        return "other"

    return [main, sleeper("2h"), other]


@scenario(expect=("completed", 2))
def two_children_at_once_of_which_one_times_out():
    @function("main")
    async def main(ctx: Context):
        return len(
            await ctx.step.parallel(
                "both",
                [lambda s: s.invoke("child", timeout="1h"), lambda s: s.sleep("nap", "90m")],
                on_error="collect",
            )
        )

    return [main, sleeper("2h")]


# Waiting.


@scenario(expect=("failed", None))
def a_wait_without_an_event():
    @function("main")
    async def main(ctx: Context):
        await ctx.step.wait_for_event("w", event="reply", timeout="1h")

    return [main]


@scenario(expect=("completed", ["WaitTimeoutError", "WAIT_TIMEOUT"]))
def a_wait_without_an_event_that_is_caught():
    @function("main")
    async def main(ctx: Context):
        try:
            await ctx.step.wait_for_event("w", event="reply", timeout="1h")
        except WaitTimeoutError as error:
            return [type(error).__name__, error.code]

    return [main]


@scenario(expect=("completed", None))
def a_wait_that_answers_none():
    @function("main")
    async def main(ctx: Context):
        return await ctx.step.wait_for_event("w", event="reply", timeout="1h", on_timeout=None)

    return [main]


@scenario({"id": 7}, ("reply", {"id": 6, "n": 1}), ("reply", {"id": 7, "n": 2}), expect=("completed", 2))
def a_wait_for_the_event_that_matches():
    @function("main")
    async def main(ctx: Context):
        event = await ctx.step.wait_for_event("w", event="reply", match="data.id", timeout="1h")
        return event.data["n"]

    return [main]


@scenario(None, ("reply", 1), ("reply", 2), expect=("completed", [1, 2]))
def two_waits_in_turn():
    @function("main")
    async def main(ctx: Context):
        first = await ctx.step.wait_for_event("a", event="reply", timeout="1h")
        second = await ctx.step.wait_for_event("b", event="reply", timeout="1h", on_timeout=None)
        return [first.data, None if second is None else second.data]

    return [main]


@scenario(None, ("reply", 1), expect=("completed", [1, 1]))
def two_waits_at_once_for_one_event():
    @function("main")
    async def main(ctx: Context):
        both = await ctx.step.parallel(
            "p",
            [
                lambda s: s.wait_for_event("a", event="reply", timeout="1h", on_timeout=None),
                lambda s: s.wait_for_event("b", event="reply", timeout="1h", on_timeout=None),
            ],
        )
        return [None if each is None else each.data for each in both]

    return [main]


@scenario(None, ("reply", 1), expect=("completed", 1))
def a_wait_in_the_run_after_an_event_that_came_before():
    @function("main")
    async def main(ctx: Context):
        await ctx.step.sleep("s", "2h")
        found = await ctx.step.wait_for_event("w", event="reply", timeout="1h", on_timeout=None, look_back="run")
        return None if found is None else found.data

    return [main]
