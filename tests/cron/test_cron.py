"""Cron: ticks of five and six fields, in a time zone, once each, and what becomes of those that were missed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import InvalidFunction
from tests.support.house import open_house
from tests.support.work import Work
from tests.support.yields import waits_for

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
# Where the clock of the tests begins.
START = datetime(2026, 1, 1, tzinfo=UTC)


async def a_schedule(house: Work, *crons: str | dict[str, str], **config: Any) -> None:
    """A function that these schedules start."""
    triggers = [{"cron": each} if isinstance(each, str) else each for each in crons]
    await house.a_function(triggers=triggers, **config)
    await house.a_worker()


async def next_run(house: Work) -> datetime | None:
    return (await house.call(functions.get, id="charge")).next_run


async def ticks(house: Work) -> list[datetime]:
    """When the runs that there are were scheduled for, oldest first."""
    await house.loop("cron")
    found = [msgspec.json.decode(run.input or b"null") for run in (await house.runs())[::-1]]
    return [datetime.fromisoformat(each["scheduledAt"]) for each in found]


async def test_a_tick_becomes_an_event_of_source_cron_and_a_run(house: Work):
    await a_schedule(house, "30 9 * * *")
    assert await next_run(house) == START + timedelta(hours=9, minutes=30)
    house.move(9 * HOUR_MS + 30 * MINUTE_MS - 1)
    assert await ticks(house) == []

    house.move(1)
    assert await ticks(house) == [START + timedelta(hours=9, minutes=30)]

    job = await house.claim()
    assert (job.event.name, job.event.source) == ("ironflow/cron", "cron")
    assert msgspec.json.decode(job.event.data) == {"cron": "30 9 * * *", "scheduledAt": "2026-01-01T09:30:00Z"}
    assert (await house.call(events.get, id=job.event.id)).name == "ironflow/cron"
    assert await next_run(house) == START + timedelta(days=1, hours=9, minutes=30)
    assert await ticks(house) == [START + timedelta(hours=9, minutes=30)]


async def test_six_fields_begin_with_seconds_and_macros_are_known(house: Work):
    await a_schedule(house, "*/30 * * * * *", "@hourly")
    for _ in range(4):
        house.move(30_000)
        await house.loop("cron")
    assert await ticks(house) == [START + timedelta(seconds=30 * n) for n in range(1, 5)]

    house.move(HOUR_MS - 120_000)
    assert (await ticks(house))[4:] == [START + timedelta(seconds=150), START + timedelta(hours=1)]


async def test_a_schedule_keeps_to_the_clock_of_its_time_zone(house: Work):
    """Nine in Berlin is eight UTC in winter and seven in summer."""
    await a_schedule(house, {"cron": "0 9 * * *", "timezone": "Europe/Berlin"})
    assert await next_run(house) == START + timedelta(hours=8)

    house.move(180 * DAY_MS)
    await house.loop("cron")

    assert (await next_run(house) or START).hour == 7


async def test_the_trigger_can_name_the_event_of_its_ticks(house: Work):
    await a_schedule(house, {"cron": "@daily", "event": "report.due"})
    await house.a_function("listen", on="report.due")
    house.move(DAY_MS)
    await house.loop("cron")

    # It starts this function alone, whoever else listens.
    assert [(run.function_id, run.event_name) for run in await house.runs()] == [("charge", "report.due")]


async def test_a_tick_satisfies_waits_like_any_event(house: Work):
    await house.a_function("wait", on="go")
    await a_schedule(house, {"cron": "@daily", "event": "report.due"})
    await house.a_worker(function_ids=["wait"])
    (run_id,) = (await house.emit("go")).run_ids
    await house.report(job := await house.claim(), "yielded", yielded=waits_for(job, "report.due"))
    house.move(DAY_MS)
    await house.loop("cron")
    await house.a_worker(function_ids=["wait"])

    assert (await house.claim()).run_id == run_id


async def test_missed_ticks_fire_once_when_the_server_is_back(database_url: str):
    async with open_house(Work, database_url) as house:
        await a_schedule(house, "0 * * * *")
        clock = house.clock
    clock.move(5 * HOUR_MS + 10 * MINUTE_MS)

    async with open_house(Work, database_url, clock=clock) as house:
        assert await ticks(house) == [START + timedelta(hours=1)]
        assert await next_run(house) == START + timedelta(hours=6)


async def test_a_missed_tick_survives_a_deployment_of_new_code_with_the_same_schedule(database_url: str):
    """The worker may register before the loop looks for the first time."""
    async with open_house(Work, database_url) as house:
        await a_schedule(house, "0 * * * *")
        clock = house.clock
    clock.move(HOUR_MS + MINUTE_MS)

    async with open_house(Work, database_url, clock=clock) as house:
        await a_schedule(house, "0 * * * *", "0 0 1 1 *", metadata={"__ironflow_code_hash": "new"})
        assert await ticks(house) == [START + timedelta(hours=1)]


async def test_a_schedule_that_is_changed_begins_anew(house: Work):
    await a_schedule(house, "0 * * * *")
    house.move(HOUR_MS)
    await a_schedule(house, "30 * * * *")

    assert await ticks(house) == []
    assert await next_run(house) == START + timedelta(hours=1, minutes=30)


async def test_a_function_that_is_paused_or_deleted_does_not_fire(house: Work):
    await a_schedule(house, "0 * * * *")
    await house.call(functions.update_status, id="charge", status="paused")
    assert await next_run(house) is None
    house.move(3 * HOUR_MS)
    assert await ticks(house) == []

    # What it missed while it was paused is not made up for.
    await house.call(functions.update_status, id="charge", status="active")
    assert await ticks(house) == []
    assert await next_run(house) == START + timedelta(hours=4)

    await house.call(functions.delete, id="charge")
    house.move(3 * HOUR_MS)
    assert await ticks(house) == []


async def test_a_clock_that_goes_back_fires_nothing_twice(house: Work):
    await a_schedule(house, "0 * * * *")
    house.move(HOUR_MS)
    first = await ticks(house)
    house.move(-HOUR_MS)
    assert await ticks(house) == first

    house.move(HOUR_MS + MINUTE_MS)
    assert await ticks(house) == first


async def test_cron_runs_obey_the_controls_of_their_function(house: Work):
    await a_schedule(house, "0 * * * *", concurrency={"limit": 1})
    for _ in range(3):
        house.move(HOUR_MS)
        await house.loop("cron")
        await house.a_worker()

    assert len(await house.poll(available=10)) == 1


async def test_the_loop_says_when_the_next_tick_comes(house: Work):
    await a_schedule(house, "0 * * * *")

    (round_,) = await house.loop("cron")
    assert (round_.ticked, round_.more, round_.next_at) == (0, False, house.now + HOUR_MS)


BAD = ["", "* * * *", "61 * * * *", "* * * * * * *", "every day", "@never", "0 9 * * * Mars/Base", "0 0 30 2 *"]


async def test_expressions_that_mean_nothing_are_refused(house: Work):
    for cron in BAD:
        with pytest.raises(InvalidFunction):
            await a_schedule(house, cron)
    with pytest.raises(InvalidFunction):
        await a_schedule(house, {"cron": "0 9 * * *", "timezone": "Mars/Base"})


@pytest.mark.postgres
async def test_two_nodes_fire_a_tick_once(postgres_url: str):
    async with open_house(Work, postgres_url) as one, open_house(Work, postgres_url) as two:
        await a_schedule(one, "0 * * * *")
        for hour in range(1, 4):
            for house in (one, two):
                house.move(HOUR_MS)
            await asyncio.gather(one.loop("cron"), two.loop("cron"))

            assert await ticks(two) == [START + timedelta(hours=n) for n in range(1, hour + 1)]
