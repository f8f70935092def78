"""Runs of a priority queue as if they had come earlier, and no run starves."""

import pytest

from ironflow.features.functions.contract import InvalidFunction
from tests.support.work import Work

MINUTE_MS = 60_000
GOLD = "data.tier == 'gold' ? 10 : (data.tier == 'slow' ? -5 : 0)"


async def tiers(server: Work, count: int) -> list[str]:
    """The tiers of the next runs, in the order in which a worker gets them."""
    found: list[str] = []
    for _ in range(count):
        job = await server.claim()
        found.append(bytes(job.event.data).decode().split('"')[3])
        await server.report(job, "completed", output=1)
    return found


async def emit(server: Work, *given: str) -> None:
    for tier in given:
        await server.emit(data={"tier": tier})


async def test_each_point_counts_as_a_minute_of_waiting(server: Work):
    await server.a_function(priority=GOLD)
    await emit(server, "plain", "slow")
    server.move(4 * MINUTE_MS)
    await emit(server, "plain", "gold")
    await server.a_worker()

    assert await tiers(server, 4) == ["gold", "plain", "plain", "slow"]


async def test_slots_go_by_priority_too(server: Work):
    await server.a_function(priority=GOLD, concurrency={"limit": 1})
    await server.a_worker()
    await emit(server, "first", "slow")
    server.move(MINUTE_MS)
    await emit(server, "plain", "gold")
    await server.a_worker()

    assert await tiers(server, 4) == ["first", "gold", "plain", "slow"]


async def test_a_run_that_waits_long_enough_is_overtaken_no_more(server: Work):
    await server.a_function(priority=GOLD)
    await emit(server, "plain")
    server.move(10 * MINUTE_MS + 1)
    await emit(server, "gold")
    await server.a_worker()

    assert await tiers(server, 2) == ["plain", "gold"]


async def test_a_number_is_read_from_text_and_anything_else_is_none(server: Work):
    await server.a_function(priority="data.tier")
    await emit(server, "high", "7", "8")
    await server.a_worker()

    assert await tiers(server, 3) == ["8", "7", "high"]


async def test_an_expression_that_means_nothing_is_refused(server: Work):
    for source in ("data.tier ==", "data.items.all(x, x > 1)"):
        with pytest.raises(InvalidFunction):
            await server.a_function(priority=source)
