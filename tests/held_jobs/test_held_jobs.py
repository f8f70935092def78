"""Held jobs of an executor that is no stream: an endpoint that the server calls."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ironflow.base.call import Call
from ironflow.base.errors import Unavailable
from ironflow.base.json import Json
from ironflow.features.held_jobs.contract import Fence, PendingReport
from ironflow.features.held_jobs.service import HeldJobs
from ironflow.features.jobs.contract import Assignment, RegisterWorker, ReportedStep, Yield
from ironflow.features.jobs.in_tx import WorkerRow
from ironflow.features.jobs.report_rules import YIELDS_MAX
from ironflow.features.jobs.service import Jobs
from ironflow.features.runs import contract as runs
from tests.support.work import Work

# Of the characters of an output, beyond what a server accepts.
TOO_MANY = 8 * 1024 * 1024
ENDPOINT = RegisterWorker(worker="endpoint", hostname="h", function_ids=["charge"], max_concurrent_jobs=2)


class Endpoint:
    """Keeps what it is given; the test answers for it."""

    def __init__(self, server: Work) -> None:
        self._server = server
        self.delivered: asyncio.Queue[Assignment] = asyncio.Queue()
        self.cancelled: list[str] = []
        self.releases: asyncio.Queue[str] = asyncio.Queue()

    def deliver(self, jobs: Sequence[Assignment]) -> None:
        for job in jobs:
            self.delivered.put_nowait(job)

    def has_capacity(self) -> bool:
        return True

    def cancel(self, job_id: str, reason: str) -> None:
        self.cancelled.append(job_id)

    def released(self, job_id: str) -> None:
        self.releases.put_nowait(job_id)

    async def admit(self) -> WorkerRow:
        return await self._server.part(Jobs).admit(call_of(self._server), ENDPOINT, "push")


def call_of(server: Work) -> Call:
    return Call(environment="default", now=server.now)


@asynccontextmanager
async def an_endpoint(server: Work) -> AsyncIterator[tuple[Endpoint, HeldJobs]]:
    endpoint = Endpoint(server)
    worker = await endpoint.admit()
    held = HeldJobs(server.part(Jobs), server.clock, call_of(server), worker, endpoint, acked=True)
    held.start()
    try:
        yield endpoint, held
    finally:
        await held.close((), ())


async def soon(queue: asyncio.Queue[Any]) -> Any:
    async with asyncio.timeout(10):
        return await queue.get()


def completed(job: Assignment, output: str = "1") -> PendingReport:
    fence = Fence(job.job_id, job.execution_seq, job.lease_token)
    return PendingReport(fence, ended="completed", output=Json(output.encode()))


async def test_an_endpoint_is_given_jobs_up_to_its_limit_and_the_next_when_one_ends(server: Work) -> None:
    await server.a_function()
    runs = [(await server.emit()).run_ids[0] for _ in range(3)]
    async with an_endpoint(server) as (endpoint, held):
        first, second = await soon(endpoint.delivered), await soon(endpoint.delivered)
        assert held.ids == {first.job_id, second.job_id}

        held.enqueue(completed(first))
        third = await soon(endpoint.delivered)

        assert {first.run_id, second.run_id, third.run_id} == set(runs)
        assert await soon(endpoint.releases) == first.job_id
    assert (await server.run(first.run_id)).status.value == "completed"


async def test_a_report_waits_for_a_database_that_is_unavailable(server: Work, monkeypatch: Any) -> None:
    monkeypatch.setattr("ironflow.features.held_jobs.service.RETRY_S", 0)
    await server.a_function()
    (run_id,) = (await server.emit()).run_ids
    async with an_endpoint(server) as (endpoint, held):
        job = await soon(endpoint.delivered)
        jobs, faults = server.part(Jobs), [Unavailable("not now"), Unavailable("not now")]
        update = jobs.update

        async def sometimes(call: Call, request: Any) -> Any:
            if faults:
                raise faults.pop()
            return await update(call, request)

        monkeypatch.setattr(jobs, "update", sometimes)
        held.enqueue(completed(job))
        await soon(endpoint.releases)

    assert faults == []
    assert (await server.run(run_id)).status.value == "completed"


async def test_a_refused_job_goes_back_and_comes_again(server: Work, monkeypatch: Any) -> None:
    monkeypatch.setattr("ironflow.features.held_jobs.service.REFUSED_S", 0)
    await server.a_function()
    (run_id,) = (await server.emit()).run_ids
    async with an_endpoint(server) as (endpoint, held):
        job = await soon(endpoint.delivered)
        await held.refuse(job.job_id)

        again = await soon(endpoint.delivered)

        assert (again.run_id, again.attempt, again.execution_seq) == (run_id, 1, 2)


async def test_an_undelivered_job_goes_back_when_the_executor_is_closed(server: Work) -> None:
    run = await server.a_run()
    endpoint = Endpoint(server)
    held = HeldJobs(server.part(Jobs), server.clock, call_of(server), await endpoint.admit(), endpoint, acked=True)
    held.start()
    job = await soon(endpoint.delivered)

    await held.close([job.job_id], ())

    assert (await server.claim()).run_id == run.id


async def test_a_job_is_released_when_the_refusal_of_its_late_report_cannot_be_recorded(server: Work) -> None:
    await server.a_function()
    (run_id,) = (await server.emit()).run_ids
    async with an_endpoint(server) as (endpoint, held):
        job = await soon(endpoint.delivered)
        await server.call(runs.cancel, id=run_id)

        held.enqueue(completed(job, output=f'"{"x" * TOO_MANY}"'))

        assert await soon(endpoint.releases) == job.job_id
    assert (await server.run(run_id)).status.value == "cancelled"


async def test_a_report_that_is_refused_for_more_than_one_reason_fails_the_run(server: Work) -> None:
    await server.a_function()
    (run_id,) = (await server.emit()).run_ids
    async with an_endpoint(server) as (endpoint, held):
        job = await soon(endpoint.delivered)
        large = ReportedStep(id=f"{run_id}:a:0", output=Json(f'"{"x" * TOO_MANY}"'.encode()))
        sleeps = tuple(Yield(type="sleep", step_id=f"{run_id}:{n}:0") for n in range(YIELDS_MAX + 1))
        fence = Fence(job.job_id, job.execution_seq, job.lease_token)

        held.enqueue(PendingReport(fence, steps=(large,), ended="yielded", yields=sleeps))

        assert await soon(endpoint.releases) == job.job_id
    run = await server.run(run_id)
    assert run.error is not None
    assert (run.status.value, run.error.code) == ("failed", "INVALID_REPORT")
