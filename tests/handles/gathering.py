"""A worker process of the kill test: a function that starts many runs and joins them."""

import sys
from pathlib import Path
from typing import Any

from ironflow import Context, function
from tests.crash.errands import worker_of
from tests.crash.journal import Journal
from tests.crash.witness import WitnessTransport

CHILDREN = 40
LOOSE = 10


@function("gather", retry={"max_attempts": 50, "initial_delay": "50ms"})
async def gather(ctx: Context) -> Any:
    loose = [(await ctx.step.invoke_async("leaf", number)).run_id for number in range(LOOSE)]
    handles = await ctx.step.start_many("leaf", list(range(CHILDREN)))
    early = await ctx.step.join("early", handles, first=3)
    await ctx.step.sleep("nap", "100ms")
    runs = [*loose, *(each.run_id for each in handles)]
    return {"early": len(early), "all": await ctx.step.join("all", handles), "runs": runs}


@function("leaf", retry={"max_attempts": 50, "initial_delay": "50ms"})
async def leaf(ctx: Context, data: int) -> int:
    await ctx.step.sleep("nap", f"{20 + data}ms")
    return data * data


def main(url: str, journal_path: str, *settings: str) -> None:
    given = dict(each.split("=", 1) for each in settings)
    worker_of([gather, leaf], url, WitnessTransport(url, Journal(Path(journal_path))), given).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
