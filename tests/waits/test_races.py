"""An event and the wait for it meet on PostgreSQL at the same moment, and neither transaction sees the other."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.house import open_house
from tests.support.late import late_commits, waiters
from tests.support.work import Work
from tests.support.yields import waits_for

EVENT = "order.approved"


@pytest.fixture
async def house(postgres_url: str) -> AsyncIterator[Work]:
    async with open_house(Work, postgres_url) as opened:
        yield opened


async def test_an_event_whose_commit_is_late_is_found_by_a_wait_that_cannot_see_it_yet(house: Work, postgres_url: str):
    run = await house.a_run()
    job = await house.claim()
    async with late_commits(postgres_url, "events") as connection:
        emitting = asyncio.create_task(house.emit(EVENT))
        await waiters(connection, 1)
        waiting = asyncio.create_task(house.report(job, "yielded", yielded=waits_for(job, EVENT)))
        await waiters(connection, 2)

    await asyncio.gather(emitting, waiting)
    assert (await house.claim()).run_id == run.id


async def test_a_wait_whose_commit_is_late_is_found_by_an_event_that_cannot_see_it_yet(house: Work, postgres_url: str):
    run = await house.a_run()
    job = await house.claim()
    async with late_commits(postgres_url, "waits") as connection:
        waiting = asyncio.create_task(house.report(job, "yielded", yielded=waits_for(job, EVENT)))
        await waiters(connection, 1)
        emitting = asyncio.create_task(house.emit(EVENT))
        await waiters(connection, 2)

    await asyncio.gather(emitting, waiting)
    assert (await house.claim()).run_id == run.id


async def test_events_and_waits_that_meet_at_random_never_miss_each_other(house: Work):
    await house.a_function()
    await house.a_worker(jobs_max=100)
    for number in range(40):
        await house.emit(data={"n": number})
    jobs = await house.poll(available=40)

    async def wait(number: int) -> None:
        job = jobs[number]
        await house.report(job, "yielded", yielded=waits_for(job, EVENT, match="n"))

    async def emit(number: int) -> None:
        await house.emit(EVENT, data={"n": number})

    await asyncio.gather(*(word(number) for number in range(40) for word in (wait, emit)))

    assert {job.run_id for job in await house.poll(available=100)} == {job.run_id for job in jobs}
