"""Times: RFC 3339 in, UTC and whole milliseconds inside."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.base.errors import InvalidArgument
from ironflow.base.time import FixedClock, SystemClock, parse_time, to_datetime, to_millis

NOON = 1_769_860_800_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31t12:00:00z", NOON),
        ("2026-01-31T13:00:00+01:00", NOON),
        ("2026-01-31T06:30:00-05:30", NOON),
        ("2026-01-31T12:00:00", NOON),
        ("2026-01-31T12:00:00.123Z", NOON + 123),
        ("2026-01-31T12:00:00.123456789Z", NOON + 123),
        ("2026-01-31T12:00:00.9999Z", NOON + 999),
        ("1969-12-31T23:59:59.999Z", -1),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_a_time_in_milliseconds(text: str, ms: int) -> None:
    assert parse_time(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "12",
        "2026-13-01T00:00:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T25:00:00Z",
        "2026-01-31T12:00:00+25:00",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "12026-01-31T12:00:00Z",
        "x" * 10_000,
    ],
)
def test_what_is_no_time_is_refused_in_a_short_sentence(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a time") as refused:
        parse_time(text)

    assert len(refused.value.message) < 200


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_milliseconds_survive_the_way_to_a_datetime_and_back(ms: int) -> None:
    at = to_datetime(ms)

    assert at.tzinfo is UTC
    assert to_millis(at) == ms
    assert parse_time(at.isoformat()) == ms


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_an_offset_names_the_same_moment(naive: datetime, minutes: int) -> None:
    at = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert parse_time(at.isoformat()) == to_millis(at.astimezone(UTC))


def test_the_clock_of_tests_stands_still_until_it_is_moved() -> None:
    clock = FixedClock(5)
    assert (clock.now(), clock.now()) == (5, 5)

    clock.move(10)

    assert clock.now() == 15


def test_the_systems_clock_is_in_milliseconds() -> None:
    assert abs(SystemClock().now() - to_millis(datetime.now(UTC))) < 10_000
