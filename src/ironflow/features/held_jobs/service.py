"""The jobs of one executor: taken while it has capacity, reported in order, given back when it cannot execute them.

Reports of one job stay in order: while an update is on its way to the disk, later reports are gathered into the next
one. The steps and the end of a short job, which arrive together, are one update.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError, Unavailable
from ironflow.base.time import Clock
from ironflow.engine.errors import StaleExecution
from ironflow.features.held_jobs import rules
from ironflow.features.held_jobs.contract import PendingReport
from ironflow.features.jobs.contract import Assignment, LeaveWorker, ReportedError, Reports, Verdicts, WorkerNotFound
from ironflow.features.jobs.in_tx import NO_CHANNEL, Channel, LeaseSight, WorkerRow
from ironflow.features.jobs.service import Jobs

logger = logging.getLogger(__name__)

# How long one look for jobs waits.
LOOK_S = 25.0
# A matcher that is about to close answers at once; the next look is this much later.
CLOSED_S = 0.01
# A database that was unavailable is tried again after this.
RETRY_S = 0.5
# An executor that refused a job is handed the next one after this.
REFUSED_S = 0.5
# Reports that arrived before the end get this long to reach the database.
LAST_REPORTS_S = 5.0

T = TypeVar("T")


class Executor(Protocol):
    """Executes the held jobs. No method but `admit` waits."""

    def deliver(self, jobs: Sequence[Assignment]) -> None:
        """Begins to execute jobs that were just taken."""
        ...

    def has_capacity(self) -> bool:
        """Whether more jobs may be taken, besides the limit of the worker."""
        ...

    def cancel(self, job_id: str, reason: str) -> None:
        """Stops an execution whose reports are no longer accepted."""
        ...

    def released(self, job_id: str) -> None:
        """The job is held no longer: it ended, or went back into the queue."""
        ...

    async def admit(self) -> WorkerRow:
        """Registers the worker again, after its row was deleted."""
        ...


class HeldJobs:
    """The jobs that one executor holds, and the reports of them.

    acked: a lease begins when the job is handed out; otherwise it begins with the executor's ack.
    grace_ms: as `PollJobs.grace_ms`. node: the incarnation that the executions end with, empty when they survive it.
    channel: of a worker of ours.
    """

    def __init__(
        self,
        jobs: Jobs,
        clock: Clock,
        call: Call,
        worker: WorkerRow,
        executor: Executor,
        *,
        acked: bool,
        grace_ms: int = 0,
        node: str = "",
        channel: Channel = NO_CHANNEL,
    ) -> None:
        self._jobs, self._clock, self._call = jobs, clock, call
        self._executor, self._acked, self._grace_ms = executor, acked, grace_ms
        self._node, self._channel = node, channel
        self.worker = worker
        self.ids: set[str] = set()
        self._pending: dict[str, PendingReport] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._supplying: asyncio.Task[None] | None = None
        self._stopped = self._refused = False
        # Set when a job was released, or the executor has capacity again.
        self._capacity = asyncio.Event()

    def start(self) -> None:
        """Takes jobs for the executor from now on."""
        if not self._stopped:
            self._supplying = asyncio.create_task(self._supply())

    def stop(self) -> None:
        """Takes no more jobs. Those that are held stay."""
        self._stopped = True
        if self._supplying is not None:
            self._supplying.cancel()

    def capacity_changed(self) -> None:
        """The executor may have capacity again."""
        self._capacity.set()

    def hold(self, job_ids: Iterable[str]) -> None:
        """Holds jobs that were handed to the executor earlier."""
        self.ids.update(job_ids)

    def release(self, job_id: str) -> None:
        if job_id in self.ids:
            self.ids.discard(job_id)
            self._capacity.set()
            self._executor.released(job_id)

    async def refuse(self, job_id: str) -> None:
        """Gives back a job for which the executor has no capacity. It is not handed another one at once."""
        self._refused = True
        self.release(job_id)
        await self._retried(lambda: self._jobs.give_back(self._now(), job_id))

    async def lose(self, job_id: str) -> None:
        """Ends the lease of a job that the executor has lost."""
        self.release(job_id)
        await self._retried(lambda: self._jobs.lost(self._now(), job_id))

    async def renew(self, job_ids: Iterable[str], *, first: bool = False) -> dict[str, LeaseSight]:
        """Renews the leases of jobs; returns the state of each.

        first: these are all jobs that the executor has of earlier channels; its other leases of those end.
        """
        call, listed = self._now(), sorted(job_ids)
        before = self._channel if first else NO_CHANNEL
        return await self._retried(lambda: self._jobs.renew(call, self.worker.id, listed, before, no_loss=True))

    async def drain(self) -> None:
        """The worker is about to leave: it gets no more jobs, and others may take its actors."""
        self.stop()
        await self._retried(lambda: self._jobs.drain(self._now(), self.worker.id))

    async def leave(self) -> None:
        """The worker has left."""
        await self._jobs.leave(self._now(), LeaveWorker(worker=self.worker.id))

    def pending(self, job_id: str) -> PendingReport | None:
        """The report of the job that is not on its way to the database yet."""
        return self._pending.get(job_id)

    def enqueue(self, report: PendingReport) -> None:
        """Replaces the pending report of its job. It is sent at the end of this turn of the event loop, or after the
        one that is on its way."""
        job_id = report.fence.job_id
        self.ids.add(job_id)
        self._pending[job_id] = report
        if job_id not in self._sending:
            self._sending[job_id] = asyncio.create_task(self._send(job_id))

    def is_sending(self, job_id: str) -> bool:
        return job_id in self._sending

    async def report(self, request: Reports) -> Verdicts:
        """Stores reports of several jobs at once, and releases those that are over."""
        verdicts = await self._jobs.report(self._now(), request)
        for report, verdict in zip(request.reports, verdicts.results, strict=True):
            if rules.is_over(report, verdict):
                self.release(report.job)
        return verdicts

    async def sent(self) -> None:
        """Returns when the reports of all jobs are in the database."""
        await asyncio.gather(*self._sending.values())

    async def close(self, undelivered: Iterable[str], reporting: Iterable[asyncio.Task[None]]) -> None:
        """Gives undelivered jobs back, and waits a short time for the last reports. Other jobs keep their leases.

        reporting: tasks of the executor that are to be waited for as well.
        """
        self.stop()
        if self._supplying is not None:
            await asyncio.gather(self._supplying, return_exceptions=True)
        for job_id in undelivered:
            self.ids.discard(job_id)
            await self._jobs.give_back(self._now(), job_id)
        if tasks := [*self._sending.values(), *reporting]:
            _, late = await asyncio.wait(tasks, timeout=LAST_REPORTS_S)
            for task in late:
                task.cancel()

    async def _supply(self) -> None:
        while True:
            self._capacity.clear()
            if len(self.ids) >= self.worker.jobs_max or not self._executor.has_capacity():
                await self._capacity.wait()
                continue
            if self._refused:
                self._refused = False
                await asyncio.sleep(REFUSED_S)
            if found := await self._retried(self._take):
                self.ids.update(each.job_id for each in found)
                self._executor.deliver(found)
            else:
                await asyncio.sleep(CLOSED_S)

    async def _take(self) -> list[Assignment]:
        """Jobs up to the worker's limit. The jobs that it holds count, as the database knows them."""
        worker, is_there = self.worker, self._call.is_there
        return await self._jobs.matcher.poll(
            worker, worker.jobs_max, self._acked, LOOK_S, is_there, self._grace_ms, self._node, self._channel
        )

    async def _send(self, job_id: str) -> None:
        """Sends the pending reports of a job to the database, until there are none."""
        try:
            # Reports that arrived together with this one are gathered first.
            await asyncio.sleep(0)
            while (pending := self._pending.pop(job_id, None)) is not None:
                await self._retried(lambda pending=pending: self._update(pending))
        finally:
            self._sending.pop(job_id, None)

    async def _update(self, pending: PendingReport) -> None:
        job_id = pending.fence.job_id
        try:
            if pending.ended or pending.steps or pending.started:
                await self._jobs.update(self._now(), rules.update_of(pending, self.worker.id))
            else:
                await self._jobs.ack(self._now(), rules.ack_of(pending, self.worker.id))
        except StaleExecution as stale:
            self.release(job_id)
            if not pending.ended:
                self._executor.cancel(job_id, stale.message)
            return
        except Unavailable:
            raise
        except IronflowError as refusal:
            # The report cannot be stored, for example because an output is too large: the run shows the reason.
            await self._fail(pending, refusal)
        if pending.ended:
            self.release(job_id)

    async def _fail(self, pending: PendingReport, refusal: IronflowError) -> None:
        job_id = pending.fence.job_id
        error = ReportedError(message=refusal.message, code=refusal.code, retryable=False)
        logger.warning("report refused", extra={"job_id": job_id, "error": refusal.code})
        # A report is refused before its fence is looked at: the job may be another's by now.
        with suppress(StaleExecution):
            await self._record_failure(pending, error)
        self.release(job_id)
        if not pending.ended:
            self._executor.cancel(job_id, refusal.message)

    async def _record_failure(self, pending: PendingReport, error: ReportedError) -> None:
        """Raises StaleExecution, Unavailable."""
        try:
            failed = rules.failure_of(pending, error, with_steps=True)
            await self._jobs.update(self._now(), rules.update_of(failed, self.worker.id))
        except (StaleExecution, Unavailable):
            raise
        except IronflowError:
            # It may be one of the steps that is refused, for the same reason or for another.
            failed = rules.failure_of(pending, error, with_steps=False)
            await self._jobs.update(self._now(), rules.update_of(failed, self.worker.id))

    async def _retried(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work()`, repeated while the database is unavailable or the worker is not registered."""
        while True:
            try:
                return await work()
            except WorkerNotFound:
                self.worker = await self._executor.admit()
            except Unavailable as fault:
                logger.warning("held jobs wait", extra={"worker_id": self.worker.id, "error": fault.message})
                await asyncio.sleep(RETRY_S)

    def _now(self) -> Call:
        return replace(self._call, now=self._clock.now())
