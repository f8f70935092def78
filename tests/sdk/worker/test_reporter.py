"""Reports of many jobs in few requests, one on its way at a time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from ironflow.base.time import SystemClock
from ironflow.sdk.definition.function import function
from ironflow.sdk.durable.context import Context
from ironflow.sdk.durable.job.report import JobUpdate
from ironflow.sdk.values.payload import Raw
from ironflow.sdk.worker.job_runner import JobRunner
from ironflow.sdk.worker.protocol import ReportAnswer
from ironflow.sdk.worker.reporter import BatchReporter, ReportResult, ReportStatus
from tests.sdk.durable.jobs import a_job
from tests.sdk.worker.conftest import QUICK


class Channel:
    """A server that answers when the test lets it. requests: the ids of the jobs in each."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        # The names of the steps in each, with the offset of the first.
        self.steps: list[tuple[list[str], int]] = []
        self.asked = asyncio.Event()
        self._answers: list[asyncio.Future[None]] = []

    async def report(self, updates: Sequence[Raw]) -> dict[str, ReportAnswer]:
        reports = [msgspec.json.decode(each) for each in updates]
        job_ids = [each["job_id"] for each in reports]
        self.requests.append(job_ids)
        self.asked.set()
        self.steps += [([step["name"] for step in each.get("steps", [])], each["step_offset"]) for each in reports]
        answer = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        await answer
        return {job_id: ReportAnswer(None, "") for job_id in job_ids}

    async def update(self, job_id: str, update: Raw) -> None:
        raise AssertionError("each report goes in a batch")

    def answer(self, place: int) -> None:
        self._answers[place].set_result(None)


class One:
    """A report of a job."""

    final = False

    def __init__(self, name: str) -> None:
        self.job = msgspec.structs.replace(a_job(), job_id=name)
        self.result: ReportResult | None = None

    def build(self) -> JobUpdate:
        return JobUpdate(status="progress", execution_seq=1, lease_token="t", steps=[], step_offset=0)

    def settle(self, result: ReportResult) -> None:
        self.result = result


async def ticks() -> None:
    """Everything that can go on has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


def submit(reporter: BatchReporter, *names: str) -> list[One]:
    reports = [One(name) for name in names]
    for each in reports:
        reporter.submit(each)
    return reports


async def test_one_request_is_on_its_way_and_the_next_takes_all_that_came_meanwhile() -> None:
    channel = Channel()
    reporter = BatchReporter(channel)
    reports: list[list[One]] = []
    for names in ("ab", "c", "de"):
        reports.append(submit(reporter, *names))
        await ticks()
    assert channel.requests == [["a", "b"]]

    channel.answer(0)
    await ticks()

    assert channel.requests == [["a", "b"], ["c", "d", "e"]]
    assert [each.result is not None for group in reports for each in group] == [True, True, False, False, False]
    await reporter.close()
    assert reports[2][1].result == ReportResult(ReportStatus.UNKNOWN)


async def nothing_published(*_: Any) -> dict[str, Any]:
    raise AssertionError("nothing is published")


async def test_what_a_cancelled_handler_has_left_is_reported_after_the_report_on_its_way() -> None:
    hanging = asyncio.Event()

    @function("f")
    async def handler(ctx: Context) -> None:
        async def other() -> None:
            await channel.asked.wait()

        async def hangs() -> None:
            hanging.set()
            await asyncio.Event().wait()

        await asyncio.gather(ctx.step.run("a", lambda: None), ctx.step.run("b", other), ctx.step.run("c", hangs))

    channel = Channel()
    jobs = JobRunner({"f": handler}, nothing_published, QUICK, 1, "default", SystemClock())
    jobs.reporter = BatchReporter(channel)
    job = a_job()
    jobs.take(job)
    await asyncio.wait_for(hanging.wait(), 10)
    await asyncio.wait_for(channel.asked.wait(), 10)
    await ticks()

    ending = asyncio.create_task(jobs.cancel_running())
    await ticks()
    assert channel.steps == [(["a"], 0)]
    channel.answer(0)
    await ticks()
    assert channel.steps == [(["a"], 0), (["b"], 1)]
    channel.answer(1)
    await asyncio.wait_for(ending, 10)
    await jobs.reporter.close()
