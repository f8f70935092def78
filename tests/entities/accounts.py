"""A worker process of the kill test: an entity that counts what it was asked for, and when its handlers ran."""

import sys
import time
from pathlib import Path
from typing import Any

from ironflow import Context, entity
from tests.crash.errands import worker_of
from tests.crash.journal import Journal
from tests.crash.witness import WitnessTransport

account = entity("account", key="id", initial={"balance": 0, "seen": []})
RETRY = {"max_attempts": 50, "initial_delay": "50ms"}


@account.handler(retry=RETRY)
async def add(ctx: Context, data: dict[str, Any]) -> Any:
    """Changes the state before, between and after steps; `pending` shows that nothing is half done at the end."""
    before = ctx.state["balance"]
    ctx.state["pending"] = data["n"]
    ctx.state["balance"] += data["amount"]
    await ctx.step.run("work", time.monotonic)
    if data["n"] % 3 == 0:
        await ctx.step.sleep("nap", "30ms")
    ctx.state["seen"].append(data["n"])
    await ctx.step.run("more", time.monotonic)
    del ctx.state["pending"]
    return [before, ctx.state["balance"]]


def main(url: str, journal_path: str, *settings: str) -> None:
    given = dict(each.split("=", 1) for each in settings)
    worker_of(account.functions, url, WitnessTransport(url, Journal(Path(journal_path))), given).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
