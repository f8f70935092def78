"""A shop whose durable function runs in its own web application: the server calls it, and no worker is needed.

Run it with `uvicorn app:app`, and register it with `ironflow register http://localhost:8000/api/ironflow`.
"""

import msgspec
from fastapi import FastAPI

from ironflow import Context, NonRetryableError, function
from ironflow.serve import serve


class Order(msgspec.Struct):
    """An order. total: in cents."""

    id: str
    total: int


async def charge(order: Order) -> str:
    return f"charge-{order.id}"


async def refund(charge_id: str) -> str:
    return f"refunded {charge_id}"


async def ship(order: Order) -> str:
    return f"parcel-{order.id}"


@function("fulfil-order", on="order.placed")
async def fulfil_order(ctx: Context, order: Order) -> dict[str, str]:
    """Charges the card, waits for the warehouse, and ships; the charge is refunded when the warehouse refuses."""
    charge_id = await ctx.step.run("charge", charge, order)
    ctx.step.compensate("charge", lambda: refund(charge_id))
    picked = await ctx.step.wait_for_event("picked", event="order.picked", match="data.id", timeout="7d")
    if not picked.data["ok"]:
        raise OutOfStock(f"order {order.id} is out of stock")
    return {"charge": charge_id, "parcel": await ctx.step.run("ship", ship, order)}


class OutOfStock(NonRetryableError):
    """The warehouse has none left."""


ironflow = serve([fulfil_order])
app = FastAPI()
app.mount("/api/ironflow", ironflow)
