"""A worker of the soak: `python -m tests.soak.worker ADDRESS`."""

import sys

from ironflow.worker import Worker, function


@function("soak", on="soak.order")
async def handle(ctx, order):
    await ctx.step.run("charge", lambda: order["number"])
    await ctx.step.sleep("pause", "200ms")
    return await ctx.step.run("confirm", lambda: order["number"] * 2)


if __name__ == "__main__":
    Worker(functions=[handle], url=sys.argv[1]).run()
