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
from tests.support.server import open_server
from tests.support.work import Work

PERIOD_MS = 5_000


async def gathering(server: Work, **config: Any) -> None:
    """A function that gathers events for five seconds."""
    await server.a_function(debounce={"period_ms": PERIOD_MS, **config})
    await server.a_worker()


async def later(server: Work, by_ms: int) -> list[Any]:
    """Time passes; the data of all runs there are then, oldest first."""
    server.move(by_ms)
    await server.loop("debounces")
    return await data_of_runs(server)


async def data_of_runs(server: Work) -> list[Any]:
    return [msgspec.json.decode(run.input or b"null") for run in (await server.runs())[::-1]]


async def test_events_close_together_start_one_run_with_the_last_ones_data(server: Work):
    await gathering(server)
    answers: list[Emitted] = []
    for number in range(3):
        answers.append(await server.emit(data=number))
        assert await later(server, PERIOD_MS - 1) == []

    assert await later(server, 1) == [2]
    assert [answer.run_ids for answer in answers] == [[], [], []]
    assert (await server.claim()).event.id == answers[-1].event_id
    assert await later(server, 10 * PERIOD_MS) == [2]


async def test_an_event_after_the_pause_starts_a_run_of_its_own(server: Work):
    await gathering(server)
    await server.emit(data=1)
    await later(server, PERIOD_MS)
    await server.emit(data=2)

    assert await later(server, PERIOD_MS) == [1, 2]


async def test_with_a_max_wait_a_stream_of_events_does_not_put_the_run_off_for_ever(server: Work):
    await gathering(server, max_wait_ms=12_000)
    for number in range(6):
        await server.emit(data=number)
        await later(server, 2_000)

    assert await data_of_runs(server) == [5]


async def test_every_value_of_the_key_is_a_lane_and_missing_ones_share_theirs(server: Work):
    await gathering(server, key="event.data.user")
    for user, page in (("ada", 1), ("bob", 1), ("ada", 2), (None, 1)):
        await server.emit(data={"user": user, "page": page})
    await server.emit(data={"page": 9})

    found = await later(server, PERIOD_MS)
    assert sorted(map(str, found)) == sorted(
        map(str, [{"user": "ada", "page": 2}, {"user": "bob", "page": 1}, {"page": 9}])
    )


async def test_without_a_key_a_function_has_one_lane_for_each_environment(server: Work):
    await gathering(server)
    await server.a_function(debounce={"period_ms": PERIOD_MS}, env="staging")
    await server.emit(data=1)
    await server.emit(data=2, env="staging")

    assert await later(server, PERIOD_MS) == [1]
    assert (await server.call(runs.list_, env="staging")).total_count == 1


async def test_events_of_one_batch_are_gathered_together(server: Work):
    await gathering(server)
    await server.call(events.emit_batch, events=[{"event": "order.placed", "data": n} for n in range(3)])

    assert await later(server, PERIOD_MS) == [2]


async def test_gathered_events_are_listed_by_page_and_function(server: Work):
    await gathering(server, key="user")
    await server.a_function("bill", debounce={"period_ms": 60_000})
    first = await server.emit(data={"user": "ada"})
    server.move(1_000)
    last = await server.emit(data={"user": "ada"})

    found = await server.call(debounces.list_)
    assert found.count == 2
    (mine,) = (await server.call(debounces.list_, function_id="charge")).entries
    assert (mine.key, mine.event_id, mine.events) == ("ada", last.event_id, 2)
    assert (mine.first_at, mine.fire_at) == (to_datetime(server.now - 1_000), to_datetime(server.now + PERIOD_MS))
    assert first.event_id != last.event_id
    page = await server.call(debounces.list_, limit=1)
    rest = await server.call(debounces.list_, limit=1, cursor=page.next_cursor)
    assert [each.id for each in (*page.entries, *rest.entries)] == [each.id for each in found.entries]


async def test_a_cancelled_lane_starts_nothing_and_the_next_event_starts_afresh(server: Work):
    await gathering(server)
    await server.emit(data=1)
    (lane,) = (await server.call(debounces.list_)).entries

    with pytest.raises(DebounceNotFound):
        await server.call(debounces.cancel, id=lane.id, env="staging")
    await server.call(debounces.cancel, id=lane.id)
    assert await later(server, PERIOD_MS) == []
    with pytest.raises(DebounceNotFound):
        await server.call(debounces.cancel, id=lane.id)

    await server.emit(data=2)
    assert await later(server, PERIOD_MS) == [2]


async def test_a_repeated_event_with_the_same_key_puts_nothing_off(server: Work):
    await gathering(server)
    await server.emit(data=1, idempotency_key="k")
    await later(server, PERIOD_MS - 1)
    await server.emit(data=2, idempotency_key="k")

    assert await later(server, 1) == [1]


async def test_invoking_a_gathering_function_starts_it_at_once(server: Work):
    await gathering(server)
    await server.call(events.invoke, function_id="charge", data=1)

    assert await data_of_runs(server) == [1]


async def test_waiting_for_a_run_that_has_no_id_yet_is_refused(server: Work):
    await gathering(server)
    with pytest.raises(CannotWait):
        await server.call(events.emit_sync, event="order.placed")

    assert await later(server, PERIOD_MS) == []


async def test_gathered_events_of_a_function_that_was_paused_meanwhile_start_nothing(server: Work):
    await gathering(server)
    await server.emit(data=1)
    await server.call(functions.update_status, id="charge", status="paused")

    assert await later(server, PERIOD_MS) == []
    assert (await server.call(debounces.list_)).count == 0


async def test_lanes_outlive_a_restart_and_fire_once_when_the_server_is_back(database_url: str):
    async with open_server(Work, database_url) as server:
        await gathering(server)
        await server.emit(data=1)
        clock = server.clock
    clock.move(10 * PERIOD_MS)
    async with open_server(Work, database_url, clock=clock) as server:
        assert await later(server, 0) == [1]
        assert await later(server, 10 * PERIOD_MS) == [1]


async def test_the_loop_returns_when_the_next_lane_fires(server: Work):
    await gathering(server)
    await server.emit()

    (round_,) = await server.loop("debounces")
    assert (round_.done, round_.more, round_.next_at) == ({"fired": 0}, False, server.now + PERIOD_MS)


@pytest.mark.postgres
async def test_two_nodes_gather_into_one_lane_and_fire_it_once(postgres_url: str):
    async with open_server(Work, postgres_url) as one, open_server(Work, postgres_url) as two:
        await gathering(one)
        await asyncio.gather(*(server.emit(data=n) for n, server in enumerate((one, two) * 10)))
        for server in (one, two):
            server.move(PERIOD_MS)
        await asyncio.gather(one.loop("debounces"), two.loop("debounces"))

        assert len(await data_of_runs(one)) == 1


async def test_settings_that_mean_nothing_are_refused(server: Work):
    for config in ({"period_ms": 999}, {"period_ms": 5_000, "max_wait_ms": 4_999}):
        with pytest.raises(InvalidFunction):
            await server.a_function(debounce=config)
