"""What a type checker accepts and refuses of steps; checked by `make types`, never run."""

from typing import Any, assert_type

from ironflow import Context, SyncContext, function


async def charge(card: str, amount: int) -> dict[str, int]:
    return {card: amount}


def count(*numbers: int) -> int:
    return len(numbers)


@function("typed", on="order.placed")
async def typed(ctx: Context) -> None:
    assert_type(await ctx.step.run("charge", charge, "visa", amount=5), dict[str, int])
    assert_type(await ctx.step.run("count", count, 1, 2, 3), int)
    assert_type(await ctx.step.run("slow", charge, "visa", 5, timeout="2s"), dict[str, int])
    await ctx.step.run("wrong type", charge, "visa", "5")  # pyright: ignore[reportArgumentType, reportCallIssue]
    await ctx.step.run("too few", charge, "visa")  # pyright: ignore[reportArgumentType, reportCallIssue]


@function("typed-sync", on="order.placed")
def typed_sync(ctx: SyncContext) -> Any:
    assert_type(ctx.step.run("charge", charge, "visa", amount=5), dict[str, int])
    assert_type(ctx.step.run("count", count, 1, timeout=3), int)
    ctx.step.run("wrong type", count, "1")  # pyright: ignore[reportArgumentType, reportCallIssue]
    return ctx.event.data
