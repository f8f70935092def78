"""A small shop whose runs show everything that the dashboard draws: the data of the browser tests and screenshots."""

from collections.abc import Callable
from typing import Any

from ironflow import Concurrency, Retry, function
from ironflow.sync import Client
from tests.dashboard.shop_data import keep

# Markup, a right-to-left override and a control character: no page may interpret them.
PROBE = "<img src=x onerror=\"document.title='BROKEN'\">\u202e\u0007<b>probe</b>"
QUICK = Retry(max_attempts=3, initial_delay="50ms")


class CardDeclined(Exception):
    """The bank refuses the card."""


def reserve(order: dict[str, Any]) -> dict[str, Any]:
    return {"reserved": order.get("items", []), "warehouse": "north"}


def charge(order: dict[str, Any]) -> dict[str, Any]:
    if order.get("card") == "declined":
        raise CardDeclined(f"insufficient funds on card {order['id'][-4:]}")
    return {"charge": f"ch_{order['id']}", "amount": order.get("total", 0)}


@function("process-order", on="order.placed", retry=QUICK, recording=True)
async def process_order(ctx: Any, order: Any) -> dict[str, Any]:
    """Reserves the stock, charges the card, ships."""
    ctx.logger.info("reserving", extra={"order": order["id"]})
    reserved = await ctx.step.run("reserve-stock", reserve, order)
    paid = await ctx.step.run("charge-card", charge, order)
    shipped = await ctx.step.invoke("ship", {"order": order["id"]})
    return {"reserved": reserved, "paid": paid, "shipped": shipped}


@function("ship", recording=True)
async def ship(ctx: Any, parcel: Any) -> dict[str, Any]:
    async def quote(carrier: str, steps: Any, index: int) -> str:
        return await steps.run(f"quote-{carrier}", lambda: f"{carrier}: {index + 4}.90")

    quotes = await ctx.step.map("quotes", ["post", "courier", "bike"], quote)
    await ctx.step.run("book", lambda: min(quotes))
    return {"parcel": parcel, "by": min(quotes)}


@function("settle", on="payment.due", recording=True)
async def settle(ctx: Any, due: Any) -> Any:
    """Waits for the money."""
    await ctx.step.run("send-invoice", lambda: {"invoice": due["id"]})
    return await ctx.step.wait_for_event("payment", event="payment.confirmed", match="data.id", timeout="24h")


@function("sync-stock", on="stock.changed", retry=Retry(max_attempts=1, on_exhausted="pause"))
async def sync_stock(ctx: Any, change: Any) -> Any:
    def send() -> None:
        raise ConnectionError(f"warehouse {change['sku']} does not answer")

    return await ctx.step.run("send", send)


@function("long", on="import.started")
async def long_import(ctx: Any, job: Any) -> int:
    for number in range(job["rows"]):
        await ctx.step.run("row", lambda number=number: number)
    return job["rows"]


@function("announce", on="campaign.started")
async def announce(ctx: Any, campaign: Any) -> None:
    for place in ("north", "south"):
        await ctx.step.publish(f"campaigns.{place}", campaign)
    await ctx.step.invoke("ship", {"order": campaign["id"]})


@function("payout", on="payout.due", concurrency=Concurrency(limit=1, key="event.data.account", hold="run"))
async def payout(ctx: Any, due: Any) -> Any:
    """One at a time for an account, until the bank has answered."""
    return await ctx.step.wait_for_event("bank", event="payout.sent", match="data.id", timeout="24h")


FUNCTIONS = [process_order, ship, settle, sync_stock, long_import, announce, payout]


def fill(client: Client, wait: Callable[[], None]) -> dict[str, str]:
    """Starts runs of every kind, and fills what the shop keeps beside them; returns ids by kind.

    wait: returns when all have settled.
    """
    runs: dict[str, str] = {}

    def emit(kind: str, event: str, data: dict[str, Any]) -> None:
        runs[kind] = client.emit(event, data).run_ids[0]

    for number in range(12):
        emit("completed", "order.placed", {"id": f"ord_{number:04}", "items": ["a-1"], "total": 1200 + number})
    for number in range(3):
        emit("failed", "order.placed", {"id": f"ord_9{number:03}", "card": "declined", "total": 5})
    emit("probe", "order.placed", {"id": PROBE, "note": PROBE, "items": [PROBE]})
    emit("campaign", "campaign.started", {"id": "spring"})
    emit("waiting", "payment.due", {"id": "inv_1"})
    emit("paused", "stock.changed", {"sku": PROBE})
    keep(client, PROBE)
    runs["delivery"] = next(iter(client.webhooks.deliveries(status="rejected"))).id
    runs["campaign_event"] = client.runs.get(runs["campaign"]).event_id
    wait()
    runs["ship"] = next(step.child_run_id for step in client.runs.steps(runs["completed"]) if step.child_run_id)
    for number, account in enumerate(("acme", "acme", "acme", PROBE)):
        emit(f"payout-{number}", "payout.due", {"id": f"pay_{number}", "account": account})
    return runs
