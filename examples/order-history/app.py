"""Event-sourced orders: each order is a stream of events, and its state is the fold of these events.

`change` decides on the stream that it has read, and appends only if the stream is unchanged. Two read models follow
the log: `open-orders`, folded by this program, and `revenue`, a table that the server updates. Version 1 of
`order.placed` has a price in euros; version 2 has cents and a currency, and old events are converted when they are
read.

Run it with `python app.py` together with `ironflow serve --dev`, then append to a stream: see README.md.
"""

import asyncio
from typing import Any

import msgspec

from ironflow import Client, Context, NonRetryableError, UpcasterRegistry, define_event, function
from ironflow.errors import VersionConflict
from ironflow.projection import ProjectionEvent, projection
from ironflow.worker import Worker


class PlacedV1(msgspec.Struct):
    """total: in euros."""

    id: str
    customer: str
    total: float


class Placed(msgspec.Struct):
    """amount: in the currency's smallest unit."""

    id: str
    customer: str
    amount: int
    currency: str


def to_cents(data: dict[str, Any]) -> dict[str, Any]:
    """order.placed from version 1 to 2: all orders were in euros then."""
    return {
        "id": data["id"],
        "customer": data["customer"],
        "amount": round(data["total"] * 100),
        "currency": "EUR",
    }


placed_v1 = define_event(name="order.placed", version=1, type=PlacedV1)
placed = define_event(name="order.placed", version=2, type=Placed, upcast=to_cents)
upcasters = UpcasterRegistry([placed_v1, placed])


class Order(msgspec.Struct):
    """The fold of the events of one order. version: of its last event, 0 for a missing order."""

    status: str = "unknown"
    amount: int = 0
    currency: str = ""
    version: int = 0


# The status that each event requires, and the status after it.
CHANGES = {
    "order.paid": ("placed", "paid"),
    "order.cancelled": ("placed", "cancelled"),
    "order.shipped": ("paid", "shipped"),
}


async def load(client: Client, order_id: str) -> Order:
    """Folds the order's stream, with events of any version."""
    order = Order()
    async for event in client.streams.read(order_id):
        if event.name == placed.name:
            data = upcasters.upcast_to_latest(event.name, event.data, event.version)
            order.status, order.amount, order.currency = "placed", data["amount"], data["currency"]
        else:
            order.status = CHANGES[event.name][1]
        order.version = event.entity_version
    return order


def decide(order: Order, name: str) -> bool:
    """Whether the event must be appended; False when it is already recorded. Raises NonRetryableError."""
    needed, reached = CHANGES[name]
    if order.status == reached:
        return False
    if order.status != needed:
        raise NonRetryableError(f"{name} needs an order that is {needed}; this one is {order.status}.")
    return True


async def change(client: Client, order_id: str, name: str) -> Order:
    """Appends an event to an order, decided on its whole stream; returns the order after it."""
    while True:
        order = await load(client, order_id)
        if not decide(order, name):
            return order
        try:
            await client.streams.append(order_id, name, {"id": order_id}, expected_version=order.version)
        except VersionConflict:
            continue  # A concurrent change came first: read and decide again.


@function("change-order")
async def change_order(ctx: Context) -> Any:
    """Invoked with {"id": ..., "event": "order.paid"}."""

    async def append() -> Any:
        async with Client() as client:
            return msgspec.to_builtins(await change(client, ctx.event.data["id"], ctx.event.data["event"]))

    return await ctx.step.run("append", append)


@function("confirm-order", on=placed)
async def confirm_order(ctx: Context, order: Placed) -> str:
    """Receives cents and a currency, also for an order of an old program."""
    return await ctx.step.run("write", confirmation, order)


async def confirmation(order: Placed) -> str:
    return f"to {order.customer}: we have your order {order.id} of {order.amount / 100:.2f} {order.currency}."


@projection("open-orders", events=["order.*"], initial_state={})
def open_orders(state: dict[str, str], event: ProjectionEvent) -> dict[str, str]:
    """Order id to status, of the open orders."""
    if event.name in {"order.shipped", "order.cancelled"}:
        return {order: status for order, status in state.items() if order != event.data["id"]}
    return {**state, event.data["id"]: event.name.removeprefix("order.")}


# The server has no upcasters. The SQL statements distinguish the versions.
REVENUE_TABLE = """
CREATE TABLE proj_revenue (
    id TEXT PRIMARY KEY, customer TEXT NOT NULL, amount BIGINT NOT NULL, paid BIGINT NOT NULL DEFAULT 0
)"""
REVENUE = {
    "order.placed": """
        INSERT INTO proj_revenue (id, customer, amount)
        VALUES (:data.id, :data.customer, CASE WHEN :event_version = 1
            THEN CAST(round(:data.total * 100) AS BIGINT) ELSE :data.amount END)""",
    "order.paid": "UPDATE proj_revenue SET paid = 1 WHERE id = :data.id",
}


async def create_revenue() -> None:
    """Creates the table, or registers its current statements."""
    async with Client() as client:
        await client.sql_projections.create("revenue", table=REVENUE_TABLE, on=REVENUE)


functions = [change_order, confirm_order]
projections = [open_orders]

if __name__ == "__main__":
    asyncio.run(create_revenue())
    Worker(functions=functions, projections=projections, upcasters=upcasters).run()
