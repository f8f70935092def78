"""Talking to a server by polling. Source: protocol/worker-rest.md.

With a server that offers acked polls and batched reports it uses those; the plain protocol is the same conversation
with a request for each thing said.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ironflow.base.errors import IronflowError, NotFound, WorkerAuthError
from ironflow.sdk.function import FunctionDefinition
from ironflow.sdk.job_runner import JobRunner
from ironflow.sdk.pace import Backoff, Pace, is_transient
from ironflow.sdk.reporter import BatchReporter, PlainReporter
from ironflow.sdk.tasks import gone, until_one_fails
from ironflow.sdk.worker_protocol import ACKED_POLLS, BATCH_REPORTS, WorkerProtocol

logger = logging.getLogger("ironflow.worker")


class Polling:
    """A Conversation of requests. card: what the worker says of itself; on_ready: called when it is registered."""

    def __init__(
        self,
        protocol: WorkerProtocol,
        jobs: JobRunner,
        pace: Pace,
        functions: Sequence[FunctionDefinition],
        card: Mapping[str, Any],
        plain: bool,
        on_ready: Callable[[], None],
    ) -> None:
        self._protocol = protocol
        self._jobs = jobs
        self._pace = pace
        self._functions = functions
        self._card = card
        self._plain_only = plain
        self._on_ready = on_ready
        self._plain = PlainReporter(protocol, pace)
        jobs.reporter, jobs.ack = self._plain, protocol.ack
        self._worker_id = protocol.worker_id
        self._registered = False
        self._taking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        self._taking = asyncio.create_task(self._take_jobs())
        await until_one_fails(self._taking, asyncio.create_task(self._beat()))

    async def no_more(self) -> None:
        await gone(self._taking)

    async def close(self) -> None:
        await self._jobs.reporter.close()

    async def _take_jobs(self) -> None:
        backoff = Backoff(self._pace)
        while True:
            try:
                if not self._registered:
                    await self._register()
                polled = await self._protocol.poll(await self._jobs.free_slots(), self._jobs.ack is None)
            except WorkerAuthError:
                raise
            except IronflowError as fault:
                await asyncio.sleep(self._pause_after(fault, backoff))
                continue
            backoff.succeeded()
            for job in polled.jobs:
                self._jobs.take(job)
            for fault in polled.faults:
                logger.error("job cannot be read", extra={"worker_id": self._worker_id, "fault": fault})
            if polled.pause_s:
                await asyncio.sleep(polled.pause_s)

    def _pause_after(self, fault: IronflowError, backoff: Backoff) -> float:
        """Seconds to rest after a failed registration or poll. Raises `fault` when no rest will mend it."""
        first = not backoff.failing
        pause_s = backoff.next_pause(fault)
        if self._registered and isinstance(fault, NotFound):
            # Running jobs go on: their fences decide whether they may still report.
            self._registered = False
            return 0.0 if first else pause_s
        if not self._registered and not is_transient(fault):
            raise fault
        if first:
            logger.warning("server does not answer", extra={"worker_id": self._worker_id, "fault": fault.message})
        return pause_s

    async def _register(self) -> None:
        features = frozenset[str]() if self._plain_only else await self._protocol.features()
        self._jobs.ack = None if ACKED_POLLS in features else self._protocol.ack
        if BATCH_REPORTS not in features:
            self._jobs.reporter = self._plain
        elif self._jobs.reporter is self._plain:
            self._jobs.reporter = BatchReporter(self._protocol, self._pace)
        for function in self._functions:
            await self._protocol.register_function(function)
        await self._protocol.register(self._card)
        self._registered = True
        self._on_ready()
        functions = [function.id for function in self._functions]
        logger.info("worker registered", extra={"worker_id": self._worker_id, "functions": functions})

    async def _beat(self) -> None:
        """Keeps the worker and the leases of its jobs alive, also while it drains."""
        while True:
            await asyncio.sleep(self._pace.heartbeat)
            if not self._registered:
                continue
            try:
                await self._protocol.heartbeat(self._jobs.leased())
            except WorkerAuthError:
                raise
            except NotFound:
                self._registered = False
            except IronflowError as fault:
                logger.warning("heartbeat failed", extra={"worker_id": self._worker_id, "fault": fault.message})
