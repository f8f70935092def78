"""A worker process of the kill test: a chat that restarts after every few messages."""

import sys
from pathlib import Path
from typing import Any

from ironflow import Context, function
from tests.crash.errands import worker_of
from tests.crash.journal import Journal
from tests.crash.witness import WitnessTransport

EACH = 3
MANY = {"max_attempts": 50, "initial_delay": "50ms"}


@function("chat", retry=MANY)
async def chat(ctx: Context, data: Any) -> Any:
    seen: list[Any] = list((data or {}).get("seen", []))
    for _ in range(EACH):
        msg = await ctx.step.receive("prompt", timeout="1h")
        if msg.data == "stop":
            return {"seen": seen, "links": data["links"] + 1 if data else 1}
        seen.append(await ctx.step.run("think", lambda got=msg.data: got))
    return ctx.restart({"seen": seen, "links": data["links"] + 1 if data else 1})


@function("asks", retry=MANY)
async def asks(ctx: Context, data: Any) -> Any:
    return await ctx.step.invoke("chat", None, timeout="1h")


def main(url: str, journal_path: str, *settings: str) -> None:
    given = dict(each.split("=", 1) for each in settings)
    worker_of([chat, asks], url, WitnessTransport(url, Journal(Path(journal_path))), given).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
