"""Functions with waits, invokes, debounces, cron and compensations, and the worker process that runs them.

    python -m tests.crash.journeys URL JOURNAL [setting=value ...]

A journey is: book (compensated when the journey fails), ask (its body emits the answer), the answer (an event emitted
at any time since the journey began), the leg (a child run, whose attempts may all fail), the stamp (an event that
the load emits when the journey waits for it). A doomed journey fails at its end. Apart from that, gatherings are
debounced, and a cron trigger fires every second. Settings: lease_s, plain, as for errands.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ironflow import Client, Debounce, NonRetryableError, Retry, function
from ironflow.sdk.wire.retries import Retries
from tests.crash.errands import Runner, worker_of
from tests.crash.journal import Journal
from tests.crash.witness import WitnessTransport

ASKED, ANSWERED, STAMPED, GATHERED = "journey.asked", "journey.answered", "journey.stamped", "gather.asked"
JOURNEY, LEG, GATHER, TICK = "journey", "leg", "gather", "tick"
BOOK, UNDO = "book", "compensate:book"
ATTEMPTS_MAX = 2
# Longer than any interruption of the test: a wait that times out was lost by the server.
WAIT = "60s"


class Journey(msgspec.Struct):
    """number: which one. failures: how many attempts of its leg fail. doomed: it fails at the end."""

    number: int
    failures: int = 0
    doomed: bool = False

    @property
    def leg_fails(self) -> bool:
        return self.failures >= ATTEMPTS_MAX

    @property
    def fails(self) -> bool:
        return self.doomed or self.leg_fails


class Gathering(msgspec.Struct):
    """Events of one lane are debounced; the last one starts a run."""

    number: int
    lane: int


def journey_functions(runner: Runner, url: str) -> list[Any]:
    """The functions for a worker process."""
    retry = Retry(max_attempts=ATTEMPTS_MAX, initial_delay="50ms")

    async def ask(run: str, execution: int, number: int) -> str:
        async with Client(url, timeout="30s", retries=Retries(attempts=100, initial_s=0.05, max_s=0.2)) as client:
            await client.emit(ANSWERED, {"number": number}, idempotency_key=f"answer-{number}")
        return await runner.work(run, execution, "ask")

    @function(JOURNEY, on=ASKED, retry=retry)
    async def journey(ctx: Any, asked: Journey) -> dict[str, Any]:
        # Read before the first await: a later execution of this run may reach this process at any time.
        run, execution = ctx.run.id, runner.witness.executions[ctx.run.id]
        booked = await ctx.step.run(BOOK, runner.work, run, execution, BOOK)
        ctx.step.compensate(BOOK, partial(runner.work, run, execution, UNDO))
        await ctx.step.run("ask", ask, run, execution, asked.number)
        answer = await ctx.step.wait_for_event("answer", event=ANSWERED, match="number", look_back="run", timeout=WAIT)
        leg = await ctx.step.invoke(LEG, msgspec.to_builtins(asked), timeout=WAIT)
        stamp = await ctx.step.wait_for_event("stamp", event=STAMPED, match="number", timeout=WAIT)
        if asked.doomed:
            raise NonRetryableError(f"journey {asked.number} is doomed")
        return {"number": asked.number, "book": booked, "answer": answer.id, "leg": leg, "stamp": stamp.id}

    @function(LEG, retry=retry)
    async def leg(ctx: Any, asked: Journey) -> str:
        run, execution = ctx.run.id, runner.witness.executions[ctx.run.id]
        fails = ctx.run.attempt <= asked.failures
        return await ctx.step.run("travel", runner.work, run, execution, "travel", fails=fails)

    @function(GATHER, on=GATHERED, debounce=Debounce(period="1s", key="lane"))
    async def gather(ctx: Any, last: Gathering) -> int:
        return last.number

    @function(TICK, cron="* * * * * *")
    async def tick(ctx: Any) -> str:
        return ctx.event.data["scheduledAt"]

    return [journey, leg, gather, tick]


def main(url: str, journal_path: str, *settings: str) -> None:
    given = dict(each.split("=", 1) for each in settings)
    journal = Journal(Path(journal_path))
    witness = WitnessTransport(url, journal)
    functions = journey_functions(Runner(journal, witness, None, None), url)
    worker_of(functions, url, witness, given).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
