"""A worker process of the kill test: runs that add up what they are asked to, answer, and show their total."""

import sys
from pathlib import Path
from typing import Any

from ironflow import Context, function
from tests.crash.errands import worker_of
from tests.crash.journal import Journal
from tests.crash.witness import WitnessTransport

RETRY = {"max_attempts": 50, "initial_delay": "50ms"}


@function("tally", retry=RETRY)
async def tally(ctx: Context) -> dict[str, Any]:
    """Refuses odd numbers. `shown` is set after the step whose output it has."""
    total, added = 0, 0
    while True:
        msg = await ctx.step.receive("add", timeout="1h")
        if msg.data == "stop":
            return {"total": total, "added": added}
        if msg.data % 2:
            await msg.reject(f"{msg.data} is odd")
            continue
        total += await ctx.step.run("work", lambda number=msg.data: number)
        added += 1
        ctx.set("shown", {"total": total, "added": added})
        await msg.reply(total)


def main(url: str, journal_path: str, *settings: str) -> None:
    given = dict(each.split("=", 1) for each in settings)
    worker_of([tally], url, WitnessTransport(url, Journal(Path(journal_path))), given).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
