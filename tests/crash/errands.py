"""The function that the crashing workers run, and the worker process itself.

    python -m tests.crash.errands URL JOURNAL [setting=value ...]

An errand is: fetch, a nap, carry (which fails on the first `moods` attempts), deliver. Each step tells the journal
when its body starts and what it returned. Settings: lease_s (heartbeats are sent thrice as often); gate (a path: the
step `carry` of a process with a gate waits until that file is there); hang (a named pipe: the step `carry` stops the
whole process until somebody opens it for writing); plain (1: nothing beyond protocol/worker-rest.md is used);
stream (1: a streaming worker).
"""

import asyncio
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import msgspec

from ironflow import Retry, function
from ironflow.sdk.conversation import Conversation
from ironflow.sdk.pace import Pace
from ironflow.sdk.streaming import Streaming
from ironflow.worker import StreamingWorker, Worker
from tests.crash.journal import Journal
from tests.crash.until import until
from tests.crash.witness import WitnessTransport

ASKED = "errand.asked"
ERRAND = "errand"
ATTEMPTS_MAX = 3
STEPS = ("fetch", "carry", "deliver")
NAP = "nap"


class Errand(msgspec.Struct):
    """number: which one. moods: how many attempts fail; more than ATTEMPTS_MAX - 1 is never done."""

    number: int
    moods: int = 0
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
        await asyncio.sleep(0.005)
        if step == "carry":
            if self._gate is not None:
                await until(self._gate.exists, "the gate opens")
            if self._hang is not None:
                # Opening a pipe for reading waits for a writer, and nothing else happens in this process. Only once.
                pipe, self._hang = self._hang, None
                pipe.open("rb").close()
        if fails:
            raise RuntimeError(f"{step} is in a bad mood")
        value = uuid.uuid4().hex
        self.journal.write("finished", run, execution, steps=(step,), value=value)
        return value


def errand_function(runner: Runner) -> Any:
    """The function for a worker process."""

    @function(ERRAND, on=ASKED, retry=Retry(max_attempts=ATTEMPTS_MAX, initial_delay="50ms"))
    async def errand(ctx: Any, asked: Errand) -> dict[str, Any]:
        # First of all, before a later execution of this run can reach this process.
        run, execution = ctx.run.id, runner.witness.executions[ctx.run.id]
        fetched = await ctx.step.run("fetch", runner.work, run, execution, "fetch")
        await ctx.step.sleep(NAP, asked.nap_ms / 1000)
        carried = await ctx.step.run(
            "carry", runner.work, run, execution, "carry", fails=ctx.run.attempt <= asked.moods
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
    """A worker that reports often and gives up late; `given`: the settings lease_s, plain and stream."""
    pace = Pace(
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
        pace=pace,
        plain_protocol="plain" in given,
        transport=witness,
    )


class WatchedWorker(StreamingWorker):
    """A streaming worker whose streams are opened by its witness."""

    def _conversation(self) -> Conversation:
        talk = super()._conversation()
        assert isinstance(talk, Streaming)
        assert isinstance(self._transport, WitnessTransport)
        talk.connect = self._transport.streams()
        return talk


if __name__ == "__main__":
    main(*sys.argv[1:])
