"""Words that meet at one run on PostgreSQL: each decides on what the one before it left, not on what it saw before."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from ironflow.engine.errors import StaleExecution
from ironflow.features.runs.contract import RunStatus
from ironflow.storage.port import Tx
from tests.support.house import open_house
from tests.support.late import WITHIN_S, late_commits, waiters
from tests.support.work import LEASE_MS, Work

LOCK = "SELECT id FROM runs WHERE id = :id FOR UPDATE"


@pytest.fixture
async def house(postgres_url: str) -> AsyncIterator[Work]:
    async with open_house(Work, postgres_url) as opened:
        yield opened


async def one_after_the_other(
    house: Work, url: str, run_id: str, *words: Coroutine[Any, Any, None]
) -> list[BaseException | None]:
    """Lets the words queue up at the run's row, all with a view of the database from before the first is done."""
    connecting = psycopg.AsyncConnection.connect(url, autocommit=True)
    async with held_back(house, run_id), await connecting as connection:
        tasks: list[asyncio.Task[None]] = []
        for number, word in enumerate(words, start=1):
            tasks.append(asyncio.create_task(word))
            await waiters(connection, number)
    return await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def held_back(house: Work, run_id: str) -> AsyncIterator[None]:
    locked, released = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        tx.rows(LOCK, {"id": run_id})
        locked.set()
        assert released.wait(WITHIN_S)

    holding = asyncio.create_task(house.db.write(hold))
    try:
        assert await asyncio.to_thread(locked.wait, WITHIN_S)
        yield
    finally:
        released.set()
        await holding


async def test_a_heartbeat_behind_the_end_of_a_run_does_not_revive_it(house: Work, postgres_url: str):
    run = await house.a_run()
    job = await house.claim()
    house.move(1_000)

    await one_after_the_other(
        house, postgres_url, run.id, house.report(job, "completed", output=1), house.heartbeat(job)
    )

    house.move(LEASE_MS)
    await house.loop("leases")
    assert (await house.run(run.id)).status is RunStatus.COMPLETED
    assert await house.poll() == []


async def test_a_heartbeat_behind_a_sleep_does_not_wake_the_run_early(house: Work, postgres_url: str):
    run = await house.a_run()
    job = await house.claim()
    house.move(1_000)
    asleep = house.sleep(job, until=house.now + 3_600_000)

    await one_after_the_other(house, postgres_url, run.id, asleep, house.heartbeat(job))

    house.move(LEASE_MS)
    await house.loop("leases")
    assert (await house.run(run.id)).pause_reason == "sleep"
    assert await house.poll() == []


async def test_a_report_behind_a_lost_lease_is_refused(house: Work, postgres_url: str):
    run = await house.a_run()
    job = await house.claim()
    house.move(LEASE_MS)

    async with late_commits(postgres_url, "jobs") as connection:
        reclaiming = asyncio.create_task(house.loop("leases"))
        await waiters(connection, 1)
        reporting = asyncio.create_task(house.report(job, "completed", output=1))
        await waiters(connection, 2)

    await reclaiming
    with pytest.raises(StaleExecution):
        await reporting
    assert (await house.run(run.id)).status is RunStatus.PENDING
