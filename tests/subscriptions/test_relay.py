"""The system's events between two nodes on one PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from ironflow.features.subscriptions import relay
from ironflow.storage.port import Tx
from tests.subscriptions.following import following
from tests.support.server import open_server
from tests.support.work import Work

pytestmark = pytest.mark.postgres

WITHIN_S = 10


@pytest.fixture
async def nodes(postgres_url: str) -> AsyncIterator[tuple[Work, Work]]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_server(Work, postgres_url))
        second = await stack.enter_async_context(open_server(Work, postgres_url, clock=first.clock))
        yield first, second


async def rows(server: Work) -> int:
    def count(tx: Tx) -> int:
        row = tx.row("SELECT count(*) FROM system_notices")
        return row[0] if row else 0

    return await server.db.read(count)


async def believed(there: Work, here: Work) -> None:
    """Returns when `there` has received that `here` wants its events."""
    (loop,) = [each for each in there.inside.all_loops if each.name == relay.Relay.name]
    assert isinstance(loop, relay.Relay)
    async with asyncio.timeout(WITHIN_S):
        while loop._wanted_until < there.now:
            # Repeated, as a node does by itself: a notification is lost on a node that does not listen yet.
            here.db.notify(relay.WANTED, "here")
            await asyncio.sleep(0.05)


async def test_system_events_of_one_node_arrive_at_another(nodes: tuple[Work, Work]):
    here, there = nodes
    async with following(here, "system.function.>") as system:
        await believed(there, here)
        for name in "abc":
            await there.a_function(name)
        await here.a_function("d")
        assert sorted(data["id"] for data in await system.data(4)) == ["a", "b", "c", "d"]
        assert await system.rest() == []


async def test_large_events_cross_too_and_in_order(nodes: tuple[Work, Work]):
    here, there = nodes
    await there.a_function()
    await there.a_worker()
    async with following(here, "system.run.*.completed") as system:
        await believed(there, here)
        for number in range(5):
            await there.emit(data=number)
            job = await there.claim()
            await there.report(job, "completed", output=[number, "x" * 50_000])
        assert [data["output"][0] for data in await system.data(5)] == [0, 1, 2, 3, 4]


async def test_without_a_subscription_nothing_is_written(nodes: tuple[Work, Work]):
    here, there = nodes
    await here.a_function("a")
    await there.a_function("b")
    assert await rows(here) == 0
    async with following(here, "system.>"):
        await believed(there, here)
    there.move(relay.EXPIRES_MS + 1)
    await there.a_function("c")
    assert await rows(here) == 0


async def test_rows_are_removed_after_a_minute(nodes: tuple[Work, Work]):
    here, there = nodes
    async with following(here, "system.function.>") as system:
        await believed(there, here)
        await there.a_function("a")
        await system.next()
        assert await rows(here) == 1
        here.move(relay.KEPT_MS + 1)
        await here.loop(relay.Relay.name)
        assert await rows(here) == 0


async def test_a_listener_that_changes_nodes_can_look_back_on_what_it_may_have_missed(postgres_url: str):
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_server(Work, postgres_url))
        second = await stack.enter_async_context(open_server(Work, postgres_url, clock=first.clock))
        async with following(first, "system.function.>") as system:
            await believed(second, first)
            await second.a_function("a")
            await system.next()
        await second.a_function("b")
        async with asyncio.timeout(WITHIN_S):
            while await rows(first) < 2:  # noqa: ASYNC110 the other node writes it when it comes to it
                await asyncio.sleep(0.005)
        third = await stack.enter_async_context(open_server(Work, postgres_url, clock=first.clock))
        async with following(third, "system.function.>", replay=10) as system:
            assert [data["id"] for data in await system.data(2)] == ["a", "b"]
            assert await system.rest() == []
        async with following(third, "system.function.>") as system:
            assert await system.rest() == []
