"""Schedules: created and changed by clients; their ticks start runs, once each, on several nodes too."""

import asyncio
import time
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ironflow import Context, function
from ironflow.base.run_keys import RunKeyHeld
from ironflow.features.audit import contract as audit
from ironflow.features.events import contract as events
from ironflow.features.events.contract import EventTooLarge
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import FunctionNotActive, FunctionNotFound
from ironflow.features.runs import contract as runs
from ironflow.features.schedules import contract
from ironflow.features.schedules.contract import InvalidSchedule, Schedule, ScheduleConflict, ScheduleExists
from ironflow.features.ticks import store as ticks
from ironflow.storage.port import Tx
from ironflow.testing import time_machine
from tests.support.server import open_server
from tests.support.work import Work

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
START = datetime(2026, 1, 1, tzinfo=UTC)


async def a_schedule(server: Work, schedule_id: str = "nightly", **fields: Any) -> Schedule:
    """A schedule of `charge`, which worker w1 runs; each hour unless `fields` say otherwise."""
    await server.a_function(on=None)
    await server.a_worker()
    times = {} if fields.keys() & {"cron", "every_ms", "at"} else {"cron": "@hourly"}
    return await server.call(contract.create, id=schedule_id, function_id="charge", **times, **fields)


async def get(server: Work) -> Schedule:
    return await server.call(contract.get, id="nightly")


async def loops(server: Work) -> None:
    for name in ("schedules", "schedule-backfills", "ticks"):
        await server.loop(name)


async def scheduled(server: Work) -> list[str]:
    """For when the runs that there are were scheduled, oldest first."""
    await loops(server)
    found: list[str] = []
    for run in reversed(await server.runs()):
        event = await server.call(events.get, id=run.event_id)
        found.append(msgspec.json.decode(event.metadata or b"{}")["scheduledAt"][11:16])
    return found


async def end(server: Work) -> None:
    """The only job that is ready runs and completes."""
    await server.report(await server.claim(), "completed", output=1)


async def test_a_tick_starts_a_run_with_the_schedules_input(server: Work):
    await a_schedule(server, input={"day": 1}, timezone="Europe/Berlin")
    server.move(HOUR_MS - 1)
    assert await scheduled(server) == []

    server.move(1)
    assert await scheduled(server) == ["01:00"]

    job = await server.claim()
    assert (job.event.name, job.event.source) == ("ironflow/schedule", "schedule")
    assert msgspec.json.decode(job.event.data) == {"day": 1}
    about = {"schedule": "nightly", "scheduledAt": "2026-01-01T01:00:00Z"}
    assert msgspec.json.decode(job.event.metadata or b"") == about
    schedule = await get(server)
    assert (schedule.started, schedule.last_run_id) == (1, job.run_id)
    assert (schedule.last_at, schedule.next_at) == (START + timedelta(hours=1), START + timedelta(hours=2))
    assert await scheduled(server) == ["01:00"]


async def test_an_interval_counts_from_its_start_and_a_moment_comes_once(server: Work):
    await a_schedule(server, every_ms=20 * MINUTE_MS, starts_at="2026-01-01T00:05:00Z", ends_at="2026-01-01T00:50:00Z")
    await a_schedule(server, "once", at="2026-01-01T00:30:00Z")
    for _ in range(12):
        server.move(5 * MINUTE_MS)
        await loops(server)

    assert await scheduled(server) == ["00:05", "00:25", "00:30", "00:45"]
    assert [each.status for each in (await server.call(contract.list_)).schedules] == ["ended", "ended"]


async def test_ticks_missed_while_no_server_ran_come_once_or_each_within_the_window(database_url: str):
    async with open_server(Work, database_url) as server:
        await a_schedule(server)
        await a_schedule(server, "each", catch_up_ms=2 * HOUR_MS)
        clock = server.clock
    clock.move(5 * HOUR_MS + 10 * MINUTE_MS)

    async with open_server(Work, database_url, clock=clock) as server:
        assert sorted(await scheduled(server)) == ["01:00", "04:00", "05:00"]
        each = await server.call(contract.get, id="each")
        assert (each.started, each.missed, each.next_at) == (2, 3, START + timedelta(hours=6))


