"""An expense waits for a person. After a day that person is reminded, after two somebody else is asked, after three the
claim lapses.

Two functions share the work: one waits for the decision and acts on it, the other chases the approver meanwhile.

Run them with `ironflow dev app.py`, then hand in an expense: `ironflow emit expense.submitted --data '{...}'`.
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
    """Asks for a decision, waits up to three days for it, and does what was decided."""
    await ctx.step.run("ask", tell, expense.approver, f"{expense.employee} claims {_money(expense)}. Approve?")
    answer = await ctx.step.wait_for_event(
        "decision",
        event="expense.decided",
        match="id",
        payload={"question": f"Approve {_money(expense)} for {expense.employee}?"},
        timeout="72h",
    )
    if not answer.data["approved"]:
        await ctx.step.run("refuse", tell, expense.employee, f"Your claim of {_money(expense)} was refused.")
        return {"expense": expense.id, "outcome": "refused"}
    transfer = await ctx.step.run("pay", pay, expense)
    return {"expense": expense.id, "outcome": "paid", "transfer": transfer}


@function("chase-approver", on="expense.submitted", cancel_on=[CancelOn("expense.decided", match="id")])
async def chase_approver(ctx: Context, expense: Expense) -> None:
    """Reminds after a day and escalates after two. A decision ends it, wherever it is."""
    await ctx.step.sleep("first day", "24h")
    await ctx.step.run(
        "remind", tell, expense.approver, f"{_money(expense)} for {expense.employee} still waits for you."
    )
    await ctx.step.sleep("second day", "24h")
    await ctx.step.run(
        "escalate", tell, expense.manager, f"{expense.approver} has not decided on {expense.id}. Will you?"
    )
    await ctx.step.sleep("third day", "24h")
    await ctx.step.run("lapse", tell, expense.employee, f"Nobody decided on {expense.id}. Please hand it in again.")


async def tell(person: str, text: str) -> str:
    """Sends a message, by mail or chat."""
    return f"to {person}: {text}"


async def pay(expense: Expense) -> str:
    """Transfers the money. The claim's id lets the bank notice a second order for the same claim."""
    return f"transfer-{expense.id}"


def _money(expense: Expense) -> str:
    return f"{expense.amount / 100:.2f} EUR"


functions = [decide_expense, chase_approver]
