"""The connection of a streaming worker: one bidirectional stream. Source: protocol/worker-stream.md.

A server with batches (ADR 0027) answers every report with a verdict, and sends jobs whose leases have begun.
With other servers the protocol's frames are used, which have no answer: after a stream has broken, the last frames of
jobs that ended are sent again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from ironflow.base.errors import (
    ConnectionLost,
    DeadlineExceeded,
    Internal,
    IronflowError,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    Unauthenticated,
    Unimplemented,
    UnsupportedMediaType,
    WorkerAuthError,
)
from ironflow.features.jobs.contract import Verdicts
from ironflow.features.streaming_workers import contract
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.durable.job.assignment import Assignment, read_jobs
from ironflow.sdk.durable.job.report import StepRow
from ironflow.sdk.user_code.logs import SdkLogger
from ironflow.sdk.values.payload import Raw
from ironflow.sdk.wire.backoff import Backoff, is_transient
from ironflow.sdk.wire.duplex import Duplex
from ironflow.sdk.wire.message_stream import HEADERS, MessageReader
from ironflow.sdk.wire.operations import RPC_PREFIX, error_in
from ironflow.sdk.wire.transport import Refused
from ironflow.sdk.worker import stream_frames as frames
from ironflow.sdk.worker.job_runner import JobRunner
from ironflow.sdk.worker.protocol import (
    LOST_ANSWERS,
    MANY_WAITS,
    WORKER_CONTROL,
    ReportAnswer,
    WorkerProtocol,
    answers_of,
)
from ironflow.sdk.worker.registering import Registering
from ironflow.sdk.worker.reporter import APPLIED, BatchReporter, Report, ReportResult, ReportStatus
from ironflow.sdk.worker.tasks import run_until_first_failure
from ironflow.sdk.worker.timing import WorkerTiming

logger = SdkLogger("ironflow.worker")

PATH = f"{RPC_PREFIX}{contract.connect.rpc[0]}"
# The unanswered end of a job is sent again on a stream that opens within this time.
RESENT_WITHIN_S = 30.0
# How long the worker waits for the server to end a stream that the worker has closed.
CLOSE_WAIT_S = 2.0
# The code of the error with which a server ends a stream that has a larger frame than it accepts.
_FRAME_TOO_LARGE = "MESSAGE_TOO_LARGE"
# For the report of an execution that took too long, after its threads were waited for.
END_MS = 5_000

Connect = Callable[[str, str, Mapping[str, str], float], Awaitable[Duplex]]

_read_verdicts = msgspec.json.Decoder(Verdicts).decode


class StreamingConnection:
    """A Connection that uses one stream at a time; also the ReportChannel that sends reports.

    connect: how a stream is opened. headers: of every request. registration: the worker's own fields.
    on_ready: called when the server knows the worker.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        protocol: WorkerProtocol,
        jobs: JobRunner,
        timing: WorkerTiming,
        functions: Sequence[FunctionDefinition],
        registration: Mapping[str, Any],
        plain: bool,
        on_ready: Callable[[], None],
    ) -> None:
        self._url, self._headers = url, {**headers, **HEADERS}
        self._protocol = protocol
        self.connect: Connect = Duplex.open
        self._jobs = jobs
        self._timing = timing
        self._registering = Registering(functions)
        self._plain = plain
        self._register = {"workerId": protocol.worker_id, **registration, "batches": not plain}
        # Of the last stream.
        self._channel = 0
        self._on_ready = on_ready
        self._worker_id = protocol.worker_id
        self._batches = BatchReporter(self)
        self._framed = FrameReporter(self)
        self._stream: Duplex | None = None
        self._opened = asyncio.Event()
        self._batched = self._controlled = False
        self._heartbeat_s = timing.heartbeat
        self._number = 0
        self._pending_reports: dict[int, asyncio.Future[dict[str, ReportAnswer]]] = {}
        self._draining = False
        self._closing = False
        self._ended = asyncio.Event()

    # Streams, one after another.

    async def run(self) -> None:
        backoff = Backoff(self._timing.pauses(), self._warn)
        while not self._closing:
            try:
                await self._run_stream(backoff)
                if not self._closing:
                    await asyncio.sleep(self._timing.reconnect)
            except WorkerAuthError:
                raise
            except IronflowError as fault:
                if not is_transient(fault):
                    raise
                await asyncio.sleep(backoff.pause_s(fault))
        self._ended.set()

    def _warn(self, fault: IronflowError) -> None:
        logger.warning("stream broke", extra={"worker_id": self._worker_id, "fault": fault.message})

    async def _run_stream(self, backoff: Backoff) -> None:
        """One stream, from the registration of the functions to its end.

        Returns when the server has ended it in good order. Raises WorkerAuthError, ConnectionLost, DeadlineExceeded, or
        the server's error.
        """
        features = frozenset[str]() if self._plain else await self._protocol.features()
        self._batches.many_waits = MANY_WAITS in features
        self._batches.features = features
        self._controlled = WORKER_CONTROL in features
        functions = await self._registering.run(self._protocol, features)
        self._register["function_ids"] = functions
        try:
            stream = await self.connect(self._url, PATH, self._headers, self._timing.request)
        except Refused as refused:
            raise _as_worker_error(error_in(refused.answer)) from None
        ended: IronflowError = ConnectionLost(f"The stream to {self._url} ended.")
        try:
            grace = {"graceMs": round(self._timing.late_threads * 1000) + END_MS} if self._controlled else {}
            if LOST_ANSWERS in features:
                self._channel += 1
                grace |= {"incarnation": self._protocol.incarnation, "number": self._channel}
            stream.write(frames.envelope({"register": self._register | grace}))
            heartbeats = asyncio.create_task(self._send_heartbeats(stream))
            await run_until_first_failure(
                asyncio.create_task(self._read_frames(stream, backoff, heartbeats)), heartbeats
            )
        except IronflowError as fault:
            if fault.code != _FRAME_TOO_LARGE or not self._pending_reports:
                raise
            # The reports on their way are refused, as a poll's server refuses a request; the worker goes on.
            ended = PayloadTooLarge(fault.message)
            raise ConnectionLost(f"{self._url} ended the stream: {fault.message}") from None
        finally:
            self._stream = None
            self._opened.clear()
            for pending in self._pending_reports.values():
                if not pending.done():
                    pending.set_exception(ended)
            await stream.abort()

    async def _read_frames(self, stream: Duplex, backoff: Backoff, heartbeats: "asyncio.Task[None]") -> None:
        messages = MessageReader(contract.connect, frames.read_server_frame)
        try:
            async for part in stream.chunks():
                for frame in messages.feed(part):
                    if frame.registered is not None:
                        self._on_registered(stream, frame.registered)
                        backoff.succeeded()
                    else:
                        self._handle(frame)
        except (Unauthenticated, PermissionDenied) as refusal:
            raise _as_worker_error(refusal) from None
        messages.check_ended()
        logger.info("stream ended", extra={"worker_id": self._worker_id})
        heartbeats.cancel()

    def _on_registered(self, stream: Duplex, registered: frames.Registered) -> None:
        """The server has registered the worker: sends the reports and job list that it may lack."""
        self._batched = registered.batches
        self._heartbeat_s = min(
            self._timing.heartbeat, registered.heartbeat_interval_ms / 1000 or self._timing.heartbeat
        )
        if self._batched:
            self._jobs.reporter, self._jobs.ack = self._batches, None
        else:
            self._jobs.reporter, self._jobs.ack = self._framed, self._ack
            self._framed.resend(stream)
            for held in self._jobs.held():
                held.reset_checkpoints()
        self._stream = stream
        # The jobs held since an earlier stream: the server takes all others back without waiting for their leases.
        self._write(frames.heartbeat(self._worker_id, self._jobs.leased()))
        self._opened.set()
        self._on_ready()
        logger.info("worker registered", extra={"worker_id": self._worker_id, "batches": self._batched})

    async def stop_taking_jobs(self) -> None:
        self._draining = True

    async def leave(self) -> None:
        if self._controlled:
            await self._protocol.leave()

    async def close(self) -> None:
        self._closing = True
        await self._jobs.reporter.close()
        if self._stream is not None:
            self._stream.end()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WAIT_S):
                    await self._ended.wait()

    # Frames from the server.

    def _handle(self, frame: frames.ServerFrame) -> None:
        if frame.jobs is not None:
            self._take(*read_jobs(bytes(frame.jobs.body)))
        elif frame.verdicts is not None:
            answer = self._pending_reports.get(frame.verdicts.number)
            if answer is not None and not answer.done():
                answer.set_result(answers_of(_read_verdicts(frame.verdicts.body)))
        elif bytes(frame.job):
            try:
                self._take([frames.read_job(frame.job)], [])
            except Internal as fault:
                self._take([], [fault.message])
        elif frame.cancel is not None:
            self._jobs.drop(frame.cancel.job_id, frame.cancel.control or "lost")
        elif frame.lease_refresh is not None:
            lost = {(each.run_id, each.execution_seq) for each in frame.lease_refresh.segments if each.lost}
            for held in self._jobs.held():
                if (held.job.run_id, held.job.execution_seq) in lost:
                    self._jobs.drop(held.job.job_id)
        elif frame.shutdown is not None:
            # The worker keeps its jobs running and connects again.
            logger.info("server stops", extra={"worker_id": self._worker_id, "reason": frame.shutdown.reason})

    def _take(self, jobs: Sequence[Assignment], faults: Sequence[str]) -> None:
        """faults: of jobs that cannot be read."""
        for job in jobs:
            self._take_or_refuse(job)
        for fault in faults:
            logger.error("job cannot be read", extra={"worker_id": self._worker_id, "fault": fault})

    def _take_or_refuse(self, job: Assignment) -> None:
        if self._jobs.has(job.job_id):
            return
        # With batches the server counts slots; without, a slot is free here before the server knows.
        full = not self._batched and self._jobs.active >= self._jobs.slots
        if self._draining or full:
            reason = "JOB_NACK_REASON_DRAINING" if self._draining else "JOB_NACK_REASON_AT_CAPACITY"
            self._write({"jobNack": frames.fence_with_run(job) | {"reason": reason}})
        else:
            self._jobs.take(job)

    # Frames to the server.

    def _write(self, *to_send: frames.Frame) -> None:
        """Writes frames that may be lost: without a stream they are dropped."""
        if self._stream is not None:
            self._stream.write(b"".join(map(frames.envelope, to_send)))

    async def send_frames(self, to_send: Sequence[frames.Frame]) -> None:
        """Sends frames on this stream or the next. Raises ConnectionLost when there is none for too long."""
        await self._open_stream()
        self._write(*to_send)

    async def _open_stream(self) -> None:
        while self._stream is None:
            try:
                async with asyncio.timeout(self._timing.request):
                    await self._opened.wait()
            except TimeoutError:
                raise ConnectionLost(f"There is no stream to {self._url}.") from None

    async def _ack(self, job: Assignment) -> None:
        await self.send_frames([{"jobAck": frames.fence_with_run(job)}])

    async def _send_heartbeats(self, stream: Duplex) -> None:
        """Keeps the leases alive, also while the worker drains, and detects a server that disappeared silently."""
        loop = asyncio.get_running_loop()
        while True:
            asked_at = loop.time()
            stream.ping()
            await asyncio.sleep(self._heartbeat_s)
            if stream.last_received_at < asked_at:
                raise ConnectionLost(f"{self._url} sent nothing for {self._heartbeat_s:.3g} s.")
            self._write(frames.heartbeat(self._worker_id, self._jobs.leased()))

    async def report(self, updates: Sequence[Raw]) -> dict[str, ReportAnswer]:
        """Reports of different jobs; returns when the server has them or refuses them: the answers by job id.

        Raises ConnectionLost, DeadlineExceeded, PayloadTooLarge.
        """
        await self._open_stream()
        self._number += 1
        number = self._number
        answer = self._pending_reports[number] = asyncio.get_running_loop().create_future()
        try:
            self._write({"reports": {"number": number, "body": {"reports": updates}}})
            async with asyncio.timeout(self._timing.request):
                return await answer
        except TimeoutError:
            raise DeadlineExceeded(f"{self._url} did not answer within {self._timing.request:.3g} s.") from None
        finally:
            del self._pending_reports[number]

    async def update(self, job_id: str, update: Raw) -> None:
        """One report. Raises as report, or why it was not applied."""
        answer = (await self.report([update])).get(job_id)
        if answer is not None and answer.fault is not None:
            raise answer.fault


