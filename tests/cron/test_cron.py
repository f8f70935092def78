"""Cron: ticks of five and six fields, in a time zone, once each, and what becomes of those that were missed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import InvalidFunction
from tests.support.server import open_server
from tests.support.work import Work
from tests.support.yields import waits_for

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
# Where the clock of the tests begins.
START = datetime(2026, 1, 1, tzinfo=UTC)


async def a_schedule(server: Work, *crons: str | dict[str, str], **config: Any) -> None:
    """A function that these schedules start."""
    triggers = [{"cron": each} if isinstance(each, str) else each for each in crons]
    await server.a_function(triggers=triggers, **config)
    await server.a_worker()


async def next_run(server: Work) -> datetime | None:
    return (await server.call(functions.get, id="charge")).next_run


async def ticks(server: Work) -> list[datetime]:
    """When the runs that there are were scheduled for, oldest first."""
    await server.loop("cron")
    found = [msgspec.json.decode(run.input or b"null") for run in (await server.runs())[::-1]]
    return [datetime.fromisoformat(each["scheduledAt"]) for each in found]


async def test_a_tick_becomes_an_event_of_source_cron_and_a_run(server: Work):
    await a_schedule(server, "30 9 * * *")
    assert await next_run(server) == START + timedelta(hours=9, minutes=30)
    server.move(9 * HOUR_MS + 30 * MINUTE_MS - 1)
    assert await ticks(server) == []

    server.move(1)
    assert await ticks(server) == [START + timedelta(hours=9, minutes=30)]

    job = await server.claim()
    assert (job.event.name, job.event.source) == ("ironflow/cron", "cron")
    assert msgspec.json.decode(job.event.data) == {"cron": "30 9 * * *", "scheduledAt": "2026-01-01T09:30:00Z"}
    assert (await server.call(events.get, id=job.event.id)).name == "ironflow/cron"
    assert await next_run(server) == START + timedelta(days=1, hours=9, minutes=30)
    assert await ticks(server) == [START + timedelta(hours=9, minutes=30)]


async def test_six_fields_begin_with_seconds_and_macros_are_known(server: Work):
    await a_schedule(server, "*/30 * * * * *", "@hourly")
    for _ in range(4):
        server.move(30_000)
        await server.loop("cron")
    assert await ticks(server) == [START + timedelta(seconds=30 * n) for n in range(1, 5)]

    server.move(HOUR_MS - 120_000)
    assert (await ticks(server))[4:] == [START + timedelta(seconds=150), START + timedelta(hours=1)]


async def test_a_schedule_keeps_to_the_clock_of_its_time_zone(server: Work):
    """Nine in Berlin is eight UTC in winter and seven in summer."""
    await a_schedule(server, {"cron": "0 9 * * *", "timezone": "Europe/Berlin"})
    assert await next_run(server) == START + timedelta(hours=8)

    server.move(180 * DAY_MS)
    await server.loop("cron")

    assert (await next_run(server) or START).hour == 7


async def test_the_trigger_can_name_the_event_of_its_ticks(server: Work):
    await a_schedule(server, {"cron": "@daily", "event": "report.due"})
    await server.a_function("listen", on="report.due")
    server.move(DAY_MS)
    await server.loop("cron")

    # It starts this function alone, although others have a trigger for the event.
    assert [(run.function_id, run.event_name) for run in await server.runs()] == [("charge", "report.due")]


async def test_a_tick_satisfies_waits_like_any_event(server: Work):
    await server.a_function("wait", on="go")
    await a_schedule(server, {"cron": "@daily", "event": "report.due"})
    await server.a_worker(function_ids=["wait"])
    (run_id,) = (await server.emit("go")).run_ids
    await server.report(job := await server.claim(), "yielded", yielded=waits_for(job, "report.due"))
    server.move(DAY_MS)
    await server.loop("cron")
    await server.a_worker(function_ids=["wait"])

    assert (await server.claim()).run_id == run_id


async def test_missed_ticks_fire_once_when_the_server_is_back(database_url: str):
    async with open_server(Work, database_url) as server:
        await a_schedule(server, "0 * * * *")
        clock = server.clock
    clock.move(5 * HOUR_MS + 10 * MINUTE_MS)

    async with open_server(Work, database_url, clock=clock) as server:
        assert await ticks(server) == [START + timedelta(hours=1)]
        assert await next_run(server) == START + timedelta(hours=6)


async def test_a_missed_tick_survives_a_deployment_of_new_code_with_the_same_schedule(database_url: str):
    """The worker may register before the loop looks for the first time."""
    async with open_server(Work, database_url) as server:
        await a_schedule(server, "0 * * * *")
        clock = server.clock
    clock.move(HOUR_MS + MINUTE_MS)

    async with open_server(Work, database_url, clock=clock) as server:
        await a_schedule(server, "0 * * * *", "0 0 1 1 *", metadata={"__ironflow_code_hash": "new"})
        assert await ticks(server) == [START + timedelta(hours=1)]


async def test_a_schedule_that_is_changed_begins_anew(server: Work):
    await a_schedule(server, "0 * * * *")
    server.move(HOUR_MS)
    await a_schedule(server, "30 * * * *")

    assert await ticks(server) == []
    assert await next_run(server) == START + timedelta(hours=1, minutes=30)


async def test_a_function_that_is_paused_or_deleted_does_not_fire(server: Work):
    await a_schedule(server, "0 * * * *")
    await server.call(functions.update_status, id="charge", status="paused")
    assert await next_run(server) is None
    server.move(3 * HOUR_MS)
    assert await ticks(server) == []

    # What it missed while it was paused is not made up for.
    await server.call(functions.update_status, id="charge", status="active")
    assert await ticks(server) == []
    assert await next_run(server) == START + timedelta(hours=4)

    await server.call(functions.delete, id="charge")
    server.move(3 * HOUR_MS)
    assert await ticks(server) == []


async def test_a_clock_that_goes_back_fires_nothing_twice(server: Work):
    await a_schedule(server, "0 * * * *")
    server.move(HOUR_MS)
    first = await ticks(server)
    server.move(-HOUR_MS)
    assert await ticks(server) == first

    server.move(HOUR_MS + MINUTE_MS)
    assert await ticks(server) == first


async def test_cron_runs_obey_the_controls_of_their_function(server: Work):
    await a_schedule(server, "0 * * * *", concurrency={"limit": 1})
    for _ in range(3):
        server.move(HOUR_MS)
        await server.loop("cron")
        await server.a_worker()

    assert len(await server.poll(available=10)) == 1


async def test_the_loop_returns_when_the_next_tick_is_due(server: Work):
    await a_schedule(server, "0 * * * *")

    (round_,) = await server.loop("cron")
    assert (round_.done, round_.more, round_.next_at) == ({"fired": 0, "late": 0}, False, server.now + HOUR_MS)


BAD = ["", "* * * *", "61 * * * *", "* * * * * * *", "every day", "@never", "0 9 * * * Mars/Base", "0 0 30 2 *"]


async def test_expressions_that_mean_nothing_are_refused(server: Work):
    for cron in BAD:
        with pytest.raises(InvalidFunction):
            await a_schedule(server, cron)
    with pytest.raises(InvalidFunction):
        await a_schedule(server, {"cron": "0 9 * * *", "timezone": "Mars/Base"})


@pytest.mark.postgres
async def test_two_nodes_fire_a_tick_once(postgres_url: str):
    async with open_server(Work, postgres_url) as one, open_server(Work, postgres_url) as two:
        await a_schedule(one, "0 * * * *")
        for hour in range(1, 4):
            for server in (one, two):
                server.move(HOUR_MS)
            await asyncio.gather(one.loop("cron"), two.loop("cron"))

            assert await ticks(two) == [START + timedelta(hours=n) for n in range(1, hour + 1)]


async def test_a_trigger_with_an_event_and_a_schedule_starts_a_run_for_each(server: Work):
    await a_schedule(server, {"event": "night.tick", "cron": "0 0 1 2 *"})

    emitted = await server.emit("night.tick", data={"by": "hand"})
    server.move(31 * DAY_MS)
    await server.loop("cron")
    await server.loop("cron")

    assert len(emitted.run_ids) == 1
    runs = await server.runs()
    assert [msgspec.json.decode(run.input or b"null") for run in runs[::-1]] == [
        {"by": "hand"},
        {"cron": "0 0 1 2 *", "scheduledAt": "2026-02-01T00:00:00Z"},
    ]
