"""Running jobs: from the moment a worker has one until the server has taken its last report."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

from ironflow.base.errors import IronflowError
from ironflow.base.time import Clock
from ironflow.sdk.assignment import Assignment
from ironflow.sdk.execution import Execution
from ironflow.sdk.function import FunctionDefinition
from ironflow.sdk.held_job import HeldJob
from ironflow.sdk.pace import Pace
from ironflow.sdk.publishing import Publish
from ironflow.sdk.report import Failed, Outcome, RunFailure
from ironflow.sdk.reporter import APPLIED, Fate, NoReporter, Reporter, Verdict
from ironflow.sdk.upcasting import UpcasterRegistry

logger = logging.getLogger("ironflow.worker")


Ack = Callable[[Assignment], Awaitable[None]]


class JobRunner:
    """The jobs that a worker holds.

    reporter and ack are set by whoever talks to the server, as far as that can do. ack: starts the lease of a job, and
    raises what says that it is not to be run; None while jobs come with their leases running.
    on_taken: called when a job begins.
    """

    def __init__(
        self,
        functions: dict[str, FunctionDefinition],
        publish: Publish,
        pace: Pace,
        slots: int,
        environment: str,
        clock: Clock,
        upcasters: UpcasterRegistry | None = None,
    ) -> None:
        self.reporter: Reporter = NoReporter()
        self.ack: Ack | None = None
        self.on_taken: Callable[[], None] = _nothing
        self.slots = slots
        self._functions = functions
        self._publish = publish
        self.pace = pace
        self._environment = environment
        self._clock = clock
        self._upcasters = upcasters
        self._held: dict[str, HeldJob] = {}
        self._freed = asyncio.Event()

    @property
    def active(self) -> int:
        return len(self._held)

    def has(self, job_id: str) -> bool:
        return job_id in self._held

    def held(self) -> list[HeldJob]:
        return list(self._held.values())

    def leased(self) -> list[tuple[Assignment, datetime]]:
        """The jobs whose leases are to be renewed, and when each was taken."""
        return [(held.job, held.started_at) for held in self._held.values() if held.leased]

    async def free_slots(self) -> int:
        """How many more jobs may run, once that is at least one."""
        while len(self._held) >= self.slots:
            self._freed.clear()
            await self._freed.wait()
        return self.slots - len(self._held)

    def take(self, job: Assignment) -> "asyncio.Task[None]":
        """Begins to run the job. The task has ended when the server has taken the last report."""
        held = HeldJob(job, self.reporter, self.pace, self._lost)
        self._held[job.job_id] = held
        self.on_taken()
        held.task = asyncio.create_task(self._work(held))
        held.task.add_done_callback(_tell_surprise)
        return held.task

    async def _work(self, held: HeldJob) -> None:
        job = held.job
        try:
            function = self._functions.get(job.function_id)
            if function is None:
                await self._finish(held, _no_such_function(job))
                return
            if self.ack is not None:
                await self.ack(job)
            held.leased = True
            execution = Execution(
                function,
                job,
                clock=self._clock,
                environment=self._environment,
                on_recorded=held.recorded,
                publish=self._publish,
                upcasters=self._upcasters,
            )
            outcome = await held.run(execution)
            if not held.dropped:
                await held.checkpoints_done()
                await self._finish(held, outcome)
        except IronflowError as fault:
            # The lease was not granted: the job is another's now, or is given out again. A refused key ends the
            # worker at its next poll.
            _tell("job dropped", held, fault)
        finally:
            held.close()
            del self._held[job.job_id]
            self._freed.set()

    async def _finish(self, held: HeldJob, outcome: Outcome) -> None:
        verdict = await self._send_final(held, outcome)
        for with_steps in (True, False):
            if verdict.fate is not Fate.REFUSED or verdict.fault is None:
                break
            # Otherwise the run would be given out again and again, to end here each time.
            failure = RunFailure(message=verdict.fault.message, code=verdict.fault.code, retryable=False)
            _tell("report refused", held, verdict.fault)
            verdict = await self._send_final(held, Failed(failure), with_steps)
        if verdict is not APPLIED:
            _tell("report not applied", held, verdict.fault)

    async def _send_final(self, held: HeldJob, outcome: Outcome, with_steps: bool = True) -> Verdict:
        return await self.reporter.send(held.job, held.final(outcome, with_steps), final=True)

    def drop(self, job_id: str) -> None:
        """The server says that the job is no longer this worker's: its handler is stopped, nothing is reported."""
        held = self._held.get(job_id)
        if held is not None and not held.dropped:
            self._lost(held)

    def _lost(self, held: HeldJob) -> None:
        _tell("job lost", held, None)
        held.drop()

    # The end.

    async def finished(self, timeout_s: float) -> bool:
        """Waits until no job is left; False when some are after `timeout_s`."""
        running = self._running()
        if running:
            await asyncio.wait(running, timeout=timeout_s)
        return not self._held

    async def give_up(self) -> None:
        """Cancels what still runs and reports the steps it made, within a bounded time."""
        left = list(self._held.values())
        logger.warning("handlers cancelled", extra={"jobs": len(left)})
        await self.drop_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.pace.flush):
                await asyncio.gather(*(held.send_checkpoint() for held in left), return_exceptions=True)

    async def drop_all(self) -> None:
        """Cancels every handler; nothing is reported."""
        running = self._running()
        for held in list(self._held.values()):
            held.drop()
        if running:
            await asyncio.wait(running)

    def _running(self) -> "list[asyncio.Task[None]]":
        # A handler may be what ends the worker; it cannot wait for itself.
        this = asyncio.current_task()
        return [held.task for held in self._held.values() if held.task is not None and held.task is not this]


def _nothing() -> None:
    pass


def _no_such_function(job: Assignment) -> Failed:
    message = f"this worker has no function {job.function_id!r}"
    return Failed(RunFailure(message=message, code="FUNCTION_NOT_FOUND", retryable=False))


def _tell(what: str, held: HeldJob, fault: IronflowError | None) -> None:
    fields = {"run_id": held.job.run_id, "job_id": held.job.job_id, "attempt": held.job.attempt}
    logger.warning(what, extra=fields if fault is None else {**fields, "fault": fault.message})


def _tell_surprise(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (surprise := task.exception()) is not None:
        logger.error("job broke", exc_info=surprise)
