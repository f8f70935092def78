"""A subscription: a trial, then a charge for each period, until it is cancelled (Temporal: subscription workflow).

Start it with `ironflow dev subscription.py`, then subscribe, change the amount, and cancel:
`ironflow invoke subscribe --key ada --no-wait --data '{"customer": "ada", "amount": 5, "trial": "1m"}'`,
`ironflow run send subscribe:ada command --data '{"amount": 9}'`, `... --data '{"cancel": true}'`.
"""

from datetime import timedelta
from typing import Any

import msgspec
import outside

from ironflow import Context, Retry, function
from ironflow.core import parse_duration

# A link of the chain has few steps, so a replay stays short however long the subscription lasts.
PERIODS_IN_A_LINK = 2


class Plan(msgspec.Struct):
    """trial, period: durations such as `30d`. periods: paid ones, before it ends. charged: periods paid so far."""

    customer: str
    amount: int
    trial: str = "14d"
    period: str = "30d"
    periods: int = 1200
    charged: int = 0


@function("subscribe", step_retry=Retry(max_attempts=10, initial_delay="1m", max_delay="1d"))
async def subscribe(ctx: Context, plan: Plan) -> dict[str, Any]:
    """A run for each customer, found by the key; commands reach it as messages, also during a charge or a restart."""
    if plan.charged == 0:
        show(ctx, plan, "trial")
        await ctx.step.run("welcome", mail, plan, "welcome")
        if not await serve(ctx, plan, plan.trial):
            return await end(ctx, plan, "cancelled in the trial")
    for _ in range(PERIODS_IN_A_LINK):
        if plan.charged == plan.periods:
            return await end(ctx, plan, "ended")
        await ctx.step.run("charge", charge, plan)
        plan.charged += 1
        show(ctx, plan, "active")
        if not await serve(ctx, plan, plan.period):
            return await end(ctx, plan, "cancelled")
    return ctx.restart(msgspec.to_builtins(plan))


async def serve(ctx: Context, plan: Plan, period: str) -> bool:
    """Takes commands until `period` is over, which no command prolongs. False when one cancels."""
    ends = ctx.now() + timedelta(milliseconds=parse_duration(period))
    while True:
        left = max(ends - ctx.now(), timedelta(0))
        command = await ctx.step.receive("command", timeout=left, on_timeout=None)
        if command is None:
            return True
        if command.data.get("cancel"):
            return False
        plan.amount = command.data["amount"]
        show(ctx, plan, "changed")


def show(ctx: Context, plan: Plan, status: str) -> None:
    ctx.set("subscription", {"status": status, "amount": plan.amount, "charged": plan.charged})


async def end(ctx: Context, plan: Plan, status: str) -> dict[str, Any]:
    show(ctx, plan, status)
    await ctx.step.run("goodbye", mail, plan, "goodbye")
    return {"status": status, "charged": plan.charged}


async def charge(plan: Plan) -> None:
    await outside.call("bank.charge", customer=plan.customer, amount=plan.amount, period=plan.charged)


async def mail(plan: Plan, text: str) -> None:
    await outside.call("mail.send", to=plan.customer, text=text)


functions = [subscribe]