async def test_skip_starts_no_run_while_one_goes_on(server: Work):
    await a_schedule(server, overlap="skip")
    for _ in range(3):
        server.move(HOUR_MS)
        await loops(server)
    assert await scheduled(server) == ["01:00"]

    await end(server)
    server.move(HOUR_MS)

    assert await scheduled(server) == ["01:00", "04:00"]
    schedule = await get(server)
    assert (schedule.started, schedule.skipped, len(schedule.running)) == (2, 2, 1)


async def test_one_tick_waits_for_the_run_that_goes_on(server: Work):
    await a_schedule(server, overlap="one")
    for _ in range(3):
        server.move(HOUR_MS)
        await loops(server)
    assert await scheduled(server) == ["01:00"]
    assert (await get(server)).kept_at == START + timedelta(hours=3)

    await end(server)

    assert await scheduled(server) == ["01:00", "03:00"]
    await end(server)
    assert await scheduled(server) == ["01:00", "03:00"]
    schedule = await get(server)
    assert (schedule.kept_at, schedule.running) == (None, [])


async def test_cancel_running_cancels_the_run_that_goes_on(server: Work):
    await a_schedule(server, overlap="cancel_running")
    server.move(HOUR_MS)
    await loops(server)
    await server.claim()
    server.move(HOUR_MS)

    assert await scheduled(server) == ["01:00", "02:00"]

    newer, older = await server.runs()
    assert (older.status, newer.status) == (runs.RunStatus.CANCELLED, runs.RunStatus.PENDING)
    assert older.cancellation_cause == "the schedule's next tick has come"


async def test_cancel_running_waits_until_the_run_is_undone_where_its_function_compensates(server: Work):
    await a_schedule(server, overlap="cancel_running")
    await server.a_function(on=None, compensate_on_cancel=True, compensation_timeout_ms=MINUTE_MS)
    server.move(HOUR_MS)
    await loops(server)
    await server.report(await server.claim(), "failed")
    server.move(HOUR_MS)

    assert await scheduled(server) == ["01:00"]
    (run,) = await server.runs()
    assert run.state == "cancelling"
    assert await scheduled(server) == ["01:00"]
    await server.report(await server.claim(), "failed")

    assert await scheduled(server) == ["01:00", "02:00"]
    newer, older = await server.runs()
    assert (older.status, newer.status) == (runs.RunStatus.CANCELLED, runs.RunStatus.PENDING)


async def test_without_an_overlap_each_tick_starts_a_run(server: Work):
    await a_schedule(server)
    for _ in range(3):
        server.move(HOUR_MS)
        await loops(server)

    assert await scheduled(server) == ["01:00", "02:00", "03:00"]


async def test_a_functions_own_cron_has_an_overlap_too(server: Work):
    """A body that takes longer than the time between two ticks has one tick waiting, and not one for each."""
    await server.a_function(triggers=[{"cron": "* * * * * *", "overlap": "one"}])
    await server.a_worker()
    for _ in range(13):
        server.move(1_000)
        await server.loop("cron")
        await server.loop("ticks")
    assert len(await server.runs()) == 1

    await end(server)
    await server.loop("ticks")

    assert len(await server.runs()) == 2


async def test_a_paused_schedule_starts_nothing_and_goes_on_with_the_next_tick(server: Work):
    await a_schedule(server, overlap="one")
    server.move(HOUR_MS)
    await loops(server)
    server.move(HOUR_MS)
    await loops(server)

    assert (await server.call(contract.pause, id="nightly")).kept_at is None
    await end(server)
    server.move(3 * HOUR_MS)
    assert await scheduled(server) == ["01:00"]
    assert (await server.call(contract.resume, id="nightly")).next_at == START + timedelta(hours=6)
    server.move(HOUR_MS)

    assert await scheduled(server) == ["01:00", "06:00"]


async def test_trigger_starts_a_run_now_whatever_runs(server: Work):
    await a_schedule(server, overlap="skip", paused=True)
    first = await server.call(contract.trigger, id="nightly")
    second = await server.call(contract.trigger, id="nightly")

    schedule = await get(server)
    assert sorted(schedule.running) == sorted([first.run_id, second.run_id])
    assert (schedule.status, schedule.started, schedule.last_run_id) == ("paused", 2, second.run_id)

    await server.call(functions.update_status, id="charge", status="paused")
    with pytest.raises(FunctionNotActive):
        await server.call(contract.trigger, id="nightly")


