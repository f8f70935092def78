"""The worker process of a benchmark, on the SDK's Worker.

    python -m benchmarks.worker ADDRESS [slots=N] [journal=PATH] [checkpoint=each|batched] [stream=yes]

Writes one JSON line when it is registered. journal: the file in which the slow function records the steps that it
executed.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

from ironflow import entity, function
from ironflow.sdk.worker.collector import seldom_collected
from ironflow.worker import FunctionDefinition, StreamingWorker, Worker

ORDER, SLEEPER, SLOW = "bench.order", "bench.sleeper", "bench.slow"
WAITER, SIGNAL, FAN, MAP = "bench.waiter", "bench.signal", "bench.fan", "bench.map"
COUNT = "bench.count"
JOIN, VALUES, START = "bench.join", "bench.values", "bench.start"
MESSAGES_PER_LINK = 1_000
SLOW_STEP_S = 0.3

counter = entity("counter", key="id", initial=0)


async def reserve(number: int) -> dict[str, int]:
    return {"reservation": number}


async def charge(number: int) -> dict[str, int]:
    return {"charge": number}


async def confirm(number: int) -> dict[str, int]:
    return {"message": number}


@function("three-steps", on=ORDER)
async def three_steps(ctx: Any, data: dict[str, Any]) -> dict[str, int]:
    """Three empty steps, so that the engine takes the time."""
    number = data["number"]
    reservation = await ctx.step.run("reserve", reserve, number)
    charged = await ctx.step.run("charge", charge, number)
    message = await ctx.step.run("confirm", confirm, number)
    return {**reservation, **charged, **message}


@function("sleeper", on=SLEEPER)
async def sleeper(ctx: Any, data: dict[str, str]) -> dict[str, float]:
    """Sleeps until data's `until`; returns the time at which it continued, in seconds since 1970."""
    await ctx.step.sleep_until("rest", data["until"])
    return {"awake_at": time.time()}


@function("waiter", on=WAITER)
async def waiter(ctx: Any) -> int:
    """Waits for the signal with its number; returns the number in the signal."""
    signal = await ctx.step.wait_for_event("signal", event=SIGNAL, match="number", timeout="1d")
    return signal.data["number"]


@function("fan", on=FAN)
async def fan(ctx: Any, data: dict[str, int]) -> int:
    """Branches of one empty step; returns their number."""
    branches = [
        lambda steps, number=number: steps.run("reserve", reserve, number) for number in range(data["branches"])
    ]
    return len(await ctx.step.parallel("fan", branches))


@function("map", on=MAP)
async def mapping(ctx: Any, data: dict[str, int]) -> int:
    """A map of an empty step over items; returns the sum of the results."""

    async def item(number: int, steps: Any, index: int) -> int:
        return (await steps.run("reserve", reserve, number))["reservation"]

    return sum(await ctx.step.map("map", range(data["items"]), item))


@counter.on(COUNT)
async def count(ctx: Any) -> int:
    """Adds one to the state of its entity, which it returns."""
    ctx.state += 1
    return ctx.state


@function("inbox")
async def inbox(ctx: Any, taken: int | None) -> Any:
    """Takes messages; restarts after every 1,000."""
    for _ in range(MESSAGES_PER_LINK):
        if await ctx.step.receive("work", timeout="1m", on_timeout=None) is None:
            return taken
    return ctx.restart((taken or 0) + MESSAGES_PER_LINK)


@function("empty")
async def empty(ctx: Any) -> int:
    return 1


@function("join", on=JOIN)
async def join(ctx: Any, data: dict[str, int]) -> int:
    """Starts runs of an empty function and joins them; returns how many have answered."""
    handles = await ctx.step.start_many("empty", [None] * data["count"])
    return sum(await ctx.step.join("all", handles, timeout="1m"))


@function("start", on=START)
async def start(ctx: Any, data: dict[str, int]) -> int:
    """Starts runs of an empty function, and waits for none; returns how many it has started."""
    return len({each.run_id for each in await ctx.step.start_many("empty", [None] * data["count"])})


@function("values", on=VALUES)
async def values(ctx: Any, data: dict[str, int]) -> int:
    """Empty steps, each with a value that is set after it if `set` is 1; returns how many."""
    for number in range(data["count"]):
        await ctx.step.run("reserve", reserve, number)
        if data["set"]:
            ctx.set("status", {"at": number})
    return data["count"]


def slow(journal: str) -> FunctionDefinition:
    """Three short steps; each records its execution."""
    file = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    async def work(run: str, step: str) -> str:
        line = json.dumps({"run": run, "step": step, "at_ms": time.time_ns() // 1_000_000})
        os.write(file, line.encode() + b"\n")
        await asyncio.sleep(SLOW_STEP_S)
        return step

    @function("slow", on=SLOW)
    async def handler(ctx: Any) -> str:
        for step in ("first", "second", "third"):
            await ctx.step.run(step, work, ctx.run.id, step)
        return "done"

    return handler


async def main(address: str, *arguments: str) -> None:
    given = dict(each.split("=", 1) for each in arguments)
    functions = [three_steps, sleeper, waiter, fan, mapping, count, inbox, empty, join, start, values]
    if "journal" in given:
        functions.append(slow(given["journal"]))
    checkpoint = "batched" if given.get("checkpoint") == "batched" else "each"
    kind = StreamingWorker if given.get("stream") else Worker
    worker = kind(functions, url=address, max_concurrent_jobs=int(given.get("slots", "200")), checkpoint=checkpoint)
    await worker.start()
    print(json.dumps({"worker": worker.worker_id}), flush=True)
    await worker.serve()


if __name__ == "__main__":
    import uvloop

    # As Worker.run does, for which a line when the worker is registered would be too late.
    with seldom_collected():
        uvloop.run(main(*sys.argv[1:]))
