"""One worker's stream: jobs are sent while the worker has capacity, frames are received and become reports.

What the worker holds, and how reports reach the database, is decided by `HeldJobs`; the stream is its executor.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from typing import NamedTuple, assert_never

from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.base.time import Clock
from ironflow.features.held_jobs.service import HeldJobs
from ironflow.features.jobs.contract import Assignment, RegisterWorker, Reports
from ironflow.features.jobs.in_tx import NO_CHANNEL, Channel, WorkerRow, run_id_of
from ironflow.features.jobs.service import Jobs
from ironflow.features.runs.service import LiveSteps
from ironflow.features.streaming_workers import contract, rules
from ironflow.features.streaming_workers.contract import EngineMessage, WorkerMessage

logger = logging.getLogger(__name__)

HEARTBEAT_MS = 30_000
# A stream that was silent for this long is closed. Source: protocol/worker-stream.md 6.
SILENT_S = 3 * HEARTBEAT_MS / 1000
# Frames on their way to a worker that does not read them, after which no more jobs are taken for it.
OUTBOX_MAX = 1000
# Frames that arrived before the stream ended are applied within this time.
LAST_FRAMES_S = 1.0


class _Outgoing(NamedTuple):
    """A frame on its way to the worker, with the jobs that it carries."""

    message: EngineMessage
    jobs: Sequence[Assignment]


class Session:
    """A stream of a registered worker: `answers()` yields its frames, those of the worker come from `incoming`.

    batches: the worker has asked for them. grace_ms: as `PollJobs.grace_ms`. endings: where the end of the stream is
    kept while it is on its way to the database. node: the incarnation of this process.
    channel: this stream, of a worker of ours.
    """

    def __init__(
        self,
        jobs: Jobs,
        live: LiveSteps,
        clock: Clock,
        call: Call,
        registered: RegisterWorker,
        worker: WorkerRow,
        batches: bool,
        grace_ms: int = 0,
        *,
        endings: set[asyncio.Task[None]],
        node: str = "",
        channel: Channel = NO_CHANNEL,
    ) -> None:
        self._jobs, self._live, self._clock = jobs, live, clock
        self._call, self._registered = call, registered
        self._batches = batches
        # What a worker drops with its stream ends with this process as well.
        ends_with = node if worker.runtime.startswith(rules.DROPS_JOBS) else ""
        self._held = HeldJobs(
            jobs, clock, call, worker, self, acked=batches, grace_ms=grace_ms, node=ends_with, channel=channel
        )
        # Until the first heartbeat, which lists the jobs that the worker has of earlier streams.
        self._first = channel != NO_CHANNEL
        self._outbox: asyncio.Queue[_Outgoing | None] = asyncio.Queue()
        # Names of running and ended steps, by job and step id: only `step_started` carries the name.
        self._step_names: dict[str, dict[str, str]] = {}
        # Heartbeats in a row that did not list a job.
        self._absences: dict[str, int] = {}
        # Jobs that were handed out on an earlier stream of the worker, until its first heartbeat here.
        self._inherited: set[str] = set()
        self._reporting: set[asyncio.Task[None]] = set()
        self._endings = endings
        self._failed: BaseException | None = None
        # All frames before the end of the stream were taken out of the outbox.
        self._ended = False
        self._draining = False
        # The worker drains, and is gone when its stream ends.
        self._leaves = False

    @property
    def worker(self) -> WorkerRow:
        return self._held.worker

    @property
    def job_ids(self) -> Collection[str]:
        """The jobs that the worker holds."""
        return self._held.ids

    async def answers(self, incoming: AsyncIterator[WorkerMessage]) -> AsyncGenerator[list[EngineMessage], None]:
        """The frames for the worker, those together that wait together. Raises the error of an invalid frame."""
        registered = contract.Registered(
            worker_id=self.worker.id, heartbeat_interval_ms=HEARTBEAT_MS, batches=self._batches
        )
        self._send(EngineMessage(registered=registered))
        self._held.start()
        receiving = asyncio.create_task(self._receive(incoming))
        try:
            while waiting := await self._waiting():
                yield waiting
                self._held.capacity_changed()
            if self._failed is not None:
                raise self._failed
        finally:
            # Cancelled a second time, as by an HTTP server that ends the request itself, it would leave jobs reserved.
            stopping = asyncio.create_task(self._stop(receiving))
            self._endings.add(stopping)
            stopping.add_done_callback(self._endings.discard)
            await asyncio.shield(stopping)

    async def _waiting(self) -> list[EngineMessage]:
        """The frames for the worker, once there is one; none at the end. One commit has answers and new jobs.

        Without batches one at a time: those that are not on their way yet are given back when the stream breaks.
        """
        messages: list[EngineMessage] = []
        while not self._ended and (not messages or (self._batches and not self._outbox.empty())):
            outgoing = await self._outbox.get()
            if outgoing is None:
                self._ended = True
            else:
                messages.append(outgoing.message)
        return messages

    def inherit(self, job_ids: Collection[str]) -> None:
        """Takes over the jobs of the worker's earlier stream, unless it dropped them with that."""
        if self.worker.runtime.startswith(rules.DROPS_JOBS):
            return
        self._held.hold(job_ids)
        self._inherited = set(job_ids)

    def end(self, failed: BaseException | None = None) -> None:
        """Ends the stream after the frames that are on their way. The worker's leases stay."""
        self._failed = self._failed or failed
        self._outbox.put_nowait(None)

    def replace(self) -> None:
        """Ends the stream: the worker goes on with another one."""
        self._leaves = False
        self._held.stop()
        self.end()

    def shut_down(self, reason: str, drain_ms: int) -> None:
        """Asks the worker to finish its jobs and to leave; the stream ends when it has, or after `drain_ms`."""
        if not self._draining:
            self._draining = True
            self._held.stop()
            self._send(EngineMessage(shutdown=contract.Shutdown(reason=reason, drain_timeout_ms=drain_ms)))
            if not self._held.ids:
                self.end()
            else:
                asyncio.get_running_loop().call_later(drain_ms / 1000, self.end)

    def revoke(self, job_id: str) -> None:
        """The job was taken from the worker: its run was cancelled, or its lease has ended."""
        self._held.release(job_id)
        self.cancel(job_id, "the run was cancelled, or the lease has ended")

    def wind_down(self, job_id: str) -> None:
        """The worker is to end the job. One that does not know what is asked of it drops it, and lists it no more."""
        cancel = contract.CancelJob(job_id=job_id, reason="the run is being cancelled", control="cancelling")
        self._send(EngineMessage(cancel=cancel))

    # The executor of the held jobs

    def deliver(self, jobs: Sequence[Assignment]) -> None:
        if self._batches:
            self._send(EngineMessage(jobs=rules.batch_of(jobs)), jobs)
        else:
            for assignment in jobs:
                self._send(EngineMessage(job=rules.job_of(assignment)), [assignment])

    def has_capacity(self) -> bool:
        return self._outbox.qsize() <= OUTBOX_MAX

    def cancel(self, job_id: str, reason: str) -> None:
        self._send(EngineMessage(cancel=contract.CancelJob(job_id=job_id, reason=reason)))

    def released(self, job_id: str) -> None:
        self._live.forget(run_id_of(job_id))
        self._step_names.pop(job_id, None)
        self._absences.pop(job_id, None)
        if self._draining and not self._held.ids:
            self.end()

    async def admit(self) -> WorkerRow:
        call = replace(self._call, now=self._clock.now())
        return await self._jobs.admit(call, self._registered, "streaming")

    # Frames of the worker

    async def _receive(self, incoming: AsyncIterator[WorkerMessage]) -> None:
        loop = asyncio.get_running_loop()
        # One for the stream, moved on by each frame: one for each frame takes longer than to read it.
        silent = asyncio.timeout(SILENT_S)
        try:
            async with silent:
                async for frame in incoming:
                    silent.reschedule(None)
                    content = rules.content_of(frame)
                    # A newer worker may send frames that this server does not know.
                    if content is not None:
                        await self._handle(content)
                    silent.reschedule(loop.time() + SILENT_S)
                silent.reschedule(None)
                # The worker sends no more; its reports still reach the database.
                await asyncio.gather(self._held.sent(), *self._reporting)
                self.end()
        except TimeoutError:
            if not silent.expired():
                raise
            logger.info("worker stream silent", extra={"worker_id": self.worker.id})
            self.end()
        except IronflowError as refusal:
            self.end(refusal)

    async def _handle(self, content: rules.Content) -> None:
        match content:
            case contract.Register():
                raise contract.InvalidFrame("The worker is registered already; `register` is the first frame only.")
            case contract.Heartbeat():
                await self._heartbeat(content)
            case contract.JobNack():
                if content.reason == contract.NackReason.DRAINING and not self._leaves:
                    self._leaves = True
                    await self._held.drain()
                await self._held.refuse(content.job_id)
            case contract.JobReports():
                self._start_reports(content)
            case (
                contract.JobAck()
                | contract.StepStarted()
                | contract.StepCompleted()
                | contract.StepFailed()
                | contract.StepYielded()
                | contract.JobCompleted()
                | contract.JobFailed()
            ):
                self._gather(content)
            case _:
                assert_never(content)

    def _gather(self, content: rules.JobFrame) -> None:
        """Adds a frame about a job to the job's pending report."""
        names = self._step_names.setdefault(content.job_id, {})
        if isinstance(content, contract.StepStarted):
            names[content.step_id] = content.name
        pending = self._held.pending(content.job_id)
        self._held.enqueue(rules.with_frame(pending, names, content, self._clock.now()))

    def _start_reports(self, batch: contract.JobReports) -> None:
        """Stores a batch of reports while further frames are received. Raises InvalidFrame."""
        request = rules.reports_of(batch, self.worker.id)
        task = asyncio.create_task(self._report(batch.number, request))
        self._reporting.add(task)
        task.add_done_callback(self._reporting.discard)

    async def _report(self, number: int, request: Reports) -> None:
        verdicts = await self._held.report(request)
        self._send(EngineMessage(verdicts=rules.verdicts_of(number, verdicts)))

    async def _heartbeat(self, heartbeat: contract.Heartbeat) -> None:
        listed = {job.job_id for job in heartbeat.jobs}
        first, self._first = self._first, False
        sights = await self._held.renew(listed, first=first)
        if self._batches:
            await self._lose_undelivered(listed)
        if not self.worker.runtime.startswith(rules.READS_REFRESH):
            for job_id, sight in sights.items():
                if sight != "refreshed":
                    self.cancel(job_id, f"the lease is {sight}")
            begun = [job_id for job_id in self._held.ids if not self._held.is_sending(job_id)]
            self._absences |= rules.absences(self._absences, begun, listed)
            for job_id in rules.decide_missing(self._absences, begun):
                await self._held.lose(job_id)
            return
        segments = [
            contract.Segment(
                run_id=job.run_id or run_id_of(job.job_id),
                execution_seq=job.execution_seq,
                state=contract.LeaseState(sights.get(job.job_id, "unknown")),
            )
            for job in heartbeat.jobs
        ]
        if segments:
            self._send(EngineMessage(lease_refresh=contract.LeaseRefresh(segments=segments)))

    async def _lose_undelivered(self, listed: set[str]) -> None:
        """Gives up the jobs that the worker's earlier stream lost before the worker had read them."""
        lost, self._inherited = self._inherited - listed, set()
        for job_id in lost & self._held.ids:
            await self._held.lose(job_id)

    def _send(self, message: EngineMessage, jobs: Sequence[Assignment] = ()) -> None:
        self._outbox.put_nowait(_Outgoing(message, jobs))

    async def _stop(self, receiving: asyncio.Task[None]) -> None:
        """Applies the frames and reports that arrived. Jobs keep their leases, unless the worker drops them."""
        self._held.stop()
        await asyncio.wait((receiving,), timeout=LAST_FRAMES_S)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        undelivered: list[str] = []
        while not self._outbox.empty():
            if (outgoing := self._outbox.get_nowait()) is not None:
                undelivered += [assignment.job_id for assignment in outgoing.jobs]
        await self._held.close(undelivered, self._reporting)
        for job_id in list(self._held.ids):
            self._live.forget(run_id_of(job_id))
            if self.worker.runtime.startswith(rules.DROPS_JOBS):
                await self._held.lose(job_id)
        if self._leaves:
            await self._held.leave()
