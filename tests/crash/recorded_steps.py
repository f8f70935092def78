"""A worker that kills itself, its server or both, at a named point of a run.

    python -m tests.crash.recorded_steps URL JOURNAL [lease_s=…] [stream=yes] [point=… kills=PID,…]

The journal has a line for each body that begins and for each step whose call has returned.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from ironflow import function
from ironflow.worker import StreamingWorker, Worker, WorkerTiming

# Where a process is killed: at the third step, or at the report that carries it.
POINTS = (
    "body begins",
    "body ends",
    "report gathered",
    "report on its way",
    "report answered",
    "step returns",
    "handler ends",
)
STEPS = "abcdef"
AT = "c"


class Line(msgspec.Struct, frozen=True):
    """what: `body` or `returned`."""

    what: str
    run_id: str
    step: str


class Saboteur:
    """Kills the processes `pids` at `point`, once."""

    def __init__(self, point: str, pids: list[int]) -> None:
        self._point, self._pids = point, pids

    def at(self, point: str) -> None:
        if point == self._point:
            self._point = ""
            for pid in self._pids:
                os.kill(pid or os.getpid(), signal.SIGKILL)


def steps_of(journal: Path, saboteur: Saboteur) -> Any:
    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(what: str, run_id: str, step: str) -> None:
        os.write(file, msgspec.json.encode(Line(what, run_id, step)) + b"\n")

    async def body(ctx: Any, step: str) -> str:
        write("body", ctx.run.id, step)
        ctx.logger.info("body of %s", step)
        if step == AT:
            saboteur.at("body begins")
            await asyncio.sleep(0)
            saboteur.at("body ends")
        return step

    async def fails(ctx: Any, step: str) -> str:
        await body(ctx, step)
        raise ValueError(f"{step} is declined")

    async def step(ctx: Any, steps: Any, run_id: str, name: str) -> str:
        try:
            result = await steps.run(name, fails if name == "f" else body, ctx, name)
        except Exception as error:  # noqa: BLE001 - what a user would write, too
            result = str(error)
        write("returned", run_id, name)
        if name == AT:
            saboteur.at("step returns")
        return result

    @function("recorded-steps", timeout="60s")
    async def recorded_steps(ctx: Any) -> list[str]:
        """Two steps, two branches beside each other, a nap, a step that is declined and caught."""
        run_id = ctx.run.id
        results = [await step(ctx, ctx.step, run_id, name) for name in "ab"]
        results += await ctx.step.map("both", "cd", lambda name, steps, index: step(ctx, steps, run_id, name))
        results.append(await step(ctx, ctx.step, run_id, "f"))
        saboteur.at("handler ends")
        await ctx.step.sleep("nap", "20ms")
        return [*results, await step(ctx, ctx.step, run_id, "e")]

    return recorded_steps


def sabotage(reporter: Any, saboteur: Saboteur) -> None:
    """Calls the saboteur around the requests of a reporter that carry step `AT`."""
    send = reporter._send_batch

    async def send_batch(batch: Any) -> Any:
        updates = [msgspec.json.decode(each.update) for each in batch]
        carries = any(row["name"] == AT for each in updates for row in each["steps"])
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
    worker = kind([steps_of(Path(journal), saboteur)], url=url, timing=timing)
    await worker.start()
    sabotage(worker._jobs.reporter, saboteur)
    await worker.serve()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
