"""Debounce: events that come close together start one run, with the last one's data."""

import asyncio
from typing import Any

import msgspec
import pytest

from ironflow.base.time import to_datetime
from ironflow.features.debounces import contract as debounces
from ironflow.features.debounces.contract import DebounceNotFound
from ironflow.features.events import contract as events
from ironflow.features.events.contract import CannotWait, Emitted
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.runs import contract as runs
from tests.support.house import open_house
from tests.support.work import Work

PERIOD_MS = 5_000


async def gathering(house: Work, **config: Any) -> None:
    """A function that gathers events for five seconds."""
    await house.a_function(debounce={"period_ms": PERIOD_MS, **config})
    await house.a_worker()


async def later(house: Work, by_ms: int) -> list[Any]:
    """Time passes; the data of all runs there are then, oldest first."""
    house.move(by_ms)
    await house.loop("debounces")
    return await data_of_runs(house)


async def data_of_runs(house: Work) -> list[Any]:
    return [msgspec.json.decode(run.input or b"null") for run in (await house.runs())[::-1]]


async def test_events_close_together_start_one_run_with_the_last_ones_data(house: Work):
    await gathering(house)
    answers: list[Emitted] = []
    for number in range(3):
        answers.append(await house.emit(data=number))
        assert await later(house, PERIOD_MS - 1) == []

    assert await later(house, 1) == [2]
    assert [answer.run_ids for answer in answers] == [[], [], []]
    assert (await house.claim()).event.id == answers[-1].event_id
    assert await later(house, 10 * PERIOD_MS) == [2]


async def test_an_event_after_the_pause_starts_a_run_of_its_own(house: Work):
    await gathering(house)
    await house.emit(data=1)
    await later(house, PERIOD_MS)
    await house.emit(data=2)

    assert await later(house, PERIOD_MS) == [1, 2]


async def test_with_a_max_wait_a_stream_of_events_does_not_put_the_run_off_for_ever(house: Work):
    await gathering(house, max_wait_ms=12_000)
    for number in range(6):
        await house.emit(data=number)
        await later(house, 2_000)

    assert await data_of_runs(house) == [5]


async def test_every_value_of_the_key_is_a_lane_and_missing_ones_share_theirs(house: Work):
    await gathering(house, key="event.data.user")
    for user, page in (("ada", 1), ("bob", 1), ("ada", 2), (None, 1)):
        await house.emit(data={"user": user, "page": page})
    await house.emit(data={"page": 9})

    found = await later(house, PERIOD_MS)
    assert sorted(map(str, found)) == sorted(
        map(str, [{"user": "ada", "page": 2}, {"user": "bob", "page": 1}, {"page": 9}])
    )


async def test_without_a_key_a_function_has_one_lane_for_each_environment(house: Work):
    await gathering(house)
    await house.a_function(debounce={"period_ms": PERIOD_MS}, env="staging")
    await house.emit(data=1)
    await house.emit(data=2, env="staging")

    assert await later(house, PERIOD_MS) == [1]
    assert (await house.call(runs.list_, env="staging")).total_count == 1


async def test_events_of_one_batch_are_gathered_together(house: Work):
    await gathering(house)
    await house.call(events.emit_batch, events=[{"event": "order.placed", "data": n} for n in range(3)])

    assert await later(house, PERIOD_MS) == [2]


async def test_gathered_events_are_listed_by_page_and_function(house: Work):
    await gathering(house, key="user")
    await house.a_function("bill", debounce={"period_ms": 60_000})
    first = await house.emit(data={"user": "ada"})
    house.move(1_000)
    last = await house.emit(data={"user": "ada"})

    found = await house.call(debounces.list_)
    assert found.count == 2
    (mine,) = (await house.call(debounces.list_, function_id="charge")).entries
    assert (mine.key, mine.event_id, mine.events) == ("ada", last.event_id, 2)
    assert (mine.first_at, mine.fire_at) == (to_datetime(house.now - 1_000), to_datetime(house.now + PERIOD_MS))
    assert first.event_id != last.event_id
    page = await house.call(debounces.list_, limit=1)
    rest = await house.call(debounces.list_, limit=1, cursor=page.next_cursor)
    assert [each.id for each in (*page.entries, *rest.entries)] == [each.id for each in found.entries]


async def test_a_cancelled_lane_starts_nothing_and_the_next_event_starts_afresh(house: Work):
    await gathering(house)
    await house.emit(data=1)
    (lane,) = (await house.call(debounces.list_)).entries

    with pytest.raises(DebounceNotFound):
        await house.call(debounces.cancel, id=lane.id, env="staging")
    await house.call(debounces.cancel, id=lane.id)
    assert await later(house, PERIOD_MS) == []
    with pytest.raises(DebounceNotFound):
        await house.call(debounces.cancel, id=lane.id)

    await house.emit(data=2)
    assert await later(house, PERIOD_MS) == [2]


async def test_a_repeated_event_with_the_same_key_puts_nothing_off(house: Work):
    await gathering(house)
    await house.emit(data=1, idempotency_key="k")
    await later(house, PERIOD_MS - 1)
    await house.emit(data=2, idempotency_key="k")

    assert await later(house, 1) == [1]


async def test_invoking_a_gathering_function_starts_it_at_once(house: Work):
    await gathering(house)
    await house.call(events.invoke, function_id="charge", data=1)

    assert await data_of_runs(house) == [1]


async def test_nobody_can_wait_for_a_run_that_has_no_id_yet(house: Work):
    await gathering(house)
    with pytest.raises(CannotWait):
        await house.call(events.emit_sync, event="order.placed")

    assert await later(house, PERIOD_MS) == []


async def test_gathered_events_of_a_function_that_was_paused_meanwhile_start_nothing(house: Work):
    await gathering(house)
    await house.emit(data=1)
    await house.call(functions.update_status, id="charge", status="paused")

    assert await later(house, PERIOD_MS) == []
    assert (await house.call(debounces.list_)).count == 0


async def test_lanes_outlive_a_restart_and_fire_once_when_the_server_is_back(database_url: str):
    async with open_house(Work, database_url) as house:
        await gathering(house)
        await house.emit(data=1)
        clock = house.clock
    clock.move(10 * PERIOD_MS)
    async with open_house(Work, database_url, clock=clock) as house:
        assert await later(house, 0) == [1]
        assert await later(house, 10 * PERIOD_MS) == [1]


async def test_the_loop_says_when_the_next_lane_fires(house: Work):
    await gathering(house)
    await house.emit()

    (round_,) = await house.loop("debounces")
    assert (round_.fired, round_.more, round_.next_at) == (0, False, house.now + PERIOD_MS)


@pytest.mark.postgres
async def test_two_nodes_gather_into_one_lane_and_fire_it_once(postgres_url: str):
    async with open_house(Work, postgres_url) as one, open_house(Work, postgres_url) as two:
        await gathering(one)
        await asyncio.gather(*(house.emit(data=n) for n, house in enumerate((one, two) * 10)))
        for house in (one, two):
            house.move(PERIOD_MS)
        await asyncio.gather(one.loop("debounces"), two.loop("debounces"))

        assert len(await data_of_runs(one)) == 1


async def test_settings_that_mean_nothing_are_refused(house: Work):
    for config in ({"period_ms": 999}, {"period_ms": 5_000, "max_wait_ms": 4_999}):
        with pytest.raises(InvalidFunction):
            await house.a_function(debounce=config)
