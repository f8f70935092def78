"""A worker with a step that fails, which kills itself, its server or both, at a named point of its second attempt.

    python -m tests.crash.step_attempts URL JOURNAL [lease_s=…] [stream=yes] [point=… kills=PID,…]

The journal has a line for each body that begins.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from ironflow import Retry, StepError, current_step, function
from ironflow.worker import StreamingWorker, Worker, WorkerTiming
from tests.crash.recorded_steps import Line, Saboteur

POINTS = ("body begins", "report gathered", "report on its way", "report answered", "rest begins", "rest is over")
ATTEMPTS = 4
AT = 2


def import_of(journal: Path) -> Any:
    """A body that shows its progress and waits; one that gets progress returns it."""
    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def read(run_id: str) -> Any:
        step = current_step()
        os.write(file, msgspec.json.encode(Line("body", run_id, str(step.attempt))) + b"\n")
        if step.details is None:
            step.heartbeat({"page": 7})
            await asyncio.Event().wait()
        return step.details

    @function("import", timeout="60s")
    async def importing(ctx: Any) -> Any:
        return await ctx.step.run("read", read, ctx.run.id)

    return importing


def order_of(journal: Path, saboteur: Saboteur) -> Any:
    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def begun(run_id: str) -> int:
        """How often the body has begun, as the journal has it."""
        return sum(msgspec.json.decode(line, type=Line).run_id == run_id for line in journal.read_bytes().splitlines())

    async def charge(run_id: str) -> None:
        os.write(file, msgspec.json.encode(Line("body", run_id, "charge")) + b"\n")
        if begun(run_id) == AT:
            saboteur.at("body begins")
        if begun(run_id) == AT + 1:
            saboteur.at("rest is over")
        raise ConnectionError("the bank is away")

    @function("order", timeout="60s")
    async def order(ctx: Any) -> str:
        try:
            retry = Retry(max_attempts=ATTEMPTS, initial_delay="50ms", backoff_factor=1)
            await ctx.step.run("charge", charge, ctx.run.id, retry=retry)
        except StepError as fault:
            return f"{fault.error_class}: {fault.message}"
        return "charged"

    return order


def sabotage(reporter: Any, saboteur: Saboteur) -> None:
    """Calls the saboteur around the requests that carry the failure of attempt `AT`, and the end of its execution."""
    send = reporter._send_batch

    async def send_batch(batch: Any) -> Any:
        updates = [msgspec.json.decode(each.update) for each in batch]
        carries = any(row.get("attempt") == AT for each in updates for row in each["steps"])
        if carries:
            saboteur.at("report gathered")
        sending = asyncio.create_task(send(batch))
        if carries:
            await asyncio.wait([sending], timeout=0.001)
            saboteur.at("report on its way")
        results = await sending
        if carries:
            saboteur.at("report answered")
        if any(each["status"] == "yielded" for each in updates):
            saboteur.at("rest begins")
        return results

    reporter._send_batch = send_batch


async def main(url: str, journal: str, *arguments: str) -> None:
    given = dict(each.split("=", 1) for each in arguments)
    saboteur = Saboteur(given.get("point", ""), [int(pid) for pid in given.get("kills", "").split(",") if pid])
    lease_s = float(given["lease_s"])
    kind = StreamingWorker if given.get("stream") else Worker
    timing = WorkerTiming(heartbeat=lease_s / 4, reconnect_max=0.2, retry=0.1, retry_max=0.2, request=5.0)
    worker = kind([order_of(Path(journal), saboteur), import_of(Path(journal))], url=url, timing=timing)
    await worker.start()
    sabotage(worker._jobs.reporter, saboteur)
    await worker.serve()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
