"""A subscription is a run of one year: it sleeps until the end of a month, invokes the charge, and sleeps again.

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
    """A monthly charge. number: of the month, from 1; with the customer it identifies the charge for the bank."""

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
    """Charges the card at the end of each month, until the year ends or a month is not paid.

    The customer's `subscription.cancelled` ends it at any time, also in the middle of a sleep.
    """
    began = ctx.event.timestamp
    for number in range(1, MONTHS + 1):
        # Until a date instead of a duration: a charge that took three days does not delay the next one.
        await ctx.step.sleep_until("month", months_after(began, number))
        charge = Charge(customer=plan.customer, card=plan.card, amount=plan.price, number=number)
        try:
            receipt = await ctx.step.invoke(charge_card, charge, timeout="14d")
        except InvokeError as fault:
            await ctx.step.run("suspend", send_message, plan.customer, f"Your access is suspended: {fault.cause}.")
            return {"customer": plan.customer, "ended": "suspended", "months_paid": number - 1}
        await ctx.step.run("receipt", send_message, plan.customer, f"Thank you. Your receipt is {receipt}.")
    return {"customer": plan.customer, "ended": "year over", "months_paid": MONTHS}


def months_after(began: datetime, months: int) -> datetime:
    """The same day of a later month; the last day of a shorter month."""
    year, month = divmod(began.year * 12 + began.month - 1 + months, 12)
    return began.replace(year=year, month=month + 1, day=min(began.day, monthrange(year, month + 1)[1]))


class CardStolen(NonRetryableError):
    """The bank refuses this card permanently."""

    code = "CARD_STOLEN"


# A declined charge may succeed later: five attempts, the first retry after an hour, the last after a day.
@function("charge-card", retry=Retry(max_attempts=5, initial_delay="1h", backoff_factor=6, max_delay="24h"))
async def charge_card(ctx: Context, charge: Charge) -> str:
    """Charges a card once. It has no trigger: only other functions start it."""
    return await ctx.step.run("charge", order_charge, charge, ctx.run.attempt)


async def order_charge(charge: Charge, attempt: int) -> str:
    """The bank. Cards that start with `empty` have money from the third attempt on."""
    if charge.card.startswith("stolen"):
        raise CardStolen("the card was reported stolen")
    if charge.card.startswith("empty") and attempt < 3:
        raise ConnectionError("the bank declined the charge")
    return f"{charge.customer}-{charge.number:02}"


async def send_message(customer: str, text: str) -> str:
    """Sends a message to a customer."""
    return f"to {customer}: {text}"


functions = [subscription, charge_card]
