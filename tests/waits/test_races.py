"""An event and the wait for it meet on PostgreSQL at the same moment, each in a transaction that the other cannot see.

A trigger holds the commit of one of the two back for as long as the test wants.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from tests.support.house import open_house
from tests.support.work import Work
from tests.support.yields import waits_for

WITHIN_S = 10
EVENT = "order.approved"
HOLD = 4711
WAITERS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
HELD_COMMITS = """
CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared({hold}); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION hold_commit()"""


@pytest.fixture
async def house(postgres_url: str) -> AsyncIterator[Work]:
    async with open_house(Work, postgres_url) as opened:
        yield opened


@asynccontextmanager
async def commits_held_back(url: str, table: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Transactions that add a row to `table` reach their commit and stop there until the block is left."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(HELD_COMMITS.format(hold=HOLD, table=table).encode())
        await connection.execute(f"SELECT pg_advisory_lock({HOLD})".encode())
        try:
            yield connection
        finally:
            await connection.execute(f"SELECT pg_advisory_unlock({HOLD})".encode())


async def waiters(connection: psycopg.AsyncConnection, expected: int) -> None:
    """Returns when `expected` transactions wait for a lock."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            row = await (await connection.execute(WAITERS)).fetchone()
            if row == (expected,):
                return
            # Gives the threads a turn; the deadline above ends it.
            await asyncio.sleep(0.005)


async def test_an_event_whose_commit_is_late_is_found_by_a_wait_that_cannot_see_it_yet(house: Work, postgres_url: str):
    run = await house.a_run()
    job = await house.claim()
    async with commits_held_back(postgres_url, "events") as connection:
        emitting = asyncio.create_task(house.emit(EVENT))
        await waiters(connection, 1)
        waiting = asyncio.create_task(house.report(job, "yielded", yielded=waits_for(job, EVENT)))
        await waiters(connection, 2)

    await asyncio.gather(emitting, waiting)
    assert (await house.claim()).run_id == run.id


async def test_a_wait_whose_commit_is_late_is_found_by_an_event_that_cannot_see_it_yet(house: Work, postgres_url: str):
    run = await house.a_run()
    job = await house.claim()
    async with commits_held_back(postgres_url, "waits") as connection:
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