class FrameReporter:
    """Sends each report as frames that the server does not answer: what is written counts as recorded."""

    answers, announces = False, True

    many_waits = False
    features: frozenset[str] = frozenset()

    def __init__(self, connection: StreamingConnection) -> None:
        self._connection = connection
        self._compensations: dict[str, list[StepRow]] = {}
        self._final_frames: deque[tuple[float, list[frames.Frame]]] = deque()
        self._sending: set[asyncio.Task[None]] = set()

    def submit(self, report: Report) -> None:
        task = asyncio.create_task(self._send(report))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, report: Report) -> None:
        job, update = report.job, report.build()
        compensations = self._compensations.setdefault(job.job_id, [])
        compensations += [row for row in update.steps if row.type == "compensate"]
        update.steps = [row for row in update.steps if row.type != "compensate"]
        to_send = frames.frames_of(job, update, compensations, datetime.now(UTC))
        try:
            await self._connection.send_frames(to_send)
        except ConnectionLost as fault:
            report.settle(ReportResult(ReportStatus.UNKNOWN, fault))
            return
        finally:
            if report.final:
                del self._compensations[job.job_id]
        if report.final:
            self._final_frames.append((asyncio.get_running_loop().time(), to_send))
            self._drop_old()
        report.settle(APPLIED)

    def resend(self, stream: Duplex) -> None:
        """Sends the last frames of recently ended jobs again. Their fences make duplicates harmless."""
        self._drop_old()
        for _, to_send in self._final_frames:
            stream.write(b"".join(map(frames.envelope, to_send)))

    def _drop_old(self) -> None:
        oldest = asyncio.get_running_loop().time() - RESENT_WITHIN_S
        while self._final_frames and self._final_frames[0][0] < oldest:
            self._final_frames.popleft()

    async def close(self) -> None:
        for task in self._sending:
            task.cancel()


def _as_worker_error(refusal: IronflowError) -> IronflowError:
    if isinstance(refusal, Unauthenticated | PermissionDenied):
        return WorkerAuthError(f"The server refused this worker's API key: {refusal.message}")
    if isinstance(refusal, NotFound | MethodNotAllowed | UnsupportedMediaType | Unimplemented):
        return Unimplemented(f"The server has no streaming workers: {refusal.message} Use a Worker, which polls.")
    return refusal
