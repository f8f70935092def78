"""Old events are removed from the beginning of the log, and nothing that something still needs."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ironflow.base.loop import Ran
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.events import contract as events
from ironflow.features.events import loops
from ironflow.features.events.loops import PurgeEvents
from ironflow.features.projections import contract as projections
from ironflow.features.streams import contract as streams
from ironflow.log.holds import Held
from tests.support.server import open_server
from tests.support.work import Work

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
async def short(database_url: str) -> AsyncIterator[Work]:
    """A server that keeps events for ten days."""
    async with open_server(Work, database_url, event_retention_days=10) as opened:
        yield opened


async def names(server: Work) -> list[str]:
    return [each.name for each in (await server.call(events.list_)).events]


async def purge(server: Work) -> list[Ran]:
    return await server.loop("events-purge")


def held(server: Work) -> Any:
    """The reader that the last round waited for."""
    (loop,) = [each for each in server.inside.all_loops if each.name == "events-purge"]
    assert isinstance(loop, PurgeEvents)
    return loop.held


async def test_without_the_setting_events_are_kept_for_ever(server: Work):
    await server.emit("a")
    server.move(4_000 * DAY_MS)
    assert await purge(server) == [Ran()]
    assert await names(server) == ["a"]


async def test_events_past_their_days_are_removed_and_positions_are_not_given_again(short: Work):
    await short.emit("a")
    short.move(6 * DAY_MS)
    await short.emit("b")
    short.move(5 * DAY_MS)

    assert [each.done["purged"] for each in await purge(short)] == [1]

    assert await names(short) == ["b"]
    short.move(6 * DAY_MS)
    await purge(short)
    fresh = await short.call(events.get, id=(await short.emit("c")).event_id)
    assert (await names(short), fresh.position) == (["c"], 3)


async def test_a_long_log_is_removed_in_small_transactions(short: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loops, "PURGE_BATCH", 4)
    for number in range(10):
        await short.emit(f"e.{number}")
    short.move(11 * DAY_MS)

    assert [each.done["purged"] for each in await purge(short)] == [4, 4, 2]


async def test_a_purge_that_was_cut_off_is_finished_by_the_next_server(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loops, "PURGE_BATCH", 4)
    async with open_server(Work, database_url, event_retention_days=10) as server:
        for number in range(10):
            await server.emit(f"e.{number}")
        server.move(11 * DAY_MS)
        now = server.now
        (loop,) = [each for each in server.inside.all_loops if each.name == "events-purge"]
        assert (await loop.run_once(now)).more

    async with open_server(Work, database_url, event_retention_days=10) as server:
        server.move(now - server.now)
        assert [each.done["purged"] for each in await purge(server)] == [4, 2]
        assert await names(server) == []


async def test_the_event_of_a_run_stays_as_long_as_the_run(database_url: str):
    async with open_server(Work, database_url, event_retention_days=10, run_retention_days=20) as server:
        await server.a_run()
        await server.emit("other")
        server.move(11 * DAY_MS)
        await purge(server)
        assert await names(server) == ["order.placed"]

        await server.report(await server.claim(), "completed", output=1)
        server.move(11 * DAY_MS)
        await purge(server)
        assert await names(server) == ["order.placed"]

        server.move(10 * DAY_MS)
        await server.loop("runs-purge")
        await purge(server)
        assert await names(server) == []


async def test_the_event_of_a_gathering_lane_stays(short: Work):
    await short.a_function(debounce={"period": 30 * DAY_MS})
    await short.emit()
    short.move(11 * DAY_MS)
    assert [each.done["purged"] for each in await purge(short)] == [0]


async def test_events_of_entities_stay(short: Work):
    await short.call(streams.append, entity_id="cart-1", entity_type="cart", event_name="made", data=1)
    await short.emit("free")
    short.move(11 * DAY_MS)

    await purge(short)

    assert await names(short) == ["made"]


async def test_a_follower_that_lags_is_waited_for_and_named(short: Work, caplog: pytest.LogCaptureFixture):
    slow: list[Held] = [Held("slow follower", 2)]
    purging = PurgeEvents(short.db, 10, [lambda _: None, lambda _: slow[0] if slow else None])
    for number in range(4):
        await short.emit(f"e.{number}")
    short.move(11 * DAY_MS)

    with caplog.at_level(logging.WARNING):
        first = await purging.run_once(short.now)
        await purging.run_once(short.now)

    assert first.done == {"purged": 2}
    assert purging.held == Held("slow follower", 2)
    assert await names(short) == ["e.3", "e.2"]
    logged = [each for each in caplog.records if each.message == "event retention waits for a reader of the log"]
    assert [each.__dict__["reader"] for each in logged] == ["slow follower"]
    slow.clear()
    await purging.run_once(short.now)
    assert await names(short) == []


async def test_an_imported_event_is_as_old_as_its_import(short: Work):
    await short.emit("a")
    short.move(5 * DAY_MS)
    old = {"id": "evt_old", "name": "old", "timestamp": "2001-01-01T00:00:00Z"}
    await short.call(events.import_, events=[old])
    short.move(6 * DAY_MS)

    await purge(short)

    assert await names(short) == ["old"]


async def test_what_a_projection_has_not_read_is_waited_for_by_its_next_event(short: Work):
    await short.call(projections.register, name="totals", events=["order.*"], mode="managed")
    for name in ("free", "order.placed", "free", "order.paid"):
        await short.emit(name)
    short.move(11 * DAY_MS)

    (found,) = await purge(short)

    assert (found.done, held(short)) == ({"purged": 1}, Held("projection totals", 1))
    assert await names(short) == ["order.paid", "free", "order.placed"]


async def test_a_projection_of_events_that_never_come_holds_nothing(short: Work):
    await short.call(projections.register, name="totals", events=["never.*"], mode="managed")
    await short.emit("free")
    short.move(11 * DAY_MS)

    assert await purge(short) == [Ran({"purged": 1})]
    assert held(short) is None


async def test_what_a_consumer_group_has_not_handed_out_is_waited_for(short: Work):
    await short.emit("before")
    await short.call(groups.create, name="billing", pattern="order.*")
    await short.emit("order.placed")
    short.move(11 * DAY_MS)

    (found,) = await purge(short)

    assert (found.done, held(short)) == ({"purged": 1}, Held("consumer group billing", 1))
    assert await names(short) == ["order.placed"]
