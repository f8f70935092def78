"""A worker whose compensations kill itself, its server or both, at a named point of the second one.

    python -m tests.crash.cancelling URL JOURNAL [lease_s=…] [stream=yes] [point=… kills=PID,…]

The journal has a line for each body that begins, and for each compensation whose step was seen as recorded.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from ironflow import function
from ironflow.worker import StreamingWorker, Worker, WorkerTiming
from tests.crash.recorded_steps import Line, Saboteur

NAMES = ("hotel", "car", "flight")
# The compensation at which a process is killed; `body is cut off`: while a body runs that the cancel ends.
AT = "car"
POINTS = ("undo begins", "undo ends", "report gathered", "report on its way", "report answered")


def trip_of(journal: Path, saboteur: Saboteur) -> Any:
    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(what: str, run_id: str, step: str) -> None:
        os.write(file, msgspec.json.encode(Line(what, run_id, step)) + b"\n")

    async def undo(run_id: str, name: str) -> str:
        write("body", run_id, name)
        if name == AT:
            saboteur.at("undo begins")
            await asyncio.sleep(0)
            saboteur.at("undo ends")
        return name

    @function("trip", timeout="60s", on_cancel="compensate")
    async def trip(ctx: Any) -> None:
        run_id = ctx.run.id
        for name in NAMES:
            await ctx.step.run(name, lambda name=name: name)
            ctx.step.compensate(name, lambda name=name: undo(run_id, name))
        await ctx.step.wait_for_event("approval", event="never")

    return trip


def sabotage(reporter: Any, saboteur: Saboteur) -> None:
    """Calls the saboteur around the requests that carry the compensation `AT`."""
    send = reporter._send_batch

    async def send_batch(batch: Any) -> Any:
        updates = [msgspec.json.decode(each.update) for each in batch]
        carries = any(row["name"] == f"compensate:{AT}" for each in updates for row in each["steps"])
        if carries:
            saboteur.at("report gathered")
        sending = asyncio.create_task(send(batch))
        if carries:
            await asyncio.wait([sending], timeout=0.001)
            saboteur.at("report on its way")
        results = await sending
        if carries:
            saboteur.at("report answered")
        return results

    reporter._send_batch = send_batch


async def main(url: str, journal: str, *arguments: str) -> None:
    given = dict(each.split("=", 1) for each in arguments)
    saboteur = Saboteur(given.get("point", ""), [int(pid) for pid in given.get("kills", "").split(",") if pid])
    lease_s = float(given["lease_s"])
    kind = StreamingWorker if given.get("stream") else Worker
    timing = WorkerTiming(heartbeat=lease_s / 4, reconnect_max=0.2, retry=0.1, retry_max=0.2, request=5.0)
    worker = kind([trip_of(Path(journal), saboteur)], url=url, timing=timing)
    await worker.start()
    sabotage(worker._jobs.reporter, saboteur)
    await worker.serve()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
