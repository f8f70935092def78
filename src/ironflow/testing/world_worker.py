"""The worker of a time machine: the SDK's own way with jobs, asked to take them only when there is time for it.

Unlike `Worker` it holds no poll and keeps no beat, so that it can say when there is nothing left to do.
"""

import asyncio
import platform
from collections.abc import Mapping

from ironflow.base.errors import DeadlineExceeded, Internal
from ironflow.base.time import Clock
from ironflow.base.version import VERSION
from ironflow.broker.port import Broker
from ironflow.features.runs.ledger import job_key
from ironflow.sdk.assignment import Assignment
from ironflow.sdk.caller import Caller
from ironflow.sdk.function import FunctionDefinition
from ironflow.sdk.job_runner import JobRunner
from ironflow.sdk.pace import Pace
from ironflow.sdk.reporter import BatchReporter
from ironflow.sdk.transport import AsyncTransport
from ironflow.sdk.worker_protocol import WorkerProtocol

ID = "time-machine"
ENVIRONMENT = "default"


class NotSettled(DeadlineExceeded):
    """Handlers did not come to an end or a wait in time."""

    code = "NOT_SETTLED"


class WorldWorker:
    """Runs jobs for as long as there are any. within_s: real seconds in which something has to happen meanwhile."""

    def __init__(
        self,
        functions: Mapping[str, FunctionDefinition],
        transport: AsyncTransport,
        broker: Broker,
        clock: Clock,
        slots: int,
        within_s: float,
    ) -> None:
        self._functions = dict(functions)
        self._slots = slots
        self._within_s = within_s
        pace = Pace(poll_wait=0)
        self._protocol = WorkerProtocol(transport, Caller(), ID, pace)
        # Jobs come with their leases running.
        self._jobs = JobRunner(self._functions, self._protocol.publish, pace, slots, ENVIRONMENT, clock)
        self._jobs.reporter = BatchReporter(self._protocol, pace)
        self._running: dict[asyncio.Task[None], Assignment] = {}
        self._rung = asyncio.Event()
        self._keys = {job_key(ENVIRONMENT, function_id) for function_id in functions} | {""}
        broker.listen("jobs", self._heard)

    def _heard(self, keys: set[str]) -> None:
        if keys & self._keys:
            self._rung.set()

    async def start(self) -> None:
        """Registers functions and worker. Raises InvalidFunction for what the server does not accept."""
        for function in self._functions.values():
            await self._protocol.register_function(function)
        await self._protocol.register(
            {
                "hostname": "localhost",
                "function_ids": list(self._functions),
                "max_concurrent_jobs": self._slots,
                "labels": {},
                "version": {"sdk": VERSION, "runtime": f"python-{platform.python_version()}"},
            }
        )

    async def beat(self) -> None:
        """Tells the server that the worker lives; to be said after time has moved."""
        await self._protocol.heartbeat(self._jobs.leased())

    @property
    def rung(self) -> bool:
        """Whether there may be new jobs since `work` has looked for them."""
        return self._rung.is_set()

    async def work(self) -> None:
        """Takes and runs jobs until there is none to be had and none in work. Raises NotSettled."""
        while True:
            self._rung.clear()
            if await self._take():
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
        rung = asyncio.ensure_future(self._rung.wait())
        try:
            done, _ = await asyncio.wait(
                (*self._running, rung), timeout=self._within_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            rung.cancel()
        if not done:
            stuck = ", ".join(f"{job.run_id} of {job.function_id}" for job in self._running.values())
            raise NotSettled(
                f"After {self._within_s:g} s nothing had happened in {stuck}. Time stands still while a handler works: "
                "it has to end, or to wait in a step. For bodies that take longer: time_machine(settle_within=...)."
            )

    async def close(self) -> None:
        await self._jobs.drop_all()
        await self._jobs.reporter.close()
