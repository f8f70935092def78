"""The function that the killed workers run, and the worker process itself.

    python -m tests.crash.errands URL JOURNAL [setting=value ...]

An errand is: fetch, a nap, carry (which fails on the first `failures` attempts), deliver. Each step writes to the
journal when its body starts and what it returned. Settings: lease_s (heartbeats are sent three times as often); gate (a
path: the step `carry` waits until that file exists); hang (a named pipe: the step `carry` stops the process until the
test opens it for writing); plain (1: nothing beyond protocol/worker-rest.md is used); stream (1: a streaming
worker).
"""

import asyncio
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import msgspec

from ironflow import Retry, function
from ironflow.sdk.worker.connection import Connection
from ironflow.sdk.worker.streaming import StreamingConnection
from ironflow.sdk.worker.timing import WorkerTiming
from ironflow.worker import StreamingWorker, Worker
from tests.crash.journal import Journal
from tests.crash.until import until
from tests.crash.witness import WitnessTransport

ASKED = "errand.asked"
ERRAND = "errand"
ATTEMPTS_MAX = 3
STEPS = ("fetch", "carry", "deliver")
NAP = "nap"
# How long a step body takes, so that a kill can hit one; nothing relies on it.
STEP_S = 0.005


class Errand(msgspec.Struct):
    """number: which one. failures: how many attempts fail; with ATTEMPTS_MAX or more the run fails."""

    number: int
    failures: int = 0
    nap_ms: int = 50


class Runner:
    """What the steps of one worker process share."""

    def __init__(self, journal: Journal, witness: WitnessTransport, gate: Path | None, hang: Path | None) -> None:
        self.journal = journal
        self.witness = witness
        self._gate = gate
        self._hang = hang

    async def work(self, run: str, execution: int, step: str, fails: bool = False) -> str:
        self.journal.write("started", run, execution, steps=(step,))
        await asyncio.sleep(STEP_S)
        if step == "carry":
            if self._gate is not None:
                await until(self._gate.exists, "the gate opens")
            if self._hang is not None:
                # Opening a pipe for reading waits for a writer, and nothing else happens in this process. Only once.
                pipe, self._hang = self._hang, None
                pipe.open("rb").close()
        if fails:
            raise RuntimeError(f"{step} fails as planned")
        value = uuid.uuid4().hex
        self.journal.write("finished", run, execution, steps=(step,), value=value)
        return value


def errand_function(runner: Runner) -> Any:
    """The function for a worker process."""

    @function(ERRAND, on=ASKED, retry=Retry(max_attempts=ATTEMPTS_MAX, initial_delay="50ms"))
    async def errand(ctx: Any, asked: Errand) -> dict[str, Any]:
        # Read before the first await: a later execution of this run may reach this process at any time.
        run, execution = ctx.run.id, runner.witness.executions[ctx.run.id]
        fetched = await ctx.step.run("fetch", runner.work, run, execution, "fetch")
        await ctx.step.sleep(NAP, asked.nap_ms / 1000)
        carried = await ctx.step.run(
            "carry", runner.work, run, execution, "carry", fails=ctx.run.attempt <= asked.failures
        )
        delivered = await ctx.step.run("deliver", runner.work, run, execution, "deliver")
        return {"number": asked.number, "fetch": fetched, "carry": carried, "deliver": delivered}

    return errand


def main(url: str, journal_path: str, *settings: str) -> None:
    given = dict(each.split("=", 1) for each in settings)
    journal = Journal(Path(journal_path))
    witness = WitnessTransport(url, journal)
    gate = Path(given["gate"]) if "gate" in given else None
    hang = Path(given["hang"]) if "hang" in given else None
    errand = errand_function(Runner(journal, witness, gate, hang))
    worker_of([errand], url, witness, given).run()


def worker_of(functions: list[Any], url: str, witness: WitnessTransport, given: dict[str, str]) -> Worker:
    """A worker that reports often and retries for long; `given`: the settings lease_s, plain and stream."""
    timing = WorkerTiming(
        heartbeat=float(given.get("lease_s", "90")) / 3,
        checkpoint=0.01,
        reconnect_max=0.2,
        retry=0.1,
        retry_max=0.5,
        final_retries=(0.1, 0.2, 0.4, 0.8, 0.8, 0.8, 0.8),
    )
    kind = WatchedWorker if "stream" in given else Worker
    return kind(
        functions,
        url=url,
        worker_id=f"crash-{os.getpid()}",
        max_concurrent_jobs=8,
        timing=timing,
        plain_protocol="plain" in given,
        transport=witness,
    )


class WatchedWorker(StreamingWorker):
    """A streaming worker whose streams are opened by its witness."""

    def _new_connection(self) -> Connection:
        connection = super()._new_connection()
        assert isinstance(connection, StreamingConnection)
        assert isinstance(self._transport, WitnessTransport)
        connection.connect = self._transport.streams()
        return connection


if __name__ == "__main__":
    main(*sys.argv[1:])
