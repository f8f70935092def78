"""Cron: five fields, or six with seconds first, in a time zone, true to local clocks."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from ironflow.base.cron import InvalidCron, check_cron, next_tick


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "tick"),
    [
        ("*/5 * * * *", "", "2026-03-01T00:02", "2026-03-01T00:05"),
        ("0 9 * * *", "", "2026-03-01T09:00", "2026-03-02T09:00"),
        ("0 9 * * *", "Europe/Berlin", "2026-03-01T00:00", "2026-03-01T08:00"),
        ("0 9 * * *", "America/New_York", "2026-07-01T00:00", "2026-07-01T13:00"),
        ("0 9 * * MON-FRI", "", "2026-03-06T10:00", "2026-03-09T09:00"),
        ("0 0 L * *", "", "2026-02-01T00:00", "2026-02-28T00:00"),
        ("0 0 29 2 *", "", "2026-03-01T00:00", "2028-02-29T00:00"),
        ("30 0 9 * * *", "", "2026-03-01T09:00:29", "2026-03-01T09:00:30"),
        ("*/10 * * * * *", "", "2026-03-01T00:00:01", "2026-03-01T00:00:10"),
        ("@hourly", "", "2026-03-01T00:30", "2026-03-01T01:00"),
        ("@daily", "", "2026-03-01T00:30", "2026-03-02T00:00"),
        ("@weekly", "", "2026-03-03T00:00", "2026-03-08T00:00"),
        ("@monthly", "", "2026-03-03T00:00", "2026-04-01T00:00"),
        ("@yearly", "", "2026-03-03T00:00", "2027-01-01T00:00"),
        (" 0 9 * * * ", "", "2026-03-01T00:00", "2026-03-01T09:00"),
    ],
)
def test_the_next_tick(cron: str, zone: str, after: str, tick: str) -> None:
    assert next_tick(cron, zone, at(after)) == at(tick)


def ticks(cron: str, zone: str, after: str, before: str) -> list[str]:
    """Days and times, in UTC, of all ticks between two moments."""
    found: list[str] = []
    moment = next_tick(cron, zone, at(after))
    while moment is not None and moment < at(before):
        found.append(moment.strftime("%d %H:%M"))
        moment = next_tick(cron, zone, moment)
    return found


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_that_clocks_repeat_fires_at_its_first_occurrence(cron: str) -> None:
    """02:30 happens twice in Berlin on 25 October 2026, at 00:30 and at 01:30 UTC."""
    assert ticks(cron, "Europe/Berlin", "2026-10-24T12:00", "2026-10-26T12:00") == ["25 00:30", "26 01:30"]
    assert next_tick(cron, "Europe/Berlin", at("2026-10-25T01:05")) == at("2026-10-26T01:30")


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_that_clocks_skip_fires_at_the_first_moment_after_the_gap(cron: str) -> None:
    """There is no 02:30 in Berlin on 29 March 2026; 03:00 there is 01:00 UTC."""
    assert ticks(cron, "Europe/Berlin", "2026-03-28T12:00", "2026-03-30T12:00") == ["29 01:00", "30 00:30"]


def test_a_day_that_begins_after_midnight_is_a_day() -> None:
    """In Santiago, 6 September 2026 begins at 01:00, which is 04:00 UTC."""
    for cron in ("0 0 1 6 9 *", "0 1 6 9 *", "0 0 6 9 *", "0 0 0 6 9 *"):
        assert next_tick(cron, "America/Santiago", at("2026-09-01T00:00")) == at("2026-09-06T04:00")


def test_a_schedule_with_a_star_follows_the_clock_through_its_changes() -> None:
    """As in Debian's cron: an hour that is skipped has no ticks, one that happens twice has them twice."""
    assert ticks("*/15 2 * * *", "Europe/Berlin", "2026-03-29T00:00", "2026-03-29T22:00") == []
    assert ticks("*/30 2 * * *", "Europe/Berlin", "2026-10-24T23:00", "2026-10-25T22:00") == [
        "25 00:00",
        "25 00:30",
        "25 01:00",
        "25 01:30",
    ]


def test_a_tick_every_quarter_of_an_hour_goes_on_through_the_hour_that_happens_twice() -> None:
    moment, found = at("2026-10-24T23:59"), []
    while len(found) < 20:
        moment = next_tick("*/15 * * * *", "Europe/Berlin", moment)
        assert moment is not None
        found.append(moment)

    assert {(later - earlier).total_seconds() for earlier, later in pairwise(found)} == {900}


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "*",
        "* * * *",
        "* * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 32 * *",
        "0 0 31 2 *",
        "* * * 13 *",
        "a b c d e",
        "*/0 * * * *",
        "5-1 * * * *",
        "@reboot",
        "@every 5m",
        "² * * * *",
        "0-999999999999 * * * *",
        "0," * 1000 + "0 * * * *",
    ],
)
def test_what_is_no_cron_expression_is_refused(cron: str) -> None:
    with pytest.raises(InvalidCron):
        check_cron(cron)


@pytest.mark.parametrize(
    "zone", ["Nowhere", "Europe", "../../etc/passwd", "/etc/localtime", "a\0b", "x" * 5000, "+01:00"]
)
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidCron, match="is not a time zone"):
        check_cron("* * * * *", zone)


def test_a_macro_is_kept_as_the_fields_it_stands_for() -> None:
    assert check_cron("@daily") == "0 0 * * *"
    assert check_cron(" */5 * * * * ") == "*/5 * * * *"


def test_at_the_end_of_the_calendar_there_is_no_next_tick() -> None:
    assert next_tick("* * * * *", "", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)) is None
