from datetime import UTC, datetime

import pytest

from ironflow.base.time import to_datetime
from ironflow.cli.exits import UsageError
from ironflow.cli.terminal.sizes import read_size, size_text
from ironflow.cli.terminal.times import read_moment, rough_text, since_text, span_text, time_text

NOW = 1_767_225_600_000
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [
        (0, "0 ms"),
        (0.6, "1 ms"),
        (120, "120 ms"),
        (SECOND, "1 s"),
        (1250, "1.25 s"),
        (59_999, "60 s"),
        (MINUTE, "1 min"),
        (200 * SECOND, "3 min 20 s"),
        (2 * HOUR + 5 * MINUTE, "2 h 5 min"),
        (7 * DAY, "7 d"),
        (7 * DAY + HOUR, "7 d 1 h"),
    ],
)
def test_a_span_is_written_in_the_unit_that_suits_it(span_ms, text):
    assert span_text(span_ms) == text


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [(0, "now"), (999, "now"), (12_400, "12 s"), (HOUR - 1, "59 min"), (5 * HOUR, "5 h"), (4 * DAY, "4 d")],
)
def test_a_rough_span_has_one_unit(span_ms, text):
    assert rough_text(span_ms) == text


def test_the_past_is_ago_and_the_future_is_in():
    assert since_text(to_datetime(NOW - 3 * MINUTE), NOW) == "3 min ago"
    assert since_text(to_datetime(NOW + 8 * SECOND), NOW) == "in 8 s"
    assert since_text(to_datetime(NOW), NOW) == "now"
    assert since_text(None, NOW) == ""


def test_a_time_is_shown_in_utc_to_the_millisecond():
    assert time_text(to_datetime(NOW + 42)) == "2026-01-01 00:00:00.042 UTC"


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("2h", to_datetime(NOW - 2 * HOUR)),
        ("30m", to_datetime(NOW - 30 * MINUTE)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_moment_is_an_age_or_a_time(given, moment):
    assert read_moment(given, NOW) == moment


@pytest.mark.parametrize("given", ["", "yesterday", "1h30m", "-5m", "2026-13-01"])
def test_an_invalid_moment_is_refused_with_its_text(given):
    with pytest.raises(UsageError, match="neither an age"):
        read_moment(given, NOW)


@pytest.mark.parametrize(
    ("given", "size"),
    [("0", 0), ("500", 500), ("64KiB", 65_536), ("1.5 MiB", 1_572_864), ("2gb", 2_000_000_000), ("7B", 7)],
)
def test_a_size_is_a_number_with_a_unit(given, size):
    assert read_size(given) == size


@pytest.mark.parametrize("given", ["", "big", "1 furlong", "-1", "1e9"])
def test_an_invalid_size_is_refused(given):
    with pytest.raises(UsageError, match="is not a size"):
        read_size(given)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1_572_864, "1.5 MiB"), (3 * 1024**3, "3 GiB")]
)
def test_a_size_is_written_in_the_largest_unit_it_fills(size, text):
    assert size_text(size) == text
