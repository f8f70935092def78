"""The connection of a polling worker: requests and held polls. Source: protocol/worker-rest.md.

It uses acked polls and batched reports where the server offers them; in the plain protocol every acknowledgement and
report is a request of its own.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ironflow.base.errors import IronflowError, NotFound, WorkerAuthError
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.user_code.logs import SdkLogger
from ironflow.sdk.wire.backoff import Backoff, is_transient
from ironflow.sdk.worker.job_runner import JobRunner
from ironflow.sdk.worker.protocol import (
    ACKED_POLLS,
    BATCH_REPORTS,
    LOST_ANSWERS,
    MANY_WAITS,
    WORKER_CONTROL,
    Polled,
    WorkerProtocol,
)
from ironflow.sdk.worker.registering import Registering
from ironflow.sdk.worker.reporter import BatchReporter, PlainReporter
from ironflow.sdk.worker.tasks import cancel_and_wait, run_until_first_failure
from ironflow.sdk.worker.timing import WorkerTiming

logger = SdkLogger("ironflow.worker")

# For the report of an execution that took too long, after its threads were waited for.
END_MS = 5_000


class PollingConnection:
    """A Connection of requests. registration: the worker's own fields; on_ready: called when it is registered."""

    def __init__(
        self,
        protocol: WorkerProtocol,
        jobs: JobRunner,
        timing: WorkerTiming,
        functions: Sequence[FunctionDefinition],
        registration: Mapping[str, Any],
        plain: bool,
        on_ready: Callable[[], None],
    ) -> None:
        self._protocol = protocol
        self._jobs = jobs
        self._timing = timing
        self._registering = Registering(functions)
        self._registration = registration
        self._plain_only = plain
        self._on_ready = on_ready
        self._plain = PlainReporter(protocol)
        jobs.reporter, jobs.ack = self._plain, protocol.ack
        self._worker_id = protocol.worker_id
        self._registered = False
        # Whether leases know the poll that they were handed out with; the number of the last poll.
        self._numbered = False
        self._number = 0
        # The last poll failed, and jobs may be lost with its answer.
        self._answer_lost = False
        self._controlled = asyncio.Event()
        self._taking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        self._taking = asyncio.create_task(self._take_jobs())
        await run_until_first_failure(
            self._taking, asyncio.create_task(self._send_heartbeats()), asyncio.create_task(self._obey())
        )

    async def stop_taking_jobs(self) -> None:
        await cancel_and_wait(self._taking)
        if self._answer_lost and self._registered:
            # Jobs may be on their way with the answer of the poll that was given up.
            try:
                await self._send_heartbeat()
            except IronflowError as fault:
                logger.warning("heartbeat failed", extra={"worker_id": self._worker_id, "fault": fault.message})

    async def leave(self) -> None:
        if self._controlled.is_set():
            await self._protocol.leave()

    async def close(self) -> None:
        await self._jobs.reporter.close()

    async def _take_jobs(self) -> None:
        backoff = Backoff(self._timing.pauses(), self._warn)
        while True:
            registering = not self._registered
            try:
                if registering:
                    await self._register()
                    registering = False
                if self._answer_lost:
                    await self._send_heartbeat()
                free = await self._jobs.free_slots()
                polled = await self._poll(free)
            except WorkerAuthError:
                raise
            except IronflowError as fault:
                await asyncio.sleep(self._pause_after(fault, backoff, registering))
                continue
            backoff.succeeded()
            for job in polled.jobs:
                self._jobs.take(job)
            for fault in polled.faults:
                logger.error("job cannot be read", extra={"worker_id": self._worker_id, "fault": fault})
            if polled.pause_s:
                await asyncio.sleep(polled.pause_s)

    async def _poll(self, free: int) -> Polled:
        if not self._numbered:
            return await self._protocol.poll(free, self._jobs.ack is None, self._grace_ms())
        self._number += 1
        # Until its answer was read.
        self._answer_lost = True
        polled = await self._protocol.poll(free, acked=True, grace_ms=self._grace_ms(), number=self._number)
        self._answer_lost = False
        return polled

    def _grace_ms(self) -> int:
        """What the server leaves this worker to end late executions itself."""
        return round(self._timing.late_threads * 1000) + END_MS if self._controlled.is_set() else 0

    async def _obey(self) -> None:
        """Keeps a request held while there are jobs, also without a free slot: jobs that were cancelled end at once."""
        backoff = Backoff(self._timing.pauses(), self._warn)
        while True:
            await self._controlled.wait()
            job_ids = await self._jobs.until_held()
            try:
                controls = await self._protocol.control(job_ids)
            except WorkerAuthError:
                raise
            except IronflowError as fault:
                # A worker that is not known registers again with its next poll, or comes to it by its heartbeat.
                self._registered = self._registered and not isinstance(fault, NotFound)
                await asyncio.sleep(backoff.pause_s(fault))
                continue
            backoff.succeeded()
            for job_id, control in controls:
                self._jobs.drop(job_id, control)

    def _pause_after(self, fault: IronflowError, backoff: Backoff, registering: bool) -> float:
        """Seconds to rest after a failed registration or poll. Raises `fault` when no rest will mend it."""
        if not registering and isinstance(fault, NotFound):
            # A heartbeat may have met the same a moment before, while the poll was held. Running jobs go on: their
            # fences decide whether they may still report.
            self._registered = False
            first = not backoff.failing
            pause_s = backoff.pause_s(fault)
            return 0.0 if first else pause_s
        if registering and not is_transient(fault):
            raise fault
        return backoff.pause_s(fault)

    def _warn(self, fault: IronflowError) -> None:
        logger.warning("server does not answer", extra={"worker_id": self._worker_id, "fault": fault.message})

    async def _register(self) -> None:
        features = frozenset[str]() if self._plain_only else await self._protocol.features()
        self._jobs.ack = None if ACKED_POLLS in features else self._protocol.ack
        if BATCH_REPORTS not in features:
            self._jobs.reporter = self._plain
        elif self._jobs.reporter is self._plain:
            self._jobs.reporter = BatchReporter(self._protocol, MANY_WAITS in features, features)
        if WORKER_CONTROL in features and self._jobs.ack is None:
            self._controlled.set()
        else:
            self._controlled.clear()
        self._numbered = LOST_ANSWERS in features and self._jobs.ack is None
        self._answer_lost = self._answer_lost and self._numbered
        functions = await self._registering.run(self._protocol, features if BATCH_REPORTS in features else frozenset())
        await self._protocol.register({**self._registration, "function_ids": functions})
        self._registered = True
        self._on_ready()
        logger.info("worker registered", extra={"worker_id": self._worker_id, "functions": functions})

    async def _send_heartbeat(self, between: bool = True) -> None:
        """between: no poll is under way."""
        if not self._numbered:
            await self._protocol.heartbeat(self._jobs.leased())
            return
        before = self._number + 1 if between else self._number
        await self._protocol.heartbeat(self._jobs.leased(), before, answer_lost=between)
        if between:
            self._answer_lost = False

    async def _send_heartbeats(self) -> None:
        """Keeps the worker and the leases of its jobs alive, also while it drains."""
        while True:
            await asyncio.sleep(self._timing.heartbeat)
            if not self._registered:
                continue
            try:
                await self._send_heartbeat(between=False)
            except WorkerAuthError:
                raise
            except NotFound:
                self._registered = False
            except IronflowError as fault:
                logger.warning("heartbeat failed", extra={"worker_id": self._worker_id, "fault": fault.message})
