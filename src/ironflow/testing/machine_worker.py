"""The worker of a time machine: the SDK's own way with jobs, asked to take them only when there is time for it.

Unlike `Worker` it holds no poll and no heartbeat timer, so that it knows when nothing is left to do.
"""

import asyncio
import platform
from collections.abc import Awaitable, Callable, Mapping

from ironflow.base.errors import DeadlineExceeded, Internal
from ironflow.base.time import Clock
from ironflow.base.version import VERSION
from ironflow.features.runs.in_tx import job_key
from ironflow.notify.port import Notifier
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.steps.compensations import CLEAN_UP
from ironflow.sdk.durable.steps.replay import ASYNC_STARTS
from ironflow.sdk.durable.steps.retrying import FEATURES
from ironflow.sdk.user_code.calling import STEP_SOURCES
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.wire.endpoint import Endpoint
from ironflow.sdk.wire.transport import AsyncTransport
from ironflow.sdk.worker.inbox import WorkerInbox
from ironflow.sdk.worker.job_runner import JobRunner
from ironflow.sdk.worker.protocol import HANDLES, MESSAGE_VALUES, WorkerProtocol
from ironflow.sdk.worker.reporter import BatchReporter
from ironflow.sdk.worker.run_clients import RunClients
from ironflow.sdk.worker.timing import WorkerTiming

ID = "time-machine"
ENVIRONMENT = "default"


class NotSettled(DeadlineExceeded):
    """Handlers did not come to an end or a wait in time."""

    code = "NOT_SETTLED"


class TimeMachineWorker:
    """Runs jobs for as long as there are any. within_s: real seconds in which something has to happen meanwhile."""

    def __init__(
        self,
        functions: Mapping[str, FunctionDefinition],
        transport: AsyncTransport,
        notifier: Notifier,
        clock: Clock,
        slots: int,
        within_s: float,
        codec: Codec | None = None,
    ) -> None:
        self._functions = dict(functions)
        self._slots = slots
        self._within_s = within_s
        timing = WorkerTiming(poll_wait=0)
        self._protocol = WorkerProtocol(transport, Endpoint(), ID, timing)
        # Jobs come with their leases running.
        self._jobs = JobRunner(
            self._functions,
            self._protocol.publish,
            timing,
            slots,
            ENVIRONMENT,
            clock,
            limits=False,
            clients=RunClients(Endpoint(), transport, codec=codec),
            codec=codec,
            strict=True,
        )
        self._jobs.inbox = WorkerInbox(self._protocol.ask, ID, hold_ms=0)
        self._jobs.reporter = BatchReporter(
            self._protocol,
            many_waits=True,
            features=FEATURES | {HANDLES, ASYNC_STARTS, CLEAN_UP, STEP_SOURCES, MESSAGE_VALUES},
        )
        self._running: dict[asyncio.Task[None], Assignment] = {}
        self._notified = asyncio.Event()
        # What is done beside the jobs, also while handlers wait for it; whether there was anything.
        self.beside: Callable[[], Awaitable[bool]] | None = None
        self._keys = {job_key(ENVIRONMENT, function_id) for function_id in functions} | {""}
        notifier.listen("jobs", self._on_notified)
        notifier.listen("log", lambda _: self._notified.set())
        notifier.listen("job_revoked", self._on_revoked)
        notifier.listen("job_winding_down", self._on_winding_down)

    def _on_notified(self, keys: set[str]) -> None:
        if keys & self._keys:
            self._notified.set()

    def _on_revoked(self, keys: set[str]) -> None:
        """Runs were cancelled while a handler works, which the handler itself may have done."""
        for key in keys:
            self._jobs.drop(key.rpartition("/")[2], "cancelled")

    def _on_winding_down(self, keys: set[str]) -> None:
        """Runs are to be cancelled while their handlers work."""
        for key in keys:
            self._jobs.drop(key.rpartition("/")[2], "cancelling")

    async def start(self) -> None:
        """Registers functions and worker. Raises InvalidFunction for what the server does not accept."""
        for function in self._functions.values():
            await self._protocol.register_function(function, self._jobs.reporter.features, many_waits=True)
        await self._protocol.register(
            {
                "hostname": "localhost",
                "function_ids": list(self._functions),
                "max_concurrent_jobs": self._slots,
                "labels": {},
                "version": {"sdk": VERSION, "runtime": f"python-{platform.python_version()}"},
            }
        )

    async def heartbeat(self) -> None:
        """Sends a heartbeat; to be called after the clock has moved."""
        await self._protocol.heartbeat(self._jobs.leased())

    @property
    def notified(self) -> bool:
        """Whether there may be new jobs since `work` has looked for them."""
        return self._notified.is_set()

    async def work(self) -> None:
        """Takes and runs jobs until there is none to be had and none in work. Raises NotSettled."""
        while True:
            self._notified.clear()
            if await self._take():
                continue
            if self.beside is not None and await self.beside():
                continue
            if not self._running:
                return
            await self._wait()

    async def _take(self) -> bool:
        """Whether there were jobs to take."""
        free = self._slots - len(self._running)
        if not free:
            return False
        polled = await self._protocol.poll(free, acked=True)
        if polled.faults:
            raise Internal(f"A job cannot be read: {polled.faults[0]}")
        for job in polled.jobs:
            task = self._jobs.take(job)
            self._running[task] = job
            task.add_done_callback(self._running.pop)
        return bool(polled.jobs)

    async def _wait(self) -> None:
        """Until a job has ended or there is a new one."""
        notified = asyncio.ensure_future(self._notified.wait())
        try:
            done, _ = await asyncio.wait(
                (*self._running, notified), timeout=self._within_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            notified.cancel()
        if not done:
            stuck = ", ".join(f"{job.run_id} of {job.function_id}" for job in self._running.values())
            raise NotSettled(
                f"After {self._within_s:g} s nothing had happened in {stuck}. Time stands still while a handler works: "
                "it has to end, or to wait in a step. For bodies that take longer: time_machine(settle_within=...)."
            )

    async def close(self) -> None:
        await self._jobs.drop_all()
        await self._jobs.reporter.close()
