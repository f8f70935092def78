"""Callers and nodes that start a run with one key at the same moment."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ironflow.base.time import FixedClock
from ironflow.features.events import contract as events
from ironflow.features.runs import contract as runs
from tests.support.late import late_commits, waiters
from tests.support.server import open_server
from tests.support.work import Work

CALLERS = 20


async def started(server: Work, if_running: str = "", key: str = "ada") -> str:
    return (await server.call(events.invoke, function_id="chat", key=key, if_running=if_running)).run_id


async def open_runs(server: Work) -> list[str]:
    found = await server.call(runs.list_, key="ada", limit=1000)
    return [each.id for each in found.runs if not each.status.ended]


async def test_many_callers_at_once_make_one_run(server: Work):
    await server.a_function("chat", on=None)

    found = await asyncio.gather(*(started(server) for _ in range(CALLERS)))

    assert len(set(found)) == 1
    assert await open_runs(server) == [found[0]]


async def test_a_storm_of_replacing_starts_leaves_one_run(server: Work):
    await server.a_function("chat", on=None)

    found = await asyncio.gather(*(started(server, "replace") for _ in range(CALLERS)))

    assert len(set(found)) == CALLERS
    (left,) = await open_runs(server)
    assert left in found
    assert (await server.call(runs.get, id="chat:ada")).id == left


@pytest.fixture
async def nodes(postgres_url: str) -> AsyncIterator[tuple[Work, Work]]:
    clock = FixedClock()
    async with (
        open_server(Work, postgres_url, clock=clock) as one,
        open_server(Work, postgres_url, clock=clock) as other,
    ):
        yield one, other


async def test_two_nodes_at_once_make_one_run(nodes: tuple[Work, Work]):
    await nodes[0].a_function("chat", on=None)

    found = await asyncio.gather(*(started(nodes[number % 2]) for number in range(CALLERS)))

    assert len(set(found)) == 1


async def test_a_start_waits_for_the_commit_of_another_nodes_start(nodes: tuple[Work, Work], postgres_url: str):
    await nodes[0].a_function("chat", on=None)
    async with late_commits(postgres_url, "run_keys") as connection:
        first = asyncio.create_task(started(nodes[0]))
        await waiters(connection, 1)
        second = asyncio.create_task(started(nodes[1]))
        await waiters(connection, 2)

    assert await first == await second


async def test_replacing_and_ending_runs_on_two_nodes_never_leaves_two(nodes: tuple[Work, Work]):
    await nodes[0].a_function("chat", on=None)
    await nodes[0].a_worker(function_ids=["chat"], jobs_max=100)

    async def replace(number: int) -> str:
        return await started(nodes[number % 2], "replace")

    async def work(number: int) -> None:
        node = nodes[number % 2]
        for job in await node.poll(available=1):
            await asyncio.gather(node.report(job, "completed", output=1), return_exceptions=True)

    for _ in range(3):
        await asyncio.gather(*(action(number) for number in range(10) for action in (replace, work)))

    left = await open_runs(nodes[0])
    held = await nodes[0].db.read(lambda tx: tx.rows("SELECT run_id FROM run_keys"))
    assert [row[0] for row in held] == left
    assert len(left) <= 1
