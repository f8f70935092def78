"""Jobs that end with the process or the request that executed them, or that never reached their worker."""

import asyncio

import pytest

from ironflow.base.call import Call
from ironflow.engine.errors import StaleExecution
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import Assignment
from ironflow.features.jobs.service import Jobs
from ironflow.features.runs.contract import RunStatus
from tests.support.server import open_server
from tests.support.work import Work
from tests.support.yields import sleeps

HOUR_MS = 3_600_000


async def test_open_steps_of_a_run_end_with_its_last_execution(database_url: str):
    async with open_server(Work, database_url, lease_losses_max=1) as server:
        await server.a_run()
        job = await server.claim()
        await server.report(job, "progress", yields=[sleeps(job, server.now + HOUR_MS)])

        await server.part(Jobs).lost(Call(environment="default", now=server.now), job.job_id)

        run = await server.run(job.run_id)
        assert (run.status, run.error and run.error.code) == (RunStatus.FAILED, "WORKER_LOST")
        assert [each.stored_status for each in await server.steps(job.run_id)] == ["cancelled"]


async def asked(server: Work, number: int, incarnation: str = "a1", wait: float = 0) -> list[Assignment]:
    """What a poll with this number is answered with."""
    about = {"incarnation": incarnation, "number": number, "available": 10, "acked": True, "wait": wait}
    return (await server.call(jobs.poll, worker="w1", **about)).jobs


async def lists(server: Work, *held: Assignment, before: int, incarnation: str = "a1", lost: bool = True) -> None:
    """A heartbeat with all jobs that the process has of its polls with lower numbers."""
    listed = [{"job_id": each.job_id} for each in held]
    about = {"incarnation": incarnation, "polls_before": before, "answer_lost": lost}
    await server.call(jobs.heartbeat, worker="w1", jobs=listed, **about)


async def test_a_job_whose_answer_was_lost_is_given_out_again_at_once(server: Work):
    run = await server.a_run()
    (lost,) = await asked(server, 1)

    await lists(server, before=2)

    (again,) = await asked(server, 2)
    assert (again.run_id, again.attempt, again.execution_seq) == (run.id, lost.attempt, lost.execution_seq + 1)
    with pytest.raises(StaleExecution):
        await server.report(lost, "completed")
    await server.report(again, "completed")
    assert (await server.run(run.id)).status == RunStatus.COMPLETED


async def test_jobs_that_the_worker_has_or_that_are_on_their_way_to_it_stay(server: Work):
    await server.a_run()
    (held,) = await asked(server, 1)
    await server.emit()
    (on_its_way,) = await asked(server, 2)

    await lists(server, held, before=2)

    assert await asked(server, 3) == []
    for each in (held, on_its_way):
        await server.report(each, "completed")


async def test_another_process_of_the_same_worker_id_takes_no_job_away(server: Work):
    await server.a_run()
    (of_another,) = await asked(server, 1, "b2")
    await server.emit()
    plain = await server.claim()

    await lists(server, before=9)

    assert await asked(server, 9) == []
    await server.report(of_another, "completed")
    await server.report(plain, "completed")


async def test_lost_answers_are_no_losses_of_a_run_but_jobs_that_a_worker_drops_are(database_url: str):
    async with open_server(Work, database_url, lease_losses_max=2) as server:
        run = await server.a_run()
        for number in range(1, 4):
            (_,) = await asked(server, number)
            await lists(server, before=number + 1)
        for number in range(4, 6):
            assert (await server.run(run.id)).status == RunStatus.PENDING
            (_,) = await asked(server, number)
            await lists(server, before=number + 1, lost=False)

        ended = await server.run(run.id)
        assert (ended.status, ended.error and ended.error.code) == (RunStatus.FAILED, "WORKER_LOST")


async def test_a_poll_that_its_worker_has_given_up_gets_no_job_any_more(server: Work):
    await server.a_function()
    await server.a_worker()
    given_up = asyncio.create_task(asked(server, 1, wait=20))
    while not server.part(Jobs).matcher.waiting():  # noqa: ASYNC110 it has no event to wait for
        await asyncio.sleep(0)

    await lists(server, before=2)

    async with asyncio.timeout(10):
        assert await given_up == []
    await server.emit()
    assert len(await asked(server, 2)) == 1


@pytest.mark.parametrize("incarnation", ["a.b", "ä", "x" * 33])
async def test_an_incarnation_is_letters_and_digits(server: Work, incarnation: str):
    await server.a_worker()
    with pytest.raises(jobs.InvalidWorker):
        await asked(server, 1, incarnation)
    with pytest.raises(jobs.InvalidWorker):
        await lists(server, before=1, incarnation=incarnation)
