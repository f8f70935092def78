"""An order reserves stock and awaits its payment; without one the stock is restored (DBOS: widget store).

Start it with `ironflow dev widget_store.py`, then order and pay:
`ironflow invoke checkout --no-wait --key o1 --data '{"sku": "widget", "patience": "1m"}'`,
`ironflow run value checkout:o1 order`, `ironflow run send checkout:o1 payment --data '{"paid": true}'`.
"""

from typing import Any

import msgspec
import outside

from ironflow import Context, NonRetryableError, entity, function

stock = entity("stock", key="sku", initial={"left": 12})


@stock.handler
async def reserve(ctx: Context, item: dict[str, Any]) -> bool:
    """One order at a time for each article, so that no lock and no `WHERE left > 0` is needed."""
    if ctx.state["left"] == 0:
        return False
    ctx.state["left"] -= 1
    return True


@stock.handler
async def restore(ctx: Context, item: dict[str, Any]) -> None:
    ctx.state["left"] += 1


class Order(msgspec.Struct):
    """patience: how long a payment is waited for."""

    sku: str
    patience: str = "1h"


class SoldOut(NonRetryableError):
    """There is none left."""

    code = "SOLD_OUT"


@function("checkout", on_cancel="compensate")
async def checkout(ctx: Context, order: Order) -> str:
    """A run for each order, found by its key: the page shows its value `order`, the payment reaches it as a message."""
    item = {"sku": order.sku}
    if not await ctx.step.invoke("stock.reserve", item):
        raise SoldOut(f"{order.sku} is sold out")
    ctx.step.compensate("stock.reserve", lambda: ctx.step.invoke("stock.restore", item))

    payment_id = await ctx.step.run("request payment", request_payment, ctx.run.id)
    ctx.set("order", {"status": "awaiting payment", "payment": payment_id})
    payment = await ctx.step.receive("payment", timeout=order.patience, on_timeout=None)

    if payment is None or not payment.data["paid"]:
        ctx.set("order", {"status": "cancelled"})
        await ctx.step.compensate_now()
        return "cancelled"
    ctx.set("order", {"status": "paid"})
    # The parcel is a run of its own; this one does not wait for it.
    await ctx.step.start("dispatch", {"order": ctx.run.id, "sku": order.sku})
    return "paid"


@function("dispatch")
async def dispatch(ctx: Context, parcel: dict[str, str]) -> None:
    """Shows how far the parcel is."""
    for place in ("packed", "on its way", "delivered"):
        await ctx.step.run(place, move, parcel["sku"], place)
        ctx.set("parcel", place)


async def request_payment(order: str) -> str:
    await outside.call("bank.request", order=order)
    return f"payment-{order}"


async def move(sku: str, place: str) -> None:
    await outside.call("carrier.move", sku=sku, to=place)


functions = [*stock.functions, checkout, dispatch]
