"""Talking to a server on one stream in both directions. Source: protocol/worker-stream.md.

A server that has batches (ADR 0027) says of every report what became of it, and sends jobs whose leases have begun.
With others the protocol's frames are used, which nobody answers: what such a server may not know is said again after a
stream has broken.
"""

import asyncio
import logging
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
    PermissionDenied,
    Unauthenticated,
    Unimplemented,
    UnsupportedMediaType,
    WorkerAuthError,
)
from ironflow.features.jobs.contract import Verdicts
from ironflow.features.streaming_workers import contract
from ironflow.sdk import stream_frames as frames
from ironflow.sdk.assignment import Assignment, read_jobs
from ironflow.sdk.duplex import Duplex
from ironflow.sdk.function import FunctionDefinition
from ironflow.sdk.job_runner import JobRunner
from ironflow.sdk.pace import Backoff, Pace, is_transient
from ironflow.sdk.payload import Raw
from ironflow.sdk.report import JobUpdate, StepRow
from ironflow.sdk.reporter import APPLIED, BatchReporter, Fate, Verdict
from ironflow.sdk.streamed import HEADERS, Messages
from ironflow.sdk.tasks import until_one_fails
from ironflow.sdk.transport import Refused
from ironflow.sdk.wire import RPC_PREFIX, error_in
from ironflow.sdk.worker_protocol import WorkerProtocol, faults_of

logger = logging.getLogger("ironflow.worker")

PATH = f"{RPC_PREFIX}{contract.connect.rpc[0]}"
# A step is shown to people when it runs for at least this long.
SHOWN_AFTER_S = 0.05
# The end of a job that nobody answers for is said again on a stream opened within this time.
REPEATED_S = 30.0
# How long the server is given to end a stream that the worker has ended.
GOODBYE_S = 2.0

Connect = Callable[[str, str, Mapping[str, str], float], Awaitable[Duplex]]

_read_verdicts = msgspec.json.Decoder(Verdicts).decode


