"""What type checkers accept and refuse of steps, functions and events; `make types` checks it, nothing runs it."""

# What is ignored must be refused, by both.
# pyright: reportUnnecessaryTypeIgnoreComment=true

from typing import Any, TypedDict, assert_type

import msgspec

from ironflow import (
    Client,
    Context,
    Event,
    EventDefinition,
    Handle,
    SyncContext,
    define_event,
    entity,
    function,
    handler,
    sync,
)
from ironflow.worker import FunctionDefinition


class Order(msgspec.Struct):
    id: int


class Line(TypedDict):
    sku: str


class Receipt(msgspec.Struct):
    number: str


async def charge(card: str, amount: int) -> dict[str, int]:
    return {card: amount}


def count(*numbers: int) -> int:
    return len(numbers)


@function("typed", on="order.placed")
async def typed(ctx: Context) -> None:
    assert_type(await ctx.step.run("charge", charge, "visa", amount=5), dict[str, int])
    assert_type(await ctx.step.run("count", count, 1, 2, 3), int)
    assert_type(await ctx.step.run("slow", charge, "visa", 5, timeout="2s"), dict[str, int])
    await ctx.step.run("wrong type", charge, "visa", "5")  # type: ignore[call-overload]
    await ctx.step.run("too few", charge, "visa")  # type: ignore[call-overload]


@function("typed-sync", on="order.placed")
def typed_sync(ctx: SyncContext) -> Any:
    assert_type(ctx.step.run("charge", charge, "visa", amount=5), dict[str, int])
    assert_type(ctx.step.run("count", count, 1, timeout=3), int)
    ctx.step.run("wrong type", count, "1")  # type: ignore[call-overload]
    return ctx.event.data


@function("settle")
async def settle(ctx: Context, order: Order) -> Receipt:
    return Receipt(str(order.id))


@function("pack")
def pack(ctx: SyncContext, lines: list[Line]) -> int:
    return len(lines)


@function("tidy")
async def tidy(ctx: Context) -> list[str]:
    return []


@function("greet")
async def greet(ctx: Context, name: str | None) -> str:
    return name or "you"


@function("unknown")
async def unknown(ctx: Any, order: Any) -> Any:
    return order


@handler("order.settled")
async def settled(ctx: Context, order: Order) -> bool:
    return order.id > 0


basket = entity("basket", key="id")


@basket.on("basket.changed")
async def change(ctx: Context, line: Line) -> int:
    return len(line["sku"])


approved = define_event("order.approved", type=Order)
packed = define_event("order.packed", type=Line)
loose = define_event("order.lost")


def definitions() -> None:
    assert_type(settle, FunctionDefinition[Order, Receipt])
    assert_type(pack, FunctionDefinition[list[Line], int])
    assert_type(tidy, FunctionDefinition[Any, list[str]])
    assert_type(settled, FunctionDefinition[Order, bool])
    assert_type(change, FunctionDefinition[Line, int])
    assert_type(approved, EventDefinition[Order])
    assert_type(loose, EventDefinition[Any])


@function("invoking", on="order.placed")
async def invoking(ctx: Context, any_function: FunctionDefinition, either: str | FunctionDefinition = "settle") -> None:
    assert_type(await ctx.step.invoke(settle, Order(7)), Receipt)
    assert_type(await ctx.step.invoke(settle, Order(7), timeout="2m", timeout_from="start"), Receipt)
    assert_type(await ctx.step.invoke(pack, [Line(sku="x")]), int)
    assert_type(await ctx.step.invoke(tidy), list[str])
    assert_type(await ctx.step.invoke(tidy, entity_key="b1"), list[str])
    assert_type(await ctx.step.invoke(tidy, {"anything": True}), list[str])
    assert_type(await ctx.step.invoke(greet), str)
    assert_type(await ctx.step.invoke(greet, "ada"), str)
    assert_type(await ctx.step.invoke("settle", {"id": 7}), Any)
    assert_type(await ctx.step.invoke(unknown, {"id": 7}), Any)
    await ctx.step.invoke(any_function, {"id": 7})
    await ctx.step.invoke(any_function)
    await ctx.step.invoke(either, {"id": 7})
    await ctx.step.invoke_async(settle, Order(7))
    await ctx.step.invoke(settle, Line(sku="x"))  # type: ignore[misc]
    await ctx.step.invoke(settle)  # type: ignore[arg-type]
    await ctx.step.invoke(greet, 5)  # type: ignore[misc]
    await ctx.step.invoke_async(settle, 5)  # type: ignore[misc]


@function("starting", on="order.placed")
async def starting(ctx: Context) -> None:
    assert_type(await ctx.step.start(settle, Order(7)), Handle[Receipt])
    handles = await ctx.step.start_many(settle, [Order(7), Order(8)])
    assert_type(await ctx.step.join("all", handles), list[Receipt])
    assert_type(await ctx.step.join("each", handles, on_error="collect"), list[Any])
    await ctx.step.start_many(settle, [5])  # type: ignore[misc]


@function("waiting", on="order.placed")
async def waiting(ctx: Context) -> None:
    assert_type(await ctx.step.wait_for_event("yes", event=approved), Event[Order])
    assert_type(await ctx.step.wait_for_event("yes", event=approved, on_timeout=None), Event[Order] | None)
    assert_type((await ctx.step.wait_for_event("box", event=packed)).data["sku"], str)
    assert_type(await ctx.step.wait_for_event("lost", event=loose), Event[Any])
    assert_type(await ctx.step.wait_for_event("named", event="order.approved"), Event[Any])
    event: Event = ctx.event
    assert_type(event.data, Any)


@function("plain", on="order.placed")
def plain(ctx: SyncContext) -> None:
    assert_type(ctx.step.invoke(settle, Order(7)), Receipt)
    assert_type(ctx.step.invoke(tidy), list[str])
    assert_type(ctx.step.wait_for_event("yes", event=approved), Event[Order])
    assert_type(ctx.step.join("all", [ctx.step.start(settle, Order(7))]), list[Receipt])
    ctx.step.invoke(settle, 5)  # type: ignore[misc]


async def calling(client: Client, blocking: sync.Client) -> None:
    assert_type(await client.invoke_sync(settle, Order(7), timeout="5s"), Receipt)
    assert_type(await client.invoke_sync("settle", {"id": 7}), Any)
    assert_type((await client.invoke(settle, Order(7))).run_id, str)
    assert_type(blocking.invoke_sync(settle, Order(7)), Receipt)
    await client.invoke(settle, 5)  # type: ignore[misc]
    await client.invoke_sync(settle)  # type: ignore[arg-type]
