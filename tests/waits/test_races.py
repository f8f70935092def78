"""An event and the wait for it meet on PostgreSQL at the same moment, and neither transaction sees the other."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.late import late_commits, waiters
from tests.support.server import open_server
from tests.support.work import Work
from tests.support.yields import waits_for

EVENT = "order.approved"


@pytest.fixture
async def server(postgres_url: str) -> AsyncIterator[Work]:
    async with open_server(Work, postgres_url) as opened:
        yield opened


async def test_an_event_whose_commit_is_late_is_found_by_a_wait_that_cannot_see_it_yet(server: Work, postgres_url: str):
    run = await server.a_run()
    job = await server.claim()
    async with late_commits(postgres_url, "events") as connection:
        emitting = asyncio.create_task(server.emit(EVENT))
        await waiters(connection, 1)
        waiting = asyncio.create_task(server.report(job, "yielded", yielded=waits_for(job, EVENT)))
        await waiters(connection, 2)

    await asyncio.gather(emitting, waiting)
    assert (await server.claim()).run_id == run.id


async def test_a_wait_whose_commit_is_late_is_found_by_an_event_that_cannot_see_it_yet(server: Work, postgres_url: str):
    run = await server.a_run()
    job = await server.claim()
    async with late_commits(postgres_url, "waits") as connection:
        waiting = asyncio.create_task(server.report(job, "yielded", yielded=waits_for(job, EVENT)))
        await waiters(connection, 1)
        emitting = asyncio.create_task(server.emit(EVENT))
        await waiters(connection, 2)

    await asyncio.gather(emitting, waiting)
    assert (await server.claim()).run_id == run.id


async def test_events_and_waits_that_meet_at_random_never_miss_each_other(server: Work):
    await server.a_function()
    await server.a_worker(jobs_max=100)
    for number in range(40):
        await server.emit(data={"n": number})
    jobs = await server.poll(available=40)

    async def wait(number: int) -> None:
        job = jobs[number]
        await server.report(job, "yielded", yielded=waits_for(job, EVENT, match="n"))

    async def emit(number: int) -> None:
        await server.emit(EVENT, data={"n": number})

    await asyncio.gather(*(action(number) for number in range(40) for action in (wait, emit)))

    assert {job.run_id for job in await server.poll(available=100)} == {job.run_id for job in jobs}