class Streaming:
    """A Conversation on one stream at a time; also the Line that brings reports to the server.

    connect: how a stream is opened. headers: of the caller. card: what the worker says of itself.
    on_ready: called when the server knows the worker.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        protocol: WorkerProtocol,
        jobs: JobRunner,
        pace: Pace,
        functions: Sequence[FunctionDefinition],
        card: Mapping[str, Any],
        plain: bool,
        on_ready: Callable[[], None],
    ) -> None:
        self._url, self._headers = url, {**headers, **HEADERS}
        self._protocol = protocol
        self.connect: Connect = Duplex.open
        self._jobs = jobs
        self._pace = pace
        self._functions = functions
        self._register = {"workerId": protocol.worker_id, **card, "batches": not plain}
        self._on_ready = on_ready
        self._worker_id = protocol.worker_id
        self._batches = BatchReporter(self, pace)
        self._framed = FrameReporter(self)
        jobs.on_taken = self._show_soon
        self._stream: Duplex | None = None
        self._opened = asyncio.Event()
        self._batched = False
        self._beat_s = pace.heartbeat
        self._number = 0
        self._asked: dict[int, asyncio.Future[dict[str, IronflowError | None]]] = {}
        self._shown: dict[tuple[str, str], bool] = {}
        self._showing: asyncio.TimerHandle | None = None
        self._draining = False
        self._leaving = False
        self._ended = asyncio.Event()

    # Streams, one after another.

    async def run(self) -> None:
        backoff = Backoff(self._pace)
        while not self._leaving:
            try:
                await self._converse(backoff)
                if not self._leaving:
                    await asyncio.sleep(self._pace.reconnect)
            except WorkerAuthError:
                raise
            except IronflowError as fault:
                if not is_transient(fault):
                    raise
                first = not backoff.failing
                pause_s = backoff.next_pause(fault)
                if first:
                    logger.warning("stream broke", extra={"worker_id": self._worker_id, "fault": fault.message})
                await asyncio.sleep(pause_s)
        self._ended.set()

    async def _converse(self, backoff: Backoff) -> None:
        """One stream, from the registration of the functions to its end.

        Returns when the server has ended it in good order. Raises WorkerAuthError, ConnectionLost, DeadlineExceeded, or
        what the server says.
        """
        for function in self._functions:
            await self._protocol.register_function(function)
        try:
            stream = await self.connect(self._url, PATH, self._headers, self._pace.request)
        except Refused as refused:
            raise _known(error_in(refused.answer)) from None
        try:
            stream.write(frames.envelope({"register": self._register}))
            beating = asyncio.create_task(self._beat(stream))
            await until_one_fails(asyncio.create_task(self._listen(stream, backoff, beating)), beating)
        finally:
            self._stream = None
            self._opened.clear()
            for asked in self._asked.values():
                if not asked.done():
                    asked.set_exception(ConnectionLost(f"The stream to {self._url} ended."))
            await stream.abort()

    async def _listen(self, stream: Duplex, backoff: Backoff, beating: "asyncio.Task[None]") -> None:
        messages = Messages(contract.connect, frames.read_heard)
        try:
            async for part in stream.parts():
                for heard in messages.feed(part):
                    if heard.registered is not None:
                        self._begin(stream, heard.registered)
                        backoff.succeeded()
                    else:
                        self._hear(heard)
        except (Unauthenticated, PermissionDenied) as refusal:
            raise _known(refusal) from None
        messages.check_ended()
        logger.info("stream ended", extra={"worker_id": self._worker_id})
        beating.cancel()

    def _begin(self, stream: Duplex, registered: frames.Registered) -> None:
        """The server knows the worker: what it does not know of its jobs is said now."""
        self._batched = registered.batches
        self._beat_s = min(self._pace.heartbeat, registered.heartbeat_interval_ms / 1000 or self._pace.heartbeat)
        if self._batched:
            self._jobs.reporter, self._jobs.ack = self._batches, None
        else:
            self._jobs.reporter, self._jobs.ack = self._framed, self._ack
            self._framed.repeat(stream)
            for held in self._jobs.held():
                held.forget_checkpoints()
        self._stream = stream
        self._shown.clear()
        # What it has of an earlier stream, so that the server need not wait for the leases of what it has not.
        self._say(frames.heartbeat(self._worker_id, self._jobs.leased()))
        self._opened.set()
        self._on_ready()
        logger.info("worker registered", extra={"worker_id": self._worker_id, "batches": self._batched})

    async def no_more(self) -> None:
        self._draining = True

    async def close(self) -> None:
        self._leaving = True
        await self._jobs.reporter.close()
        if self._showing is not None:
            self._showing.cancel()
        if self._stream is not None:
            self._stream.end()
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._ended.wait()

    # What the server says.

    def _hear(self, heard: frames.Heard) -> None:
        if heard.jobs is not None:
            self._take(*read_jobs(bytes(heard.jobs.body)))
        elif heard.verdicts is not None:
            asked = self._asked.get(heard.verdicts.number)
            if asked is not None and not asked.done():
                asked.set_result(faults_of(_read_verdicts(heard.verdicts.body)))
        elif bytes(heard.job):
            try:
                self._take([frames.job_in(heard.job)], [])
            except Internal as fault:
                self._take([], [fault.message])
        elif heard.cancel is not None:
            self._jobs.drop(heard.cancel.job_id)
        elif heard.lease_refresh is not None:
            lost = {(each.run_id, each.execution_seq) for each in heard.lease_refresh.segments if each.lost}
            for held in self._jobs.held():
                if (held.job.run_id, held.job.execution_seq) in lost:
                    self._jobs.drop(held.job.job_id)
        elif heard.shutdown is not None:
            # The server goes, the worker stays: its jobs go on, and it joins again wherever the address leads to.
            logger.info("server stops", extra={"worker_id": self._worker_id, "reason": heard.shutdown.reason})

    def _take(self, jobs: Sequence[Assignment], faults: Sequence[str]) -> None:
        """faults: of jobs that cannot be read."""
        for job in jobs:
            self._take_or_refuse(job)
        for fault in faults:
            logger.error("job cannot be read", extra={"worker_id": self._worker_id, "fault": fault})

    def _take_or_refuse(self, job: Assignment) -> None:
        if self._jobs.has(job.job_id):
            return
        # With batches the server counts; without, a slot is free here before the server knows.
        full = not self._batched and self._jobs.active >= self._jobs.slots
        if self._draining or full:
            reason = "JOB_NACK_REASON_DRAINING" if self._draining else "JOB_NACK_REASON_AT_CAPACITY"
            self._say({"jobNack": frames.fence_with_run(job) | {"reason": reason}})
        else:
            self._jobs.take(job)

    # What the worker says.

    def _say(self, *said: frames.Frame) -> None:
        """Nothing when there is no stream: only what may be lost is said so."""
        if self._stream is not None:
            self._stream.write(b"".join(map(frames.envelope, said)))

    async def speak(self, said: Sequence[frames.Frame]) -> None:
        """Says it on this stream or the next. Raises ConnectionLost when there is none for too long."""
        await self._open_stream()
        self._say(*said)

    async def _open_stream(self) -> None:
        while self._stream is None:
            try:
                async with asyncio.timeout(self._pace.request):
                    await self._opened.wait()
            except TimeoutError:
                raise ConnectionLost(f"There is no stream to {self._url}.") from None

    async def _ack(self, job: Assignment) -> None:
        await self.speak([{"jobAck": frames.fence_with_run(job)}])

    async def _beat(self, stream: Duplex) -> None:
        """Keeps the leases alive, also while the worker drains, and notices a server that is gone without a word."""
        loop = asyncio.get_running_loop()
        while True:
            asked_at = loop.time()
            stream.ping()
            await asyncio.sleep(self._beat_s)
            if stream.heard_at < asked_at:
                raise ConnectionLost(f"{self._url} has said nothing for {self._beat_s:.3g} s.")
            self._say(frames.heartbeat(self._worker_id, self._jobs.leased()))

    async def report(self, updates: Sequence[Raw]) -> dict[str, IronflowError | None]:
        """Reports of different jobs; returns when the server has them or refuses them, by job id.

        Raises ConnectionLost, DeadlineExceeded.
        """
        await self._open_stream()
        self._number += 1
        number = self._number
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._say({"reports": {"number": number, "body": {"reports": updates}}})
            async with asyncio.timeout(self._pace.request):
                return await asked
        except TimeoutError:
            raise DeadlineExceeded(f"{self._url} did not answer within {self._pace.request:.3g} s.") from None
        finally:
            del self._asked[number]

    async def update(self, job_id: str, update: Raw) -> None:
        """One report. Raises as report, or why it was not applied."""
        fault = (await self.report([update])).get(job_id)
        if fault is not None:
            raise fault

    # Steps that people can see while they run.

    def _show_soon(self) -> None:
        if self._showing is None:
            self._showing = asyncio.get_running_loop().call_later(SHOWN_AFTER_S, self._show)

    def _show(self) -> None:
        """Tells of the steps that were running when this was called last, too."""
        self._showing = None
        before, self._shown = self._shown, {}
        for held in self._jobs.held():
            for row in held.running():
                place = (held.job.job_id, row.id)
                told = before.get(place)
                if told is False and self._stream is not None:
                    self._say(frames.step_started(held.job, row))
                self._shown[place] = told is not None and self._stream is not None
        if self._jobs.active and not self._leaving:
            self._show_soon()


class FrameReporter:
    """Each report as frames that the server does not answer."""

    def __init__(self, line: Streaming) -> None:
        self._line = line
        self._undone: dict[str, list[StepRow]] = {}
        self._said: deque[tuple[float, list[frames.Frame]]] = deque()

    async def send(self, job: Assignment, update: JobUpdate, *, final: bool) -> Verdict:
        undone = self._undone.setdefault(job.job_id, [])
        undone += [row for row in update.steps if row.type == "compensate"]
        update.steps = [row for row in update.steps if row.type != "compensate"]
        said = frames.frames_of(job, update, undone, datetime.now(UTC))
        try:
            await self._line.speak(said)
        except ConnectionLost as fault:
            return Verdict(Fate.LOST, fault)
        finally:
            if final:
                del self._undone[job.job_id]
        if final:
            self._said.append((asyncio.get_running_loop().time(), said))
            self._forget()
        return APPLIED

    def repeat(self, stream: Duplex) -> None:
        """Says again how jobs ended that the server may not know of. Their fences make a second time do nothing."""
        self._forget()
        for _, said in self._said:
            stream.write(b"".join(map(frames.envelope, said)))

    def _forget(self) -> None:
        oldest = asyncio.get_running_loop().time() - REPEATED_S
        while self._said and self._said[0][0] < oldest:
            self._said.popleft()

    async def close(self) -> None:
        """Nothing to do: what is said is on its way."""


def _known(refusal: IronflowError) -> IronflowError:
    if isinstance(refusal, Unauthenticated | PermissionDenied):
        return WorkerAuthError(f"The server refused this worker's API key: {refusal.message}")
    if isinstance(refusal, NotFound | MethodNotAllowed | UnsupportedMediaType | Unimplemented):
        return Unimplemented(f"The server has no streaming workers: {refusal.message} Use a Worker, which polls.")
    return refusal
