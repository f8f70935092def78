"""Money moves from one account to another (Temporal: money transfer).

Start it with `ironflow dev money_transfer.py`, then transfer:
`ironflow emit transfer.requested --data '{"id": "t1", "source": "ada", "target": "bob", "amount": 25}' --wait`.
"""

from typing import Any

import msgspec
import outside

from ironflow import Context, NonRetryableError, Retry, function


class Transfer(msgspec.Struct):
    """amount: in cents."""

    id: str
    source: str
    target: str
    amount: int


class NoSuchAccount(NonRetryableError):
    """The bank does not know the account. Another attempt would not help."""

    code = "NO_SUCH_ACCOUNT"


BANK = Retry(max_attempts=5, initial_delay="200ms", max_delay="10s")


@function("transfer-money", on="transfer.requested", key="data.id", step_retry=BANK)
async def transfer_money(ctx: Context, transfer: Transfer) -> dict[str, Any]:
    """Withdraws, then deposits. What was withdrawn is refunded when the deposit fails for good."""
    await ctx.step.run("withdraw", withdraw, transfer)
    ctx.step.compensate("withdraw", lambda: refund(transfer))
    await ctx.step.run("deposit", deposit, transfer)
    return {"transfer": transfer.id, "amount": transfer.amount}


# The bank. The key of each call is the id of its step, so a body that runs again after a crash moves no money twice.


async def withdraw(transfer: Transfer) -> None:
    await outside.call("bank.withdraw", account=transfer.source, amount=transfer.amount)


async def deposit(transfer: Transfer) -> None:
    if transfer.target == "closed":
        raise NoSuchAccount(f"there is no account {transfer.target!r}")
    await outside.call("bank.deposit", account=transfer.target, amount=transfer.amount)


async def refund(transfer: Transfer) -> None:
    await outside.call("bank.refund", account=transfer.source, amount=transfer.amount)


functions = [transfer_money]
