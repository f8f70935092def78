"""Tickets are reserved for a cart, are free again after a while, and paid once (Restate: ticket reservation).

Start it with `ironflow dev tickets.py`, then call the cart `ada`:
`ironflow entity call cart ada add --data '{"cart": "ada", "ticket": "A1", "hold": "15m"}'`,
`ironflow entity call cart ada checkout`, `ironflow entity get ticket A1`.
"""

from typing import Any

import outside

from ironflow import Context, entity

ticket = entity("ticket", key="ticket", initial={"status": "free"})
cart = entity("cart", key="cart", initial={"tickets": {}})


@ticket.handler
async def reserve(ctx: Context, data: dict[str, str]) -> bool:
    """False when the ticket is reserved or sold. Handlers of one ticket take turns, whatever carts there are."""
    if ctx.state["status"] != "free":
        return False
    ctx.state = {"status": "reserved", "cart": data["cart"]}
    return True


@ticket.handler
async def release(ctx: Context, data: dict[str, str]) -> None:
    if ctx.state == {"status": "reserved", "cart": data["cart"]}:
        ctx.state = {"status": "free"}


@ticket.handler
async def sell(ctx: Context, data: dict[str, str]) -> None:
    ctx.state = {"status": "sold", "cart": data["cart"]}


@cart.handler
async def add(ctx: Context, data: dict[str, str]) -> bool:
    """Reserves a ticket for as long as `hold`. False when it is not to be had."""
    asked = of_ticket(ctx, data["ticket"])
    if not await ctx.step.invoke("ticket.reserve", asked):
        return False
    ctx.state["tickets"][data["ticket"]] = ctx.run.id
    # A run that waits for its time is a row. It is not cancelled when the ticket is sold: it finds nothing to do then.
    await ctx.step.start("cart.expire", {**asked, "added": ctx.run.id}, delay=data["hold"])
    return True


@cart.handler
async def remove(ctx: Context, data: dict[str, str]) -> None:
    if ctx.state["tickets"].pop(data["ticket"], None):
        await ctx.step.invoke("ticket.release", of_ticket(ctx, data["ticket"]))


@cart.handler
async def expire(ctx: Context, data: dict[str, str]) -> None:
    """Removes a ticket, unless it was sold, or was removed and added again."""
    if ctx.state["tickets"].get(data["ticket"]) == data["added"]:
        del ctx.state["tickets"][data["ticket"]]
        await ctx.step.invoke("ticket.release", of_ticket(ctx, data["ticket"]))


@cart.handler
async def checkout(ctx: Context) -> list[str]:
    """Pays for all tickets. A second checkout waits for the first one, and finds the cart empty."""
    tickets = sorted(ctx.state["tickets"])
    if tickets:
        await ctx.step.run("pay", pay, cart_of(ctx), tickets)
        for each in tickets:
            await ctx.step.invoke("ticket.sell", of_ticket(ctx, each))
        ctx.state["tickets"] = {}
    return tickets


def cart_of(ctx: Context) -> str:
    return ctx.entity.key if ctx.entity else ""


def of_ticket(ctx: Context, name: str) -> dict[str, Any]:
    return {"ticket": name, "cart": cart_of(ctx)}


async def pay(name: str, tickets: list[str]) -> None:
    await outside.call("bank.pay", cart=name, amount=20 * len(tickets))


functions = [*ticket.functions, *cart.functions]
