"""Bringing reports to the server: one by one, or in batches when the server takes them.

Source: protocol/worker-rest.md 8. A batch never waits for more: what gathers while one is on its way goes in the next.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import msgspec

from ironflow.base.errors import Internal, IronflowError, WorkerAuthError
from ironflow.sdk.assignment import Assignment
from ironflow.sdk.pace import Pace, is_transient
from ironflow.sdk.payload import Raw
from ironflow.sdk.report import JobUpdate
from ironflow.sdk.worker_protocol import is_stale

BATCH_REPORTS_MAX = 200
BATCH_BYTES_MAX = 4 * 1024 * 1024

_encode = msgspec.json.Encoder().encode


class Fate(Enum):
    APPLIED = "applied"
    STALE = "stale"
    """The execution belongs to another worker, or the run has ended."""
    REFUSED = "refused"
    """The server will never take this report."""
    LOST = "lost"
    """Nobody knows; the server did not answer in time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a report. fault: why it was not applied."""

    fate: Fate
    fault: IronflowError | None = None


APPLIED = Verdict(Fate.APPLIED)


class Reporter(Protocol):
    async def send(self, job: Assignment, update: JobUpdate, *, final: bool) -> Verdict:
        """Reports; a final report is tried again while the server does not answer. Raises WorkerAuthError."""
        ...

    async def close(self) -> None:
        """Sends nothing more."""
        ...


class NoReporter:
    """Before the server is reached."""

    async def send(self, job: Assignment, update: JobUpdate, *, final: bool) -> Verdict:
        return Verdict(Fate.LOST)

    async def close(self) -> None:
        """Nothing to do."""


class Line(Protocol):
    """What brings reports to the server. Both raise ConnectionLost, DeadlineExceeded or what the server says."""

    async def update(self, job_id: str, update: Raw) -> None:
        """One report. Raises Aborted when the lease is lost."""
        ...

    async def report(self, updates: Sequence[Raw]) -> dict[str, IronflowError | None]:
        """Reports of different jobs: for each job id, None or why its report was not applied."""
        ...


class PlainReporter:
    """Each report is a request of its own."""

    def __init__(self, protocol: Line, pace: Pace) -> None:
        self._protocol = protocol
        self._pace = pace

    async def send(self, job: Assignment, update: JobUpdate, *, final: bool) -> Verdict:
        pauses = iter(self._pace.final_retries if final else ())
        encoded = Raw(_encode(update))
        while True:
            verdict = await self.send_once(job.job_id, encoded)
            pause = next(pauses, None)
            if verdict.fate is not Fate.LOST or pause is None:
                return verdict
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Nothing to do: who waits for an answer is what sends."""

    async def send_once(self, job_id: str, update: Raw) -> Verdict:
        try:
            await self._protocol.update(job_id, update)
        except WorkerAuthError:
            raise
        except IronflowError as fault:
            return _verdict(fault)
        return APPLIED


@dataclass(slots=True, eq=False)
class _Waiting:
    job_id: str
    update: Raw
    answered: "asyncio.Future[Verdict]"


class BatchReporter:
    """Reports that come while one request is on its way go together in the next."""

    def __init__(self, protocol: Line, pace: Pace) -> None:
        self._protocol = protocol
        self._pace = pace
        self._plain = PlainReporter(protocol, pace)
        self._waiting: list[_Waiting] = []
        self._sender: asyncio.Task[None] | None = None

    async def send(self, job: Assignment, update: JobUpdate, *, final: bool) -> Verdict:
        update.job_id = job.job_id
        waiting = _Waiting(job.job_id, Raw(_encode(update)), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._sender is None:
            # The task starts after those that are about to report too, so that they share its first request.
            self._sender = asyncio.create_task(self._send_all())
        return await waiting.answered

    async def close(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                try:
                    await self._deliver(batch)
                except WorkerAuthError as fault:
                    for each in batch:
                        if not each.answered.done():
                            each.answered.set_exception(fault)
                finally:
                    for each in batch:
                        each.answered.cancel()
        finally:
            self._sender = None

    def _next_batch(self) -> list[_Waiting]:
        """The oldest reports that fit into one request; at least one."""
        size = count = 0
        for each in self._waiting[:BATCH_REPORTS_MAX]:
            size += len(bytes(each.update))
            if count and size > BATCH_BYTES_MAX:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _deliver(self, batch: list[_Waiting]) -> None:
        """Answers every report of the batch, after trying again while the server does not."""
        pauses = iter(self._pace.final_retries)
        while True:
            verdicts = await self._send_once(batch)
            unknown = [each for each in batch if verdicts[each.job_id].fate is Fate.LOST]
            pause = next(pauses, None) if unknown else None
            for each in batch if pause is None else set(batch) - set(unknown):
                if not each.answered.done():
                    each.answered.set_result(verdicts[each.job_id])
            if pause is None:
                return
            batch = unknown
            await asyncio.sleep(pause)

    async def _send_once(self, batch: list[_Waiting]) -> dict[str, Verdict]:
        try:
            faults = await self._protocol.report([each.update for each in batch])
        except WorkerAuthError:
            raise
        except IronflowError as fault:
            if is_transient(fault):
                return {each.job_id: Verdict(Fate.LOST, fault) for each in batch}
            # One bad report can spoil a request, and an older server may not know batches: each goes alone.
            return {each.job_id: await self._plain.send_once(each.job_id, each.update) for each in batch}
        unanswered = Internal("The server's answer to a batch of reports leaves this one out.")
        found = {each.job_id: faults.get(each.job_id, unanswered) for each in batch}
        return {job_id: APPLIED if fault is None else _verdict(fault) for job_id, fault in found.items()}


def _verdict(fault: IronflowError) -> Verdict:
    if is_stale(fault):
        return Verdict(Fate.STALE, fault)
    return Verdict(Fate.LOST if is_transient(fault) else Fate.REFUSED, fault)
