"""An expense waits for an approval. After one day the approver gets a reminder, after two the manager is asked,
after three
the claim lapses.

Two functions share the work: one waits for the decision and applies it, the other sends the reminders meanwhile.

Run them with `ironflow dev app.py`, then submit an expense: `ironflow emit expense.submitted --data '{...}'`.
"""

import msgspec

from ironflow import CancelOn, Context, function


class Expense(msgspec.Struct):
    """A claim. amount: in cents."""

    id: str
    employee: str
    approver: str
    manager: str
    amount: int


@function("decide-expense", on="expense.submitted")
async def decide_expense(ctx: Context, expense: Expense) -> dict[str, str]:
    """Requests a decision, waits up to three days for it, and applies it."""
    await ctx.step.run("ask", send_message, expense.approver, f"{expense.employee} claims {_money(expense)}. Approve?")
    answer = await ctx.step.wait_for_event(
        "decision",
        event="expense.decided",
        match="id",
        payload={"question": f"Approve {_money(expense)} for {expense.employee}?"},
        timeout="72h",
    )
    if not answer.data["approved"]:
        await ctx.step.run("refuse", send_message, expense.employee, f"Your claim of {_money(expense)} was refused.")
        return {"expense": expense.id, "outcome": "refused"}
    transfer = await ctx.step.run("pay", pay, expense)
    return {"expense": expense.id, "outcome": "paid", "transfer": transfer}


@function("chase-approver", on="expense.submitted", cancel_on=[CancelOn("expense.decided", match="id")])
async def chase_approver(ctx: Context, expense: Expense) -> None:
    """Sends a reminder after one day and escalates after two. A decision cancels it at any time."""
    await ctx.step.sleep("first day", "24h")
    await ctx.step.run(
        "remind", send_message, expense.approver, f"{_money(expense)} for {expense.employee} still waits for you."
    )
    await ctx.step.sleep("second day", "24h")
    await ctx.step.run(
        "escalate", send_message, expense.manager, f"{expense.approver} has not decided on {expense.id}. Will you?"
    )
    await ctx.step.sleep("third day", "24h")
    await ctx.step.run(
        "lapse", send_message, expense.employee, f"There was no decision on {expense.id}. Please submit it again."
    )


async def send_message(person: str, text: str) -> str:
    """Sends a message, by mail or chat."""
    return f"to {person}: {text}"


async def pay(expense: Expense) -> str:
    """Transfers the money. With the claim's id the bank detects a second order for the same claim."""
    return f"transfer-{expense.id}"


def _money(expense: Expense) -> str:
    return f"{expense.amount / 100:.2f} EUR"


functions = [decide_expense, chase_approver]
