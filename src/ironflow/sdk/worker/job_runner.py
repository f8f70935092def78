"""Running jobs: from the moment a worker has one until the server has taken its last report."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial

from ironflow.base.errors import IronflowError
from ironflow.base.time import Clock
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.durable.context import Clients
from ironflow.sdk.durable.execution import Execution, trace_of
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.report import Failed, JobUpdate, Outcome, RunFailure, Yielded
from ironflow.sdk.durable.steps.awaiting import StepNotAwaited
from ironflow.sdk.durable.steps.publish import Publish
from ironflow.sdk.user_code.logs import SdkLogger
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.values.upcasting import UpcasterRegistry
from ironflow.sdk.wire.tracing import Tracing
from ironflow.sdk.worker.held_job import HeldJob
from ironflow.sdk.worker.inbox import JobInbox, WorkerInbox
from ironflow.sdk.worker.protocol import HANDLES
from ironflow.sdk.worker.report_once import send
from ironflow.sdk.worker.reporter import APPLIED, NoReporter, Reporter, ReportResult, ReportStatus
from ironflow.sdk.worker.run_lines import RUN_CANCELLED, log_ended, log_started
from ironflow.sdk.worker.timing import WorkerTiming

logger = SdkLogger("ironflow.worker")

# A step is reported as started when it runs for at least this long, and at most twice as long.
STEP_STARTED_AFTER_S = 0.05
_OVER: Mapping[str, str] = {"paused": "run paused", "cancelled": "run cancelled"}

# A report of more would keep others from the database for too long.
WAITS_PER_REPORT = 1_000

Ack = Callable[[Assignment], Awaitable[None]]


class JobRunner:
    """The jobs that a worker holds.

    The connection sets reporter and ack to what its server supports. ack: starts the lease of a job, and raises for one
    that must not run; None while jobs come with running leases.
    each: the checkpoints of functions that set none: true for one after each step, false for batches.
    limits: whether executions over their function's timeout are ended here; false on a virtual clock.
    clients: of `ctx.client`. codec: of payloads. strict: a step that is called and never awaited fails its run; else it
    is logged once for each function.
    """

    def __init__(
        self,
        functions: dict[str, FunctionDefinition],
        publish: Publish,
        timing: WorkerTiming,
        slots: int,
        environment: str,
        clock: Clock,
        upcasters: UpcasterRegistry | None = None,
        each: bool = True,
        limits: bool = True,
        clients: Clients | None = None,
        codec: Codec | None = None,
        strict: bool = False,
    ) -> None:
        self._strict = strict
        # Functions with a step that is never awaited, which the log has named.
        self._unawaited: set[str] = set()
        self.reporter: Reporter = NoReporter()
        self.ack: Ack | None = None
        self.slots = slots
        self._each = each
        self._limits = limits
        self._clients = clients
        self._codec = codec
        self._running_steps: set[tuple[str, str]] = set()
        self._step_timer: asyncio.TimerHandle | None = None
        self._functions = functions
        self._publish = publish
        # Takes and answers messages while executions go on; None: each ends and its run waits.
        self.inbox: WorkerInbox | None = None
        self.tracing = Tracing()
        self.timing = timing
        self._environment = environment
        self._clock = clock
        self._upcasters = upcasters
        self._held: dict[str, HeldJob] = {}
        self._freed, self._taken = asyncio.Event(), asyncio.Event()

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
        """How many more jobs may run, once that is at least one. Jobs that were dropped take none while they end."""
        while (free := self.slots - len(self._at_work())) <= 0:
            self._freed.clear()
            await self._freed.wait()
        return free

    async def until_held(self) -> list[str]:
        """The ids of the jobs that are held, once there is one."""
        while not (found := self._at_work()):
            self._taken.clear()
            await self._taken.wait()
        return found

    def _at_work(self) -> list[str]:
        return [job_id for job_id, held in self._held.items() if not held.dropped]

    def take(self, job: Assignment) -> "asyncio.Task[None]":
        """Begins to run the job. The task has ended when the server has taken the last report."""
        function = self._functions.get(job.function_id)
        each = self._each if function is None or not function.checkpoint else function.checkpoint == "each"
        held = HeldJob(job, self.reporter, self.timing, each, self._over)
        self._held[job.job_id] = held
        held.leased = self.ack is None
        self._taken.set()
        self._watch_steps()
        held.task = asyncio.create_task(self._work(held))
        held.task.add_done_callback(_log_crash)
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
                on_progress=held.progressed,
                publish=self._publish,
                inbox=JobInbox(self.inbox, held) if self.inbox is not None and self.reporter.many_waits else None,
                upcasters=self._upcasters,
                many_waits=self.reporter.many_waits,
                features=self.reporter.features,
                on_start=held.starts.start if HANDLES in self.reporter.features else None,
                clients=self._clients,
                trace=trace_of(self.tracing, job, self._environment),
                codec=self._codec,
                on_unawaited=None if self._strict else partial(self._on_unawaited, job),
            )
            log_started(job)
            outcome = await self._run(held, execution)
            log_ended(job, outcome)
            if not held.dropped:
                await held.checkpoints_done()
            if not held.dropped:
                await self._finish(held, await self._report_waits(held, outcome))
        except IronflowError as fault:
            # The lease was not granted: the job is another's now, or is given out again. A refused key ends the
            # worker at its next poll.
            _log_dropped("job dropped", held, fault)
        finally:
            held.close()
            del self._held[job.job_id]
            self._freed.set()

    def _on_unawaited(self, job: Assignment, fault: StepNotAwaited) -> None:
        if job.function_id not in self._unawaited:
            self._unawaited.add(job.function_id)
            about = {"function_id": job.function_id, "run_id": job.run_id, "error": fault.message}
            logger.warning("step never awaited", extra=about)

    async def _run(self, held: HeldJob, execution: Execution) -> Outcome:
        """How the execution ended; one over its function's timeout, or of a run that is to be cancelled, is ended
        here, with its bodies.

        A thread cannot be ended: it is waited for within bounds, so that the next attempt does not begin beside it.
        """
        limit_ms = held.job.timeout_ms if self._limits else 0
        limit = asyncio.timeout(limit_ms / 1000 if limit_ms else None)
        try:
            async with limit:
                held.begin(limit)
                outcome = await held.run(execution)
            if not limit.expired():
                return outcome
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            held.limit = None
        _log_dropped("run is being cancelled" if held.winding_down else "execution took too long", held, None)
        if not await execution.bodies_ended(self.timing.late_threads):
            _log_dropped("threads run on beside the next attempt", held, None)
        if held.winding_down:
            return Failed(RunFailure(message="The run is being cancelled.", code=RUN_CANCELLED, retryable=False))
        message = f"The execution ran longer than the function's timeout of {limit_ms} ms."
        return Failed(RunFailure(message=message, code="TIMEOUT", retryable=True), uncompensated=True)

    async def _report_waits(self, held: HeldJob, outcome: Outcome) -> Outcome:
        """Reports waits beyond those that one report takes; the outcome with the rest, or with all if one fails."""
        if not isinstance(outcome, Yielded) or not held.reporter.many_waits:
            return outcome
        steps = outcome.steps
        while len(steps) > WAITS_PER_REPORT:
            make = partial(held.waits_in_advance, steps[:WAITS_PER_REPORT])
            result = await send(self.reporter, held.job, make, final=False, pauses=self.timing.final_retries)
            if result.status is not ReportStatus.APPLIED:
                break
            steps = steps[WAITS_PER_REPORT:]
        return Yielded(steps, outcome.join)

    async def _finish(self, held: HeldJob, outcome: Outcome) -> None:
        verdict = await self._send_final(held, outcome)
        for with_steps in (True, False):
            if verdict.status is not ReportStatus.REFUSED or verdict.fault is None:
                break
            held.state_refused(verdict.fault)
            # Otherwise the run would be given out again and again, to end here each time.
            failure = RunFailure(message=verdict.fault.message, code=verdict.fault.code, retryable=False)
            # The handler has ended; a further execution undoes what it did.
            _log_dropped("report refused", held, verdict.fault)
            verdict = await self._send_final(held, Failed(failure, uncompensated=True), with_steps)
        if verdict is not APPLIED:
            _log_dropped("report not applied", held, verdict.fault)

    async def _send_final(self, held: HeldJob, outcome: Outcome, with_steps: bool = True) -> ReportResult:
        def make() -> JobUpdate:
            return held.final_update(outcome, with_steps)

        return await send(self.reporter, held.job, make, final=True, pauses=self.timing.final_retries)

    def drop(self, job_id: str, control: str = "lost") -> None:
        """Stops the handler of a job that is no longer this worker's; nothing is reported. One of a run that is to be
        cancelled is ended, and reported.

        control: why, as `Verdict.control`.
        """
        held = self._held.get(job_id)
        if held is not None:
            self._over(held, control)

    def _over(self, held: HeldJob, control: str) -> None:
        """The execution is over for this worker. control: as `Verdict.control`."""
        if control == "cancelling":
            held.wind_down()
        elif not held.dropped:
            _log_dropped(_OVER.get(control, "job lost"), held, None)
            held.drop()
            self._freed.set()

    # Steps that are visible while they run.

    def _watch_steps(self) -> None:
        if self._step_timer is None:
            loop = asyncio.get_running_loop()
            self._step_timer = loop.call_later(STEP_STARTED_AFTER_S, self._report_started_steps)

    def _report_started_steps(self) -> None:
        """Reports the steps that were already running at the previous call."""
        self._step_timer = None
        before, self._running_steps = self._running_steps, set()
        for held in self._held.values():
            for row in held.running():
                key = (held.job.job_id, row.id)
                self._running_steps.add(key)
                if key in before and held.leased and self.reporter.announces:
                    held.announce(row)
        if self._held:
            self._watch_steps()

    # The end.

    async def finished(self, timeout_s: float) -> bool:
        """Waits until no job is left; False when some are after `timeout_s`."""
        running = self._running()
        if running:
            await asyncio.wait(running, timeout=timeout_s)
        return not self._held

    async def cancel_running(self) -> None:
        """Cancels what still runs and reports the steps it made, within a bounded time."""
        left = list(self._held.values())
        logger.warning("handlers cancelled", extra={"jobs": len(left)})
        await self.drop_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.timing.flush):
                await asyncio.gather(*(held.flush() for held in left), return_exceptions=True)

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


def _no_such_function(job: Assignment) -> Failed:
    message = f"this worker has no function {job.function_id!r}"
    failure = RunFailure(message=message, code="FUNCTION_NOT_FOUND", retryable=False)
    return Failed(failure, uncompensated=job.compensating is not None)


def _log_dropped(what: str, held: HeldJob, fault: IronflowError | None) -> None:
    fields = {"run_id": held.job.run_id, "job_id": held.job.job_id, "attempt": held.job.attempt}
    logger.warning(what, extra=fields if fault is None else {**fields, "fault": fault.message})


def _log_crash(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (surprise := task.exception()) is not None:
        logger.error("job broke", exc_info=surprise)
