"""The worker process of the benchmark `app`: a checkout, its shipment and the managed projection.

    python -m benchmarks.app_worker ADDRESS

Writes one JSON line when it is registered.
"""

import json
import sys
from typing import Any

from ironflow import Client, Context, function
from ironflow.projection import ProjectionEvent, ProjectionRunner, projection
from ironflow.worker import Worker

PLACED, PAID, CLOSED = "order.placed", "payment.settled", "order.closed"
SLOTS = 200


async def book(number: int, what: str) -> dict[str, Any]:
    return {"order": number, "what": what, "reference": f"{what}-{number}"}


async def undo(number: int, what: str) -> str:
    return f"{what}-{number} undone"


@function("ship")
async def ship(ctx: Context, data: dict[str, int]) -> dict[str, Any]:
    """The child: one step."""
    return await ctx.step.run("label", book, data["number"], "label")


def checkout(client: Client) -> Any:
    """The saga, whose last step appends to the order's stream."""

    async def close(number: int) -> int:
        appended = await client.streams.append(
            f"order-{number}", CLOSED, {"number": number, "sku": f"sku-{number % 50}"}, expected_version=1
        )
        return appended.entity_version

    @function("checkout", on=PLACED)
    async def handler(ctx: Context, data: dict[str, Any]) -> int:
        """Eight steps; a wait after the third and a child after the fifth."""
        number = data["number"]
        for what in ("check", "reserve", "quote"):
            await ctx.step.run(what, book, number, what)
        ctx.step.compensate("reserve", lambda: undo(number, "reserve"))
        await ctx.step.wait_for_event("paid", event=PAID, match="number", timeout="1h")
        for what in ("charge", "invoice"):
            await ctx.step.run(what, book, number, what)
        ctx.step.compensate("charge", lambda: undo(number, "charge"))
        await ctx.step.invoke(ship, {"number": number})
        for what in ("notify", "thank"):
            await ctx.step.run(what, book, number, what)
        return await ctx.step.run("close", close, number)

    return handler


@projection("turnover", events=[CLOSED], initial_state={"orders": 0})
def turnover(state: Any, event: ProjectionEvent) -> Any:
    return {"orders": state["orders"] + 1}


async def main(address: str) -> None:
    async with Client(address) as client, ProjectionRunner(turnover, url=address):
        worker = Worker([checkout(client), ship], url=address, max_concurrent_jobs=SLOTS)
        await worker.start()
        print(json.dumps({"worker": worker.worker_id}), flush=True)
        await worker.serve()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(*sys.argv[1:]))