async def test_a_backfill_starts_the_runs_of_a_past_range(server: Work):
    await a_schedule(server)
    server.move(3 * MINUTE_MS)
    begun = await server.call(
        contract.backfill, id="nightly", since="2025-12-31T20:00:00Z", until="2025-12-31T23:00:00Z"
    )

    assert begun.next_at == datetime(2025, 12, 31, 21, tzinfo=UTC)
    assert await scheduled(server) == ["21:00", "22:00", "23:00"]
    assert (await get(server)).backfills == []


async def test_a_backfill_of_one_starts_each_run_when_the_one_before_has_ended(server: Work):
    await a_schedule(server)
    fields = {"since": "2025-12-31T20:30:00Z", "until": "2025-12-31T23:00:00Z", "overlap": "one"}
    await server.call(contract.backfill, id="nightly", **fields)
    for expected in (["21:00"], ["21:00", "22:00"], ["21:00", "22:00", "23:00"]):
        assert await scheduled(server) == expected
        assert await scheduled(server) == expected
        await end(server)

    assert (await get(server)).backfills == []


async def test_a_change_counts_versions_and_clears_fields(server: Work):
    created = await a_schedule(server, ends_at="2026-06-01T00:00:00Z", input=1)
    assert (created.version, created.next_at) == (1, START + timedelta(hours=1))

    changed = await server.call(
        contract.change, id="nightly", expected_version=1, every_ms=5 * MINUTE_MS, clear=["ends_at"], input=2
    )

    assert (changed.version, changed.cron, changed.every_ms, changed.ends_at) == (2, "", 5 * MINUTE_MS, None)
    assert (bytes(changed.input), changed.next_at) == (b"2", START + timedelta(minutes=5))
    with pytest.raises(ScheduleConflict) as refused:
        await server.call(contract.change, id="nightly", expected_version=1, description="later")
    assert refused.value.details == {"current_version": 2, "expected_version": 1}


async def test_a_change_of_the_input_keeps_a_tick_that_has_come(server: Work):
    await a_schedule(server)
    server.move(HOUR_MS)
    await server.call(contract.change, id="nightly", input={"late": True})

    assert await scheduled(server) == ["01:00"]


async def test_what_is_refused(server: Work):
    await a_schedule(server)
    with pytest.raises(ScheduleExists):
        await a_schedule(server)
    with pytest.raises(FunctionNotFound):
        await server.call(contract.create, id="other", function_id="absent", cron="@daily")
    with pytest.raises(InvalidSchedule, match="would never"):
        await server.call(contract.create, id="other", function_id="charge", at="2025-01-01T00:00:00Z")
    with pytest.raises(EventTooLarge):
        await a_schedule(server, "large", input="x" * 2_000_000)
    ranges = [("2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z"), ("2025-12-31T00:00:00Z", "2026-02-01T00:00:00Z")]
    for since, until in ranges:
        with pytest.raises(InvalidSchedule):
            await server.call(contract.backfill, id="nightly", since=since, until=until)
    with pytest.raises(contract.ScheduleNotFound):
        await server.call(contract.get, id="other")


async def test_a_tick_of_a_function_that_is_not_active_is_missed(server: Work):
    await a_schedule(server)
    await server.call(functions.update_status, id="charge", status="paused")
    server.move(HOUR_MS)
    await loops(server)

    schedule = await get(server)
    assert (schedule.started, schedule.missed, schedule.next_at) == (0, 1, START + timedelta(hours=2))


async def test_lists_have_pages_and_environments_are_apart(server: Work):
    for name in ("a", "b", "c"):
        await a_schedule(server, name)
    first = await server.call(contract.list_, limit=2)
    rest = await server.call(contract.list_, limit=2, cursor=first.next_cursor)

    assert [each.id for each in first.schedules + rest.schedules] == ["a", "b", "c"]
    assert (await server.call(contract.list_, env="other")).schedules == []
    assert (await server.call(contract.list_, function_id="absent")).schedules == []


