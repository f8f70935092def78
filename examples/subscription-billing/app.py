"""A subscription is a run that lives for a year: it sleeps until a month is over, has the card charged, sleeps again.

Run it with `ironflow dev app.py`, then subscribe: `ironflow emit subscription.started --data '{...}'`.
"""

from calendar import monthrange
from datetime import datetime
from typing import Any

import msgspec

from ironflow import CancelOn, Context, InvokeError, NonRetryableError, Retry, function

MONTHS = 12


class Subscription(msgspec.Struct):
    """price: for a month, in cents."""

    customer: str
    card: str
    price: int


class Charge(msgspec.Struct):
    """What is charged. number: of the month, from 1; with the customer it tells the bank one charge from another."""

    customer: str
    card: str
    amount: int
    number: int


@function(
    "subscription",
    on="subscription.started",
    cancel_on=[CancelOn("subscription.cancelled", match="customer")],
)
async def subscription(ctx: Context, plan: Subscription) -> dict[str, Any]:
    """Charges the card at the end of each month, until the year is over or a month is not paid.

    The customer's `subscription.cancelled` ends it at any time, also in the middle of a sleep.
    """
    began = ctx.event.timestamp
    for number in range(1, MONTHS + 1):
        # Until a date and not for a time: a charge that took three days does not put off the next one.
        await ctx.step.sleep_until("month", months_after(began, number))
        charge = {"customer": plan.customer, "card": plan.card, "amount": plan.price, "number": number}
        try:
            receipt = await ctx.step.invoke(charge_card, charge, timeout="14d")
        except InvokeError as fault:
            await ctx.step.run("suspend", tell, plan.customer, f"Your access is suspended: {fault.cause}.")
            return {"customer": plan.customer, "ended": "suspended", "months_paid": number - 1}
        await ctx.step.run("receipt", tell, plan.customer, f"Thank you. Your receipt is {receipt}.")
    return {"customer": plan.customer, "ended": "year over", "months_paid": MONTHS}


def months_after(began: datetime, months: int) -> datetime:
    """The same day of a later month; its last day where it is shorter."""
    year, month = divmod(began.year * 12 + began.month - 1 + months, 12)
    return began.replace(year=year, month=month + 1, day=min(began.day, monthrange(year, month + 1)[1]))


class CardStolen(NonRetryableError):
    """The bank will never accept this card again."""

    code = "CARD_STOLEN"


# A bank that says no today may say yes tomorrow: five attempts, at first after an hour, at last after a day.
@function("charge-card", retry=Retry(max_attempts=5, initial_delay="1h", backoff_factor=6, max_delay="24h"))
async def charge_card(ctx: Context, charge: Charge) -> str:
    """Charges a card once. It has no trigger: only other functions start it."""
    return await ctx.step.run("charge", order_charge, charge, ctx.run.attempt)


async def order_charge(charge: Charge, attempt: int) -> str:
    """The bank. Cards that begin with `empty` have money on them from the third attempt on."""
    if charge.card.startswith("stolen"):
        raise CardStolen("the card was reported stolen")
    if charge.card.startswith("empty") and attempt < 3:
        raise ConnectionError("the bank declined the charge")
    return f"{charge.customer}-{charge.number:02}"


async def tell(customer: str, text: str) -> str:
    """Sends a message to a customer."""
    return f"to {customer}: {text}"


functions = [subscription, charge_card]
