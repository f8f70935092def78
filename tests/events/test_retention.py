"""Old events are removed from the beginning of the log, and nothing that something still needs."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ironflow.features.consumer_groups import contract as groups
from ironflow.features.events import contract as events
from ironflow.features.events import loops
from ironflow.features.projections import contract as projections
from ironflow.features.streams import contract as streams
from ironflow.log.follower import Follower
from ironflow.log.holds import Held
from ironflow.log.record import Record
from ironflow.storage.port import Tx
from tests.support.house import open_house
from tests.support.work import Work

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
async def short(database_url: str) -> AsyncIterator[Work]:
    """A house that keeps events for ten days."""
    async with open_house(Work, database_url, event_retention_days=10) as opened:
        yield opened


async def names(house: Work) -> list[str]:
    return [each.name for each in (await house.call(events.list_)).events]


async def purge(house: Work) -> list[Any]:
    return await house.loop("events-purge")


async def test_without_the_setting_events_are_kept_for_ever(house: Work):
    await house.emit("a")
    house.move(4_000 * DAY_MS)
    assert [each.purged for each in await purge(house)] == [0]
    assert await names(house) == ["a"]


async def test_events_past_their_days_are_removed_and_positions_are_not_given_again(short: Work):
    await short.emit("a")
    short.move(6 * DAY_MS)
    await short.emit("b")
    short.move(5 * DAY_MS)

    assert [each.purged for each in await purge(short)] == [1]

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

    assert [each.purged for each in await purge(short)] == [4, 4, 2]


async def test_a_purge_that_was_cut_off_is_finished_by_the_next_server(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loops, "PURGE_BATCH", 4)
    async with open_house(Work, database_url, event_retention_days=10) as house:
        for number in range(10):
            await house.emit(f"e.{number}")
        house.move(11 * DAY_MS)
        now = house.now
        (loop,) = [each for each in house.inside.all_loops if each.name == "events-purge"]
        assert (await loop.run_once(now)).more

    async with open_house(Work, database_url, event_retention_days=10) as house:
        house.move(now - house.now)
        assert [each.purged for each in await purge(house)] == [4, 2]
        assert await names(house) == []


async def test_the_event_of_a_run_stays_as_long_as_the_run(database_url: str):
    async with open_house(Work, database_url, event_retention_days=10, run_retention_days=20) as house:
        await house.a_run()
        await house.emit("other")
        house.move(11 * DAY_MS)
        await purge(house)
        assert await names(house) == ["order.placed"]

        await house.report(await house.claim(), "completed", output=1)
        house.move(11 * DAY_MS)
        await purge(house)
        assert await names(house) == ["order.placed"]

        house.move(10 * DAY_MS)
        await house.loop("runs-purge")
        await purge(house)
        assert await names(house) == []


async def test_the_event_of_a_gathering_lane_stays(short: Work):
    await short.a_function(debounce={"period": 30 * DAY_MS})
    await short.emit()
    short.move(11 * DAY_MS)
    assert [each.purged for each in await purge(short)] == [0]


async def test_events_of_entities_stay(short: Work):
    await short.call(streams.append, entity_id="cart-1", entity_type="cart", event_name="made", data=1)
    await short.emit("free")
    short.move(11 * DAY_MS)

    await purge(short)

    assert await names(short) == ["made"]


async def test_a_reader_that_lags_is_waited_for_and_named(short: Work, caplog: pytest.LogCaptureFixture):
    read: list[str] = []

    def handle(tx: Tx, records: list[Record]) -> None:
        read.extend(record.name for record in records)

    slow = Follower(short.db, "slow-projection", handle, batch=2)
    for number in range(4):
        await short.emit(f"e.{number}")
    await slow.run_once(short.now)
    short.move(11 * DAY_MS)

    with caplog.at_level(logging.WARNING):
        rounds = await purge(short)
        await purge(short)

    assert (rounds[0].purged, rounds[0].held.reader) == (2, "slow-projection")
    assert await names(short) == ["e.3", "e.2"]
    said = [each for each in caplog.records if each.message == "event retention waits for a reader of the log"]
    assert [each.__dict__["reader"] for each in said] == ["slow-projection"]
    await slow.run_once(short.now)
    await purge(short)
    assert (read, await names(short)) == (["e.0", "e.1", "e.2", "e.3"], [])


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

    assert (found.purged, found.held) == (1, Held("projection totals", 1))
    assert await names(short) == ["order.paid", "free", "order.placed"]


async def test_a_projection_of_events_that_never_come_holds_nothing(short: Work):
    await short.call(projections.register, name="totals", events=["never.*"], mode="managed")
    await short.emit("free")
    short.move(11 * DAY_MS)

    assert [(each.purged, each.held) for each in await purge(short)] == [(1, None)]


async def test_what_a_consumer_group_has_not_handed_out_is_waited_for(short: Work):
    await short.emit("before")
    await short.call(groups.create, name="billing", pattern="order.*")
    await short.emit("order.placed")
    short.move(11 * DAY_MS)

    (found,) = await purge(short)

    assert (found.purged, found.held) == (1, Held("consumer group billing", 1))
    assert await names(short) == ["order.placed"]