async def test_a_deleted_schedule_starts_nothing(server: Work):
    await a_schedule(server, overlap="one")
    for _ in range(2):
        server.move(HOUR_MS)
        await loops(server)
    await server.call(contract.backfill, id="nightly", since="2025-12-30T00:00:00Z", until="2025-12-31T00:00:00Z")
    await server.call(contract.delete, id="nightly")
    await end(server)
    server.move(HOUR_MS)

    assert await scheduled(server) == ["01:00"]


async def test_what_was_done_is_in_the_audit_log(server: Work):
    await a_schedule(server)
    await server.call(contract.trigger, id="nightly")
    await server.call(contract.pause, id="nightly")
    await server.call(contract.delete, id="nightly")

    found = (await server.call(audit.list_)).events
    assert [each.event_type for each in found][:4] == [
        "schedule.deleted",
        "schedule.paused",
        "schedule.triggered",
        "schedule.created",
    ]


@pytest.mark.postgres
async def test_two_nodes_start_a_tick_once(postgres_url: str):
    async with open_server(Work, postgres_url) as one, open_server(Work, postgres_url) as two:
        await a_schedule(one, overlap="one")
        for hour in range(1, 4):
            for server in (one, two):
                server.move(HOUR_MS)
            await asyncio.gather(loops(one), loops(two))
            await asyncio.gather(loops(one), loops(two))

            assert await scheduled(two) == [f"{n:02}:00" for n in range(1, hour + 1)]
            await end(one)


@pytest.mark.postgres
async def test_a_kept_tick_waits_for_no_owner_while_it_holds_the_log(postgres_url: str):
    """Another node that starts a tick has its owner locked, and waits for the log: the two would deadlock."""
    async with open_server(Work, postgres_url) as server:
        for name in ("a", "b"):
            await a_schedule(server, name, overlap="one")
        for _ in range(2):
            server.move(HOUR_MS)
            await loops(server)
        for job in await server.poll(available=2):
            await server.report(job, "completed")

        def as_another_node(tx: Tx) -> None:
            ticks.lock(tx, "default", "schedule/b")
            blocked.set_result(None)
            while tx.row("SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))") is None:
                time.sleep(0.01)
            tx.rows("SELECT position FROM log_head FOR UPDATE NOWAIT")

        blocked: Future[None] = Future()
        other = asyncio.create_task(server.db.write(as_another_node))
        await asyncio.wrap_future(blocked)
        await asyncio.gather(other, server.loop("ticks"))

        assert sorted(await scheduled(server)) == ["01:00", "01:00", "02:00", "02:00"]


async def test_a_trigger_is_refused_while_a_run_has_its_key(server: Work):
    await a_schedule(server, input={"order": "o1"})
    await server.a_function(on=None, run_key="data.order")
    first = await server.call(contract.trigger, id="nightly")

    with pytest.raises(RunKeyHeld, match=first.run_id):
        await server.call(contract.trigger, id="nightly")
    assert (await get(server)).started == 1


async def test_the_ticks_of_a_schedule_are_those_to_come(server: Work):
    await a_schedule(server, paused=True)
    hours = [START + timedelta(hours=number) for number in (1, 2)]

    assert await server.call(contract.list_ticks, id="nightly", limit=2) == contract.Ticks(ticks=hours, more=True)


async def test_the_ticks_of_a_past_range_are_those_that_a_backfill_starts(server: Work):
    await a_schedule(server)
    server.move(6 * HOUR_MS)
    since, until = START + timedelta(hours=1), START + timedelta(hours=4)

    found = await server.call(contract.list_ticks, id="nightly", since=since, until=until)

    assert found == contract.Ticks(ticks=[START + timedelta(hours=number) for number in (2, 3, 4)], more=False)


async def test_one_moment_has_no_tick_after_it(server: Work):
    await a_schedule(server, at=START + timedelta(hours=1))

    found = await server.call(contract.list_ticks, id="nightly", since=START + timedelta(hours=1))

    assert found == contract.Ticks(ticks=[], more=False)


async def test_the_sdk_gives_the_input_as_it_was_given():
    @function("charge")
    async def charge(ctx: Context) -> None:
        """Nothing to do."""

    async with time_machine([charge]) as machine:
        schedules = machine.client.schedules
        made = await schedules.create("nightly", "charge", {"order": [1]}, cron="@hourly")

        assert made == await schedules.get("nightly") == await anext(schedules.list())
        assert made.input == {"order": [1]}
