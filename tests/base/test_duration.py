"""Durations as people write them. Source: protocol/errors-and-defaults.md 4."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.base.duration import LONGEST_MS, InvalidDuration, duration_ms, duration_text


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("500ms", 500),
        ("30s", 30_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("7d", 604_800_000),
        ("0s", 0),
        ("1.5s", 1_500),
        ("0.25h", 900_000),
        (" 5s ", 5_000),
        (timedelta(minutes=1, milliseconds=1), 60_001),
        (0, 0),
        (3, 3_000),
        (0.5, 500),
        # Never shorter than asked.
        ("0.1ms", 1),
        ("1.0005s", 1_001),
        (0.0001, 1),
        # What binary fractions make of 0.3 s is not 301 ms.
        ("0.3s", 300),
        (0.3, 300),
        ("1.1s", 1_100),
        ("36600d", LONGEST_MS),
    ],
)
def test_a_duration_in_milliseconds(written: Any, ms: int) -> None:
    assert duration_ms(written) == ms


@pytest.mark.parametrize(
    "written",
    [
        "",
        "5",
        "s",
        "1h30m",
        "-5s",
        "+5s",
        "5 s",
        "5S",
        "5sec",
        "5w",
        ".5s",
        "5.s",
        "1e3s",
        "nan",
        "infs",
        "٣s",
        "5s\n5s",
        "9" * 5000 + "s",
        "36601d",
        -1,
        -0.001,
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        -(10**400),
        True,
        False,
        timedelta(seconds=-1),
        timedelta.max,
    ],
    ids=lambda written: str(written)[:20],
)
def test_what_is_no_duration_is_refused(written: Any) -> None:
    with pytest.raises(InvalidDuration):
        duration_ms(written)


def test_a_bare_number_counts_seconds_in_our_sdk_and_milliseconds_on_the_wire() -> None:
    assert duration_ms(1500) == 1_500_000
    assert duration_ms(1500, number_unit="ms") == 1500


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0ms"),
        (999, "999ms"),
        (1_000, "1s"),
        (1_234, "1.23s"),
        (60_000, "1m"),
        (90_000, "90s"),
        (7_200_000, "2h"),
        (86_400_000, "1d"),
        (90_000_000, "25h"),
    ],
)
def test_a_duration_for_people(ms: int, text: str) -> None:
    assert duration_text(ms) == text


@given(st.integers(0, LONGEST_MS), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_whole_number_with_a_unit_is_exact(count: int, unit: str) -> None:
    each = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}[unit]
    if count * each > LONGEST_MS:
        with pytest.raises(InvalidDuration):
            duration_ms(f"{count}{unit}")
    else:
        assert duration_ms(f"{count}{unit}") == count * each
