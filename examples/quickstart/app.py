"""The quickstart: one durable function of three steps.

Run it with `ironflow dev app.py`, then place an order: `ironflow emit order.placed --data @order.json --wait`.
"""

from typing import Any

import msgspec
import services

from ironflow import Retry, function


class Item(msgspec.Struct):
    sku: str
    name: str
    quantity: int
    unit_price: int


class Customer(msgspec.Struct):
    id: str
    name: str
    email: str
    country: str


class Order(msgspec.Struct):
    """An order of the shop. Prices are in the currency's smallest unit, such as cents."""

    id: str
    customer: Customer
    items: list[Item]
    total: int
    currency: str
    card: str
    placed_at: str


@function("process-order", on="order.placed", retry=Retry(max_attempts=3, initial_delay="500ms"))
async def process_order(ctx: Any, order: Order) -> dict[str, str]:
    """Reserves the stock, charges the card and mails the customer. A finished step never runs again."""
    skus = {item.sku: item.quantity for item in order.items}
    # A step may run again if a crash precedes the record of its result; the key lets the service detect that.
    key = ctx.run.id

    run = ctx.step.run
    reservation = await run("reserve-stock", services.reserve_stock, skus, key=key)
    charge = await run("charge-card", services.charge_card, order.card, order.total, order.currency, key=key)
    message = await run("send-confirmation", services.send_confirmation, order.customer.email, order.id, key=key)

    return {"order": order.id, "reservation": reservation, "charge": charge, "message": message}


functions = [process_order]
