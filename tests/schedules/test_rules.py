"""When schedules tick, as tables."""

from typing import Any

import pytest

from ironflow.base.time import parse_time, to_datetime
from ironflow.features.schedules import rules
from ironflow.features.schedules.contract import InvalidSchedule
from ironflow.features.schedules.rules import BackfillRow, ScheduleRow
from ironflow.features.ticks.rules import decide_tick

NOON = parse_time("2026-01-01T12:00:00Z")
MINUTE = 60_000


def a_schedule(**fields: Any) -> ScheduleRow:
    row = ScheduleRow(
        environment="default",
        id="nightly",
        version=1,
        function_id="report",
        input="null",
        cron="",
        timezone="",
        every_ms=0,
        at=None,
        jitter_ms=0,
        starts_at=None,
        ends_at=None,
        catch_up_ms=None,
        overlap="all",
        description="",
        status="active",
        next_at=None,
        due_at=None,
        last_at=None,
        last_run_id="",
        started=0,
        skipped=0,
        missed=0,
        created_at=NOON,
        updated_at=NOON,
    )
    return row._replace(**fields)


def first_ticks(schedule: ScheduleRow, count: int = 3, after: int = NOON) -> list[str]:
    found: list[str] = []
    tick = rules.tick_after(schedule, after)
    while tick is not None and len(found) < count:
        found.append(f"{to_datetime(tick):%d %H:%M:%S}")
        tick = rules.tick_after(schedule, tick)
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"cron": "30 9 * * *", "timezone": "Europe/Berlin"}, ["02 08:30:00", "03 08:30:00", "04 08:30:00"]),
        ({"every_ms": 20 * MINUTE}, ["01 12:20:00", "01 12:40:00", "01 13:00:00"]),
        ({"every_ms": 20 * MINUTE, "starts_at": NOON + 5 * MINUTE}, ["01 12:05:00", "01 12:25:00", "01 12:45:00"]),
        ({"every_ms": 20 * MINUTE, "starts_at": NOON - 5 * MINUTE}, ["01 12:15:00", "01 12:35:00", "01 12:55:00"]),
        ({"every_ms": 20 * MINUTE, "ends_at": NOON + 40 * MINUTE}, ["01 12:20:00", "01 12:40:00"]),
        ({"cron": "@hourly", "starts_at": NOON + 60 * MINUTE}, ["01 13:00:00", "01 14:00:00", "01 15:00:00"]),
        ({"at": NOON + 1}, ["01 12:00:00"]),
        ({"at": NOON}, []),
        ({"at": NOON + MINUTE, "ends_at": NOON + 1}, []),
    ],
)
def test_ticks(fields: dict[str, Any], expected: list[str]):
    assert first_ticks(a_schedule(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"id": "a b", "cron": "@daily"}, "no schedule id"),
        ({}, "none of them"),
        ({"cron": "@daily", "every_ms": 5_000}, "cron and every_ms"),
        ({"cron": "never"}, "fields"),
        ({"cron": "@daily", "timezone": "Berlin"}, "not a time zone"),
        ({"every_ms": 5_000, "timezone": "UTC"}, "there is no cron"),
        ({"every_ms": 999}, "the least"),
        ({"every_ms": 5_000, "jitter_ms": 5_001}, "longer than every_ms"),
        ({"every_ms": 5_000, "catch_up_ms": 9_999}, "the least"),
        ({"every_ms": 5_000, "overlap": "some"}, "overlap is"),
        ({"every_ms": 5_000, "starts_at": NOON, "ends_at": NOON}, "not later"),
        ({"every_ms": 5_000, "description": "x" * 1001}, "description"),
    ],
)
def test_what_is_no_schedule(fields: dict[str, Any], part: str):
    with pytest.raises(InvalidSchedule, match=part):
        rules.check_schedule(a_schedule(**fields))


def test_one_tick_makes_up_for_all_that_passed():
    schedule = rules.decide_next(a_schedule(every_ms=MINUTE), NOON)

    due = rules.decide_due(schedule, NOON + 10 * MINUTE)

    assert (due.ticks, due.missed, due.schedule.next_at) == ([NOON + MINUTE], 0, NOON + 11 * MINUTE)


def test_with_a_catch_up_window_each_tick_comes_that_is_not_older():
    schedule = rules.decide_next(a_schedule(every_ms=MINUTE, catch_up_ms=3 * MINUTE), NOON)

    due = rules.decide_due(schedule, NOON + 10 * MINUTE)

    assert due.ticks == [NOON + n * MINUTE for n in (7, 8, 9, 10)]
    assert (due.missed, due.schedule.next_at) == (6, NOON + 11 * MINUTE)


def test_a_schedule_without_a_further_tick_has_ended():
    schedule = rules.decide_next(a_schedule(at=NOON + 1), NOON)

    due = rules.decide_due(schedule, NOON + 1)

    assert (due.ticks, due.schedule.status, due.schedule.due_at) == ([NOON + 1], "ended", None)


def test_jitter_moves_each_tick_by_a_time_of_its_own_within_its_bound():
    schedule = a_schedule(every_ms=MINUTE, jitter_ms=MINUTE)
    moved = {rules.due_at(schedule, NOON + n * MINUTE) - (NOON + n * MINUTE) for n in range(200)}

    assert len(moved) > 150
    assert min(moved) >= 0
    assert max(moved) <= MINUTE
    assert rules.due_at(schedule, NOON) == rules.due_at(schedule, NOON)


def test_a_new_time_replaces_the_one_there_was():
    schedule = a_schedule(cron="@daily", timezone="Europe/Berlin", ends_at=NOON + 1)

    changed = rules.changed(schedule, {"every_ms": 5_000}, ["ends_at"])

    assert changed == a_schedule(every_ms=5_000)


@pytest.mark.parametrize(("fields", "cleared"), [({}, ["id"]), ({"ends_at": 1}, ["ends_at"])])
def test_what_cannot_be_cleared(fields: dict[str, Any], cleared: list[str]):
    with pytest.raises(InvalidSchedule):
        rules.changed(a_schedule(), fields, cleared)


def test_a_backfill_goes_through_the_ticks_of_its_range():
    schedule = a_schedule(every_ms=MINUTE)
    backfill = BackfillRow("default", "nightly", "fill_1", NOON, NOON + 150 * MINUTE, "all", 0, NOON)

    first, after = rules.decide_backfill(schedule, backfill)
    assert (len(first), after) == (100, backfill._replace(next_at=NOON + 100 * MINUTE, started=100))
    assert after is not None
    second, ended = rules.decide_backfill(schedule, after)
    assert (len(second), second[-1], ended) == (51, NOON + 150 * MINUTE, None)
    one, _ = rules.decide_backfill(schedule, backfill._replace(overlap="one"))
    assert one == [NOON]


@pytest.mark.parametrize(
    ("overlap", "running", "kept", "verdict"),
    [
        ("all", 5, False, "start"),
        ("skip", 0, False, "start"),
        ("skip", 1, False, "skip"),
        ("one", 0, False, "start"),
        ("one", 1, False, "keep"),
        ("one", 0, True, "keep"),
        ("cancel_running", 0, False, "start"),
        ("cancel_running", 1, False, "replace"),
    ],
)
def test_what_a_tick_does_while_runs_go_on(overlap: Any, running: int, kept: bool, verdict: str):
    assert decide_tick(overlap, running, kept=kept) == verdict
