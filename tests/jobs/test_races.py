"""Concurrent changes of one run on PostgreSQL: each decides on the state that the one before it committed."""

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
from tests.support.late import WITHIN_S, late_commits, waiters
from tests.support.server import open_server
from tests.support.work import LEASE_MS, Work

LOCK = "SELECT id FROM runs WHERE id = :id FOR UPDATE"


@pytest.fixture
async def server(postgres_url: str) -> AsyncIterator[Work]:
    async with open_server(Work, postgres_url) as opened:
        yield opened


async def one_after_the_other(
    server: Work, url: str, run_id: str, *changes: Coroutine[Any, Any, None]
) -> list[BaseException | None]:
    """Lets the changes queue for the lock of the run's row, all with snapshots from before the first commit."""
    connecting = psycopg.AsyncConnection.connect(url, autocommit=True)
    async with held_back(server, run_id), await connecting as connection:
        tasks: list[asyncio.Task[None]] = []
        for number, change in enumerate(changes, start=1):
            tasks.append(asyncio.create_task(change))
            await waiters(connection, number)
    return await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def held_back(server: Work, run_id: str) -> AsyncIterator[None]:
    locked, released = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        tx.rows(LOCK, {"id": run_id})
        locked.set()
        assert released.wait(WITHIN_S)

    holding = asyncio.create_task(server.db.write(hold))
    try:
        assert await asyncio.to_thread(locked.wait, WITHIN_S)
        yield
    finally:
        released.set()
        await holding


async def test_a_heartbeat_behind_the_end_of_a_run_does_not_revive_it(server: Work, postgres_url: str):
    run = await server.a_run()
    job = await server.claim()
    server.move(1_000)

    await one_after_the_other(
        server, postgres_url, run.id, server.report(job, "completed", output=1), server.heartbeat(job)
    )

    server.move(LEASE_MS)
    await server.loop("leases")
    assert (await server.run(run.id)).status is RunStatus.COMPLETED
    assert await server.poll() == []


async def test_a_heartbeat_behind_a_sleep_does_not_wake_the_run_early(server: Work, postgres_url: str):
    run = await server.a_run()
    job = await server.claim()
    server.move(1_000)
    asleep = server.sleep(job, until=server.now + 3_600_000)

    await one_after_the_other(server, postgres_url, run.id, asleep, server.heartbeat(job))

    server.move(LEASE_MS)
    await server.loop("leases")
    assert (await server.run(run.id)).pause_reason == "sleep"
    assert await server.poll() == []


async def test_a_report_behind_a_lost_lease_is_refused(server: Work, postgres_url: str):
    run = await server.a_run()
    job = await server.claim()
    server.move(LEASE_MS)

    async with late_commits(postgres_url, "jobs") as connection:
        reclaiming = asyncio.create_task(server.loop("leases"))
        await waiters(connection, 1)
        reporting = asyncio.create_task(server.report(job, "completed", output=1))
        await waiters(connection, 2)

    await reclaiming
    with pytest.raises(StaleExecution):
        await reporting
    assert (await server.run(run.id)).status is RunStatus.PENDING
