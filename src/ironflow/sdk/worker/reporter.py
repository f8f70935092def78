"""Sending reports: one by one, or in batches when the server takes them.

Source: protocol/worker-rest.md 8. A batch never waits for more: one request is on its way at a time, and what has
gathered meanwhile, of all jobs, goes in the next.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ironflow.base.errors import Internal, IronflowError, SerializationError, WorkerAuthError
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.report import JobUpdate, Started, report_json
from ironflow.sdk.values.payload import Raw
from ironflow.sdk.wire.backoff import is_transient
from ironflow.sdk.worker.protocol import ReportAnswer, is_stale

BATCH_REPORTS_MAX = 200
BATCH_BYTES_MAX = 4 * 1024 * 1024


class ReportStatus(Enum):
    APPLIED = "applied"
    STALE = "stale"
    """The execution is no longer this worker's."""
    REFUSED = "refused"
    """The server will never take this report."""
    UNKNOWN = "unknown"
    """The server did not answer in time, so the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class ReportResult:
    """The outcome of one report. fault: why it was not applied. control: as `Verdict.control`, empty to go on.

    started: what it has started.
    """

    status: ReportStatus
    fault: IronflowError | None = None
    control: str = ""
    started: Sequence[Started] = ()


APPLIED = ReportResult(ReportStatus.APPLIED)


class Report(Protocol):
    """Something to send. A job has one report on its way at a time."""

    @property
    def job(self) -> Assignment: ...

    @property
    def final(self) -> bool:
        """Whether it ends the execution."""
        ...

    def build(self) -> JobUpdate:
        """The report as of now; called when it is about to be sent."""
        ...

    def settle(self, result: ReportResult) -> None:
        """Receives the outcome. Nothing is tried again by the reporter."""
        ...


class Reporter(Protocol):
    """answers: whether reports have the fields of ours, and answers. announces: whether started steps are reported.

    many_waits: whether the server takes all waits of an execution at once. features: what it announces, of those that
    only workers of ours know.
    """

    answers: bool
    announces: bool
    many_waits: bool
    features: frozenset[str]

    def submit(self, report: Report) -> None:
        """Sends the report soon."""
        ...

    async def close(self) -> None:
        """Sends nothing more."""
        ...


class NoReporter:
    """Before the server is reached."""

    answers = announces = many_waits = False
    features: frozenset[str] = frozenset()

    def submit(self, report: Report) -> None:
        report.settle(ReportResult(ReportStatus.UNKNOWN))

    async def close(self) -> None:
        """Nothing to do."""


class ReportChannel(Protocol):
    """Sends reports to the server. Both methods raise ConnectionLost, DeadlineExceeded or the server's error."""

    async def update(self, job_id: str, update: Raw) -> None:
        """One report. Raises Aborted when the lease is lost."""
        ...

    async def report(self, updates: Sequence[Raw]) -> dict[str, ReportAnswer]:
        """Reports of different jobs; the answer to each by job id."""
        ...


class PlainReporter:
    """Each report is a request of its own."""

    answers = announces = many_waits = False
    features: frozenset[str] = frozenset()

    def __init__(self, protocol: ReportChannel) -> None:
        self._protocol = protocol
        self._sending: set[asyncio.Task[None]] = set()

    def submit(self, report: Report) -> None:
        task = asyncio.create_task(self._send(report))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, report: Report) -> None:
        try:
            update = Raw(report_json(report.build()))
        except SerializationError as fault:
            report.settle(ReportResult(ReportStatus.REFUSED, fault))
            return
        report.settle(await self.send_once(report.job.job_id, update))

    async def send_once(self, job_id: str, update: Raw) -> ReportResult:
        try:
            await self._protocol.update(job_id, update)
        except IronflowError as fault:
            return _result_of(fault)
        return APPLIED

    async def close(self) -> None:
        await _cancel(self._sending)


@dataclass(slots=True, eq=False)
class _Sent:
    report: Report
    job_id: str
    update: Raw


class BatchReporter:
    """Sends one request at a time. Reports that arrive while it is on its way go together in the next."""

    answers = announces = True

    def __init__(
        self, protocol: ReportChannel, many_waits: bool = False, features: frozenset[str] = frozenset()
    ) -> None:
        self._protocol = protocol
        self.many_waits = many_waits
        self.features = features
        self._plain = PlainReporter(protocol)
        self._waiting: list[Report] = []
        self._sender: asyncio.Task[None] | None = None

    def submit(self, report: Report) -> None:
        self._waiting.append(report)
        if self._sender is None:
            # The task starts after those that are about to report too, so that they share its first request.
            self._sender = asyncio.create_task(self._send_all())

    async def close(self) -> None:
        if self._sender is not None:
            await _cancel({self._sender})

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                if not batch:
                    continue
                results = [ReportResult(ReportStatus.UNKNOWN)] * len(batch)
                try:
                    results = await self._send_batch(batch)
                finally:
                    # Whatever happened: a handler may wait for it.
                    for each, result in zip(batch, results, strict=True):
                        each.report.settle(result)
                # What goes on because of these answers, and ends at once, goes into the next request.
                await asyncio.sleep(0)
        finally:
            self._sender = None

    def _next_batch(self) -> list[_Sent]:
        """The oldest reports that fit into one request; at least one."""
        batch: list[_Sent] = []
        size = 0
        refused: list[tuple[Report, SerializationError]] = []
        for report in self._waiting[:BATCH_REPORTS_MAX]:
            update = report.build()
            update.job_id = report.job.job_id
            try:
                text = report_json(update)
            except SerializationError as fault:
                # It goes alone: the reports of other runs do not wait for one that can never be sent.
                refused.append((report, fault))
                continue
            size += len(text)
            if batch and size > BATCH_BYTES_MAX:
                break
            batch.append(_Sent(report, update.job_id, Raw(text)))
        del self._waiting[: len(batch) + len(refused)]
        for report, fault in refused:
            report.settle(ReportResult(ReportStatus.REFUSED, fault))
        return batch

    async def _send_batch(self, batch: list[_Sent]) -> list[ReportResult]:
        try:
            answers = await self._protocol.report([each.update for each in batch])
        except IronflowError as fault:
            if is_transient(fault) or isinstance(fault, WorkerAuthError):
                return [ReportResult(ReportStatus.UNKNOWN, fault)] * len(batch)
            # One bad report can spoil a request, and an older server may not know batches: each goes alone.
            return [await self._plain.send_once(each.job_id, each.update) for each in batch]
        unanswered = ReportAnswer(Internal("The server's answer to a batch of reports leaves this one out."), "")
        return [_result(answers.get(each.job_id, unanswered)) for each in batch]


async def _cancel(tasks: "set[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _result(answer: ReportAnswer) -> ReportResult:
    if answer.fault is None:
        if not answer.control and not answer.started:
            return APPLIED
        return ReportResult(ReportStatus.APPLIED, None, answer.control, answer.started)
    result = _result_of(answer.fault)
    return ReportResult(result.status, result.fault, answer.control)


def _result_of(fault: IronflowError) -> ReportResult:
    if is_stale(fault):
        return ReportResult(ReportStatus.STALE, fault)
    unknown = is_transient(fault) or isinstance(fault, WorkerAuthError)
    return ReportResult(ReportStatus.UNKNOWN if unknown else ReportStatus.REFUSED, fault)
