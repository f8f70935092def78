"""One worker's stream: jobs go out as there is room, words come in and reach the database together.

Words of one job are kept in order: while one update is on its way to the disk, what follows is gathered into the next.
A short job's steps and end, which arrive at once, are one update.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError, Unavailable
from ironflow.base.time import Clock
from ironflow.engine.errors import StaleExecution
from ironflow.features.jobs.contract import AckJob, Assignment, RegisterWorker, ReportedError, Reports, WorkerNotFound
from ironflow.features.jobs.rules import WorkerRow, run_id_of
from ironflow.features.jobs.service import Jobs
from ironflow.features.runs.live import LiveStep, LiveSteps
from ironflow.features.streaming_workers import contract, rules
from ironflow.features.streaming_workers.contract import EngineMessage, WorkerMessage
from ironflow.features.streaming_workers.rules import Held, Pending

logger = logging.getLogger(__name__)

HEARTBEAT_MS = 30_000
# A stream on which nothing has come for this long is given up. Source: protocol/worker-stream.md 6.
SILENT_S = 3 * HEARTBEAT_MS / 1000
# How long one look for jobs waits.
ASK_S = 25.0
# A database that cannot answer is asked again after this.
AGAIN_S = 0.5
# A worker that had no place for a job is sent the next one after this.
FULL_S = 0.5
# What a worker said before its stream ended is given this long to reach the database.
LAST_WORDS_S = 5.0
# Frames on their way to a worker that does not read them, after which no more jobs are taken for it.
OUTBOX_MAX = 1000

T = TypeVar("T")
_STEP = contract.StepStarted | contract.StepCompleted | contract.StepFailed


class _Outgoing(NamedTuple):
    """A frame on its way to the worker, with the jobs that it carries."""

    message: EngineMessage
    jobs: Sequence[Assignment]


class Session:
    """A stream of a registered worker. Its frames are `answers()`; what it says is taken from `incoming`.

    batches: the worker has asked for them.
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
    ) -> None:
        self._jobs, self._live, self._clock = jobs, live, clock
        self._call, self._registered, self.worker = call, registered, worker
        self._batches = batches
        self._outbox: asyncio.Queue[_Outgoing | None] = asyncio.Queue()
        self.held: dict[str, Held] = {}
        # Jobs that were given out on an earlier stream of the worker and not heard of since.
        self._inherited: set[str] = set()
        self._pending: dict[str, Pending] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._reporting: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: BaseException | None = None
        self._draining = False
        self._supplying: asyncio.Task[None] | None = None
        self._full = False
        # Set when a job has ended, or the worker has read something.
        self._room = asyncio.Event()

    async def answers(self, incoming: AsyncIterator[WorkerMessage]) -> AsyncGenerator[EngineMessage, None]:
        """What the worker is sent, until the stream ends. Raises what went wrong with its frames."""
        registered = contract.Registered(
            worker_id=self.worker.id, heartbeat_interval_ms=HEARTBEAT_MS, batches=self._batches
        )
        self._say(EngineMessage(registered=registered))
        self._supplying = asyncio.create_task(self._supply())
        self._tasks = [asyncio.create_task(self._listen(incoming)), self._supplying]
        try:
            while (outgoing := await self._outbox.get()) is not None:
                yield outgoing.message
                self._room.set()
            if self._failed is not None:
                raise self._failed
        finally:
            await self._stop()

    def inherit(self, held: dict[str, Held]) -> None:
        """The jobs of the worker's earlier stream are this one's."""
        self.held.update(held)
        self._inherited = set(held)

    def end(self, failed: BaseException | None = None) -> None:
        """Ends the stream after what is already on its way. The worker's leases stay."""
        self._failed = self._failed or failed
        self._outbox.put_nowait(None)

    def shut_down(self, reason: str, drain_ms: int) -> None:
        """Asks the worker to finish what it has and to leave; the stream ends when it has, or after `drain_ms`."""
        if not self._draining:
            self._draining = True
            self._say(EngineMessage(shutdown=contract.Shutdown(reason=reason, drain_timeout_ms=drain_ms)))
            if not self.held:
                self.end()
            else:
                asyncio.get_running_loop().call_later(drain_ms / 1000, self.end)

    async def _listen(self, incoming: AsyncIterator[WorkerMessage]) -> None:
        try:
            while True:
                try:
                    async with asyncio.timeout(SILENT_S):
                        frame = await anext(incoming)
                except StopAsyncIteration:
                    # It has said all; what it said still reaches the database.
                    await asyncio.gather(*self._sending.values(), *self._reporting)
                    return self.end()
                except TimeoutError:
                    logger.info("worker stream silent", extra={"worker": self.worker.id})
                    return self.end()
                word = rules.said(frame)
                # A newer worker may say what this server does not know.
                if word is not None:
                    await self._hear(word)
        except IronflowError as refusal:
            self.end(refusal)

    async def _hear(self, word: Any) -> None:
        match word:
            case contract.Register():
                raise contract.InvalidFrame("The worker is registered already; `register` is the first frame only.")
            case contract.Heartbeat():
                await self._heartbeat(word)
            case contract.JobNack():
                # It will not take the next ones either: never again, or not before it has done some.
                self._full = True
                if word.reason == contract.NackReason.DRAINING and self._supplying is not None:
                    self._supplying.cancel()
                self._forget(word.job_id)
                await self._persistently(lambda: self._jobs.give_back(self._now(), word.job_id))
            case contract.JobReports():
                self._take_reports(word)
            case _:
                self._word(word)

    def _word(self, word: Any) -> None:
        """Gathers a word about a job; it goes to the database in this turn of the loop's end, or after the last one."""
        held = self.held.get(word.job_id)
        if held is None:
            # Of an earlier stream of the same worker.
            held = self.held[word.job_id] = Held(word.job_id, run_id_of(word.job_id))
        now = self._clock.now()
        if isinstance(word, _STEP):
            self._show(held, word, now)
        self._pending[word.job_id] = rules.with_word(self._pending.get(word.job_id), held, word, now)
        if word.job_id not in self._sending:
            self._sending[word.job_id] = asyncio.create_task(self._send(word.job_id))

    def _take_reports(self, word: contract.JobReports) -> None:
        """Brings a batch to the database beside what else is heard. Raises InvalidFrame."""
        request = rules.reports_of(word, self.worker.id)
        task = asyncio.create_task(self._report(word.number, request))
        self._reporting.add(task)
        task.add_done_callback(self._reporting.discard)

    async def _report(self, number: int, request: Reports) -> None:
        verdicts = await self._jobs.report(self._now(), request)
        for report, verdict in zip(request.reports, verdicts.results, strict=True):
            for step in report.steps:
                self._live.ended(run_id_of(report.job), step.id)
            if rules.is_over(report, verdict):
                self._forget(report.job)
        self._say(EngineMessage(verdicts=rules.verdicts_of(number, verdicts)))

    def _show(self, held: Held, word: _STEP, now: int) -> None:
        """Lets people see which steps run."""
        if isinstance(word, contract.StepStarted):
            held.names[word.step_id] = word.name
            self._live.began(held.run_id, LiveStep(word.step_id, word.name, now))
        else:
            self._live.ended(held.run_id, word.step_id)

    async def _send(self, job_id: str) -> None:
        """Brings what is pending of a job to the database, until nothing is."""
        try:
            # The frames that came with this one are heard first.
            await asyncio.sleep(0)
            while (pending := self._pending.pop(job_id, None)) is not None:
                await self._persistently(lambda pending=pending: self._update(pending))
        finally:
            self._sending.pop(job_id, None)

    async def _update(self, pending: Pending) -> None:
        job_id = pending.fence.job_id
        try:
            if pending.ended or pending.steps:
                await self._jobs.update(self._now(), rules.update_of(pending, self.worker.id))
            else:
                ack = AckJob(
                    worker=self.worker.id,
                    job=job_id,
                    execution_seq=pending.fence.execution_seq,
                    lease_token=pending.fence.token,
                )
                await self._jobs.ack(self._now(), ack)
        except StaleExecution as stale:
            self._forget(job_id)
            if not pending.ended:
                self._say(EngineMessage(cancel=contract.CancelJob(job_id=job_id, reason=stale.message)))
            return
        except Unavailable:
            raise
        except IronflowError as refusal:
            # What it said cannot be kept, such as an output that is too large: the run says so.
            await self._fail(pending, refusal)
        if pending.ended:
            self._forget(job_id)

    async def _fail(self, pending: Pending, refusal: IronflowError) -> None:
        error = ReportedError(message=refusal.message, code=refusal.code, retryable=False)
        failed = Pending(pending.fence, ended="failed", error=error)
        logger.warning("worker said what cannot be kept", extra={"job_id": pending.fence.job_id, "error": refusal.code})
        await self._jobs.update(self._now(), rules.update_of(failed, self.worker.id))
        self._forget(pending.fence.job_id)
        if not pending.ended:
            cancel = contract.CancelJob(job_id=pending.fence.job_id, reason=refusal.message)
            self._say(EngineMessage(cancel=cancel))

    async def _heartbeat(self, heartbeat: contract.Heartbeat) -> None:
        call = self._now()
        listed = {job.job_id for job in heartbeat.jobs}
        sights = await self._persistently(lambda: self._jobs.renew(call, self.worker.id, sorted(listed)))
        if self._batches:
            await self._miss(listed)
        if self.worker.runtime.startswith(rules.KNOWS_NO_REFRESH):
            for job_id, sight in sights.items():
                if sight != "refreshed":
                    self._say(EngineMessage(cancel=contract.CancelJob(job_id=job_id, reason=f"the lease is {sight}")))
            begun = [job for job in self.held.values() if job.job_id not in self._sending]
            for job in rules.decide_missing(begun, listed):
                self._forget(job.job_id)
                await self._persistently(lambda job=job: self._jobs.lost(call, job.job_id))
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
            self._say(EngineMessage(lease_refresh=contract.LeaseRefresh(segments=segments)))

    async def _miss(self, listed: set[str]) -> None:
        """Gives up the jobs that broke off with the worker's earlier stream before it had read them."""
        lost, self._inherited = self._inherited - listed, set()
        for job_id in lost & self.held.keys():
            self._forget(job_id)
            await self._persistently(lambda job_id=job_id: self._jobs.lost(self._now(), job_id))

    async def _supply(self) -> None:
        """Takes jobs for the worker for as long as it may have more."""
        while not self._draining:
            self._room.clear()
            if len(self.held) >= self.worker.jobs_max or self._outbox.qsize() > OUTBOX_MAX:
                await self._room.wait()
                continue
            if self._full:
                self._full = False
                await asyncio.sleep(FULL_S)
            found = await self._persistently(self._ask)
            for assignment in found:
                self.held[assignment.job_id] = Held(assignment.job_id, assignment.run_id)
            if self._batches and found:
                self._say(EngineMessage(jobs=rules.batch_of(found)), found)
            elif found:
                for assignment in found:
                    self._say(EngineMessage(job=rules.job_of(assignment)), [assignment])
            else:
                # A desk that is about to close answers at once.
                await asyncio.sleep(0.01)

    async def _ask(self) -> list[Assignment]:
        """Jobs up to the worker's limit: what it holds counts, as the database knows."""
        return await self._jobs.desk.ask(self.worker, self.worker.jobs_max, self._batches, ASK_S, self._call.is_there)

    async def _persistently(self, work: Callable[[], Awaitable[T]]) -> T:
        """The answer of `work()`, asked again while the database cannot answer."""
        while True:
            try:
                return await work()
            except WorkerNotFound:
                self.worker = await self._jobs.admit(self._now(), self._registered, "streaming")
            except Unavailable as fault:
                logger.warning("worker stream waits", extra={"worker": self.worker.id, "error": fault.message})
                await asyncio.sleep(AGAIN_S)

    def _say(self, message: EngineMessage, jobs: Sequence[Assignment] = ()) -> None:
        self._outbox.put_nowait(_Outgoing(message, jobs))

    def _forget(self, job_id: str) -> None:
        held = self.held.pop(job_id, None)
        if held is not None:
            self._live.forget(held.run_id)
            self._room.set()
        if self._draining and not self.held:
            self.end()

    def _now(self) -> Call:
        return replace(self._call, now=self._clock.now())

    async def _stop(self) -> None:
        """What the worker said still reaches the database; what it holds keeps its leases."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._outbox.empty():
            # Jobs that never left.
            outgoing = self._outbox.get_nowait()
            for assignment in outgoing.jobs if outgoing is not None else ():
                self.held.pop(assignment.job_id, None)
                await self._jobs.give_back(self._now(), assignment.job_id)
        if self._sending or self._reporting:
            _, late = await asyncio.wait([*self._sending.values(), *self._reporting], timeout=LAST_WORDS_S)
            for task in late:
                task.cancel()
        for held in self.held.values():
            self._live.forget(held.run_id)
