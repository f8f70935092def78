"""What a worker learns of the jobs that were taken from it, and how their slots become free."""

import asyncio

import pytest

from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import JobControl
from ironflow.features.runs import contract as runs
from tests.support.work import LEASE_MS, Work


async def controls(server: Work, *listed: str, worker: str = "w1", wait: float = 0) -> list[JobControl]:
    return (await server.call(jobs.control, worker=worker, jobs=list(listed), wait=wait)).jobs


async def held(server: Work, *listed: str, worker: str = "w1") -> "asyncio.Task[list[JobControl]]":
    """A held request that has looked at the database already."""
    task = asyncio.create_task(controls(server, *listed, worker=worker, wait=20))
    # Its look has begun before, and ends before, this one.
    await controls(server, worker=worker)
    return task


async def test_a_held_request_is_answered_when_a_run_is_cancelled(server: Work):
    run = await server.a_run()
    job = await server.claim()
    request = await held(server, job.job_id)

    await server.call(runs.cancel, id=run.id)

    assert await request == [JobControl(job_id=job.job_id, control="cancelled")]


async def test_a_job_that_was_taken_while_the_request_is_held_is_answered_too(server: Work):
    request = await held_by_new_worker(server)
    (run_id,) = (await server.emit()).run_ids
    job = await server.claim()

    await server.call(runs.cancel, id=run_id)

    assert await request == [JobControl(job_id=job.job_id, control="cancelled")]


async def held_by_new_worker(server: Work) -> "asyncio.Task[list[JobControl]]":
    await server.a_function()
    await server.a_worker()
    return await held(server)


async def test_what_was_revoked_before_the_request_is_answered_at_once(server: Work):
    await server.a_run()
    job = await server.claim()
    (other_id,) = (await server.emit()).run_ids
    other = await server.claim()
    server.move(LEASE_MS - 1)
    await server.heartbeat(other)
    server.move(1)
    await server.loop("leases")
    await server.call(runs.cancel, id=other_id)

    assert await controls(server, job.job_id, other.job_id, wait=20) == [
        JobControl(job_id=job.job_id, control="lost"),
        JobControl(job_id=other.job_id, control="cancelled"),
    ]


async def test_a_lease_that_ends_is_answered_to_its_worker_and_to_no_other(server: Work):
    await server.a_run(timeout_ms=10_000)
    job = await server.claim()
    await server.a_worker("w2")
    mine, others = await held(server, job.job_id), await held(server, worker="w2")

    server.move(10_000)
    await server.loop("leases")

    assert await mine == [JobControl(job_id=job.job_id, control="lost")]
    assert not others.done()
    others.cancel()


async def test_without_a_reason_the_answer_is_empty_and_an_unknown_worker_registers_again(server: Work):
    await server.a_run()
    job = await server.claim()

    assert await controls(server, job.job_id) == []
    with pytest.raises(jobs.WorkerNotFound):
        await controls(server, worker="unknown")


async def test_a_server_that_stops_answers_what_is_held(server: Work):
    await server.a_run()
    job = await server.claim()
    request = await held(server, job.job_id)

    server.inside.drain()

    assert await request == []


@pytest.mark.parametrize("acked", [True, False])
async def test_a_cancelled_run_takes_no_slot_of_its_worker(server: Work, acked: bool):
    await server.a_function()
    await server.a_worker(jobs_max=2)
    run_ids = [(await server.emit()).run_ids[0] for _ in range(3)]
    for _ in range(2):
        await server.claim(acked=acked)
    assert await server.poll(available=1, acked=acked) == []

    await server.call(runs.cancel, id=run_ids[0])

    # A worker that has not noticed yet asks for none.
    assert await server.poll(available=0, acked=acked) == []
    assert [job.run_id for job in await server.poll(available=5, acked=acked)] == [run_ids[2]]


async def test_a_worker_with_grace_has_longer_than_the_timeout_to_end_an_execution(server: Work):
    await server.a_run(timeout_ms=10_000, retry={"max_attempts": 1})
    (job,) = (await server.call(jobs.poll, worker="w1", acked=True, grace_ms=5_000)).jobs
    assert job.timeout_ms == 10_000
    server.move(14_999)
    await server.loop("leases")
    assert (await server.run(job.run_id)).status.value == "running"

    server.move(1)
    await server.loop("leases")

    run = await server.run(job.run_id)
    assert run.error is not None
    assert (run.status.value, run.error.code) == ("failed", "TIMEOUT")


async def test_the_plain_protocol_shows_no_timeout_and_has_no_grace(server: Work):
    await server.a_run(timeout_ms=10_000, retry={"max_attempts": 1})
    (job,) = (await server.call(jobs.poll, worker="w1", grace_ms=5_000)).jobs
    await server.ack(job)
    assert job.timeout_ms is None

    server.move(10_000)
    await server.loop("leases")

    assert (await server.run(job.run_id)).status.value == "failed"
