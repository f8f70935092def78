"""A worker with long-lived runs, which kills itself, its server or both, at a named point of a request.

python -m tests.crash.long_lived URL JOURNAL [lease_s=…] [stream=yes] [point=… kills=PID,…]
"""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
import uvloop

from ironflow import Context, entity, function
from ironflow.sdk.wire.transport import AiohttpTransport, Answer
from ironflow.worker import StreamingWorker, Worker, WorkerTiming
from tests.crash.recorded_steps import Saboteur

# What a request brings; each is killed on its way, and when it is answered and the worker does not know it yet.
BRINGS = ("take", "reply", "value", "restart", "state", "last state")
MOMENTS = ("on its way", "answered")
POINTS = tuple(f"{what} {moment}" for what in BRINGS for moment in MOMENTS)
RETRY: dict[str, Any] = {"max_attempts": 50, "initial_delay": "50ms", "backoff_factor": 1}
IN_A_LINK = 2


@function("tally", retry=RETRY)
async def tally(ctx: Context, data: dict[str, int]) -> Any:
    """Adds up what it is asked to; `shown` is set after the step that it is about, and before the answer."""
    total = data["total"]
    for _ in range(IN_A_LINK):
        msg = await ctx.step.receive("add", timeout="1h")
        if msg.data == "stop":
            return total
        total += await ctx.step.run("work", lambda number=msg.data: number)
        ctx.set("shown", total)
        await ctx.step.run("note", lambda: None)
        await msg.reply(total)
    return ctx.restart({"total": total})


account = entity("account", key="id", initial={"balance": 0})


@account.handler(retry=RETRY)
async def add(ctx: Context, data: int) -> list[int]:
    before = ctx.state["balance"]
    ctx.state["balance"] += data
    ctx.state["pending"] = data
    await ctx.step.run("work", lambda: None)
    del ctx.state["pending"]
    return [before, ctx.state["balance"]]


class Killing(AiohttpTransport):
    """A transport whose requests for messages kill, on their way or when they are answered."""

    def __init__(self, url: str, saboteur: Saboteur) -> None:
        super().__init__(url)
        self._saboteur = saboteur

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        send = super().request(method, path, headers, body, timeout)
        route = path.partition("?")[0]
        what = "take" if route.endswith("/messages") else "reply" if route.endswith("/answers") else ""
        return await killed_at(self._saboteur, [what] if what else [], send)


def sabotage(reporter: Any, saboteur: Saboteur) -> None:
    """Kills around the reports that bring a value, a state or a restart."""
    send = reporter._send_batch

    async def send_batch(batch: Any) -> Any:
        updates = [msgspec.json.decode(each.update) for each in batch]
        return await killed_at(saboteur, [what for each in updates for what in brought(each)], send(batch))

    reporter._send_batch = send_batch


def brought(update: dict[str, Any]) -> list[str]:
    found = ["value"] if update.get("values") else []
    if update.get("state"):
        found.append("last state" if update["status"] == "completed" else "state")
    return [*found, "restart"] if update.get("restart") else found


async def killed_at(saboteur: Saboteur, whats: list[str], sending: Any) -> Any:
    task = asyncio.ensure_future(sending)
    if whats:
        await asyncio.wait([task], timeout=0.001)
        for what in whats:
            saboteur.at(f"{what} on its way")
    result = await task
    for what in whats:
        saboteur.at(f"{what} answered")
    return result


async def main(url: str, _journal: str, *arguments: str) -> None:
    given = dict(each.split("=", 1) for each in arguments)
    saboteur = Saboteur(given.get("point", ""), [int(pid) for pid in given.get("kills", "").split(",") if pid])
    lease_s = float(given["lease_s"])
    kind = StreamingWorker if given.get("stream") else Worker
    timing = WorkerTiming(heartbeat=lease_s / 4, reconnect_max=0.2, retry=0.1, retry_max=0.2, request=5.0)
    worker = kind([tally, *account.functions], url=url, timing=timing, transport=Killing(url, saboteur))
    await worker.start()
    sabotage(worker._jobs.reporter, saboteur)
    await worker.serve()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
