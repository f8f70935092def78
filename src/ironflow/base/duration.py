"""Durations as people write them: `500ms`, `30s`, `5m`, `2h`, `7d`, a timedelta, or a number.

Source: protocol/errors-and-defaults.md 4. No sign, no compound (`1h30m` is refused).
"""

import math
import re
from datetime import timedelta
from typing import Literal

from ironflow.base.errors import InvalidArgument

Duration = timedelta | int | float | str

_GRAMMAR = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
LONGEST_MS = 100 * 366 * _UNIT_MS["d"]


class InvalidDuration(InvalidArgument):
    """A duration is a number and a unit, such as `500ms`, `30s`, `5m`, `2h` or `7d`."""

    code = "INVALID_DURATION"


def duration_ms(value: Duration, number_unit: Literal["s", "ms"] = "s") -> int:
    """Milliseconds in `value`, rounded up.

    number_unit: what a bare number counts: seconds in our SDK, milliseconds on the wire.
    Raises InvalidDuration for anything negative, not finite, over a hundred years or unreadable.
    """
    if isinstance(value, timedelta):
        amount = value.total_seconds() * 1000
    elif isinstance(value, str):
        match = _GRAMMAR.fullmatch(value.strip())
        if match is None:
            raise InvalidDuration(f"{value!r} is not a duration. Write a number and a unit, such as 500ms, 30s or 7d.")
        amount = float(match[1]) * _UNIT_MS[match[2]]
    elif isinstance(value, bool):
        raise InvalidDuration(f"{value!r} is not a duration.")
    else:
        # Whole numbers far beyond the longest one would not even fit into a float.
        amount = max(-1, min(value, LONGEST_MS + 1)) * _UNIT_MS[number_unit]
    if not math.isfinite(amount) or amount < 0 or amount > LONGEST_MS:
        raise InvalidDuration(f"{value!r} is not a duration between 0 and a hundred years.")
    return math.ceil(round(amount, 6))


def duration_text(duration: int) -> str:
    """`duration` milliseconds for people: the largest unit that is whole, or seconds with a fraction."""
    for unit in ("d", "h", "m", "s"):
        if duration >= _UNIT_MS[unit] and duration % _UNIT_MS[unit] == 0:
            return f"{duration // _UNIT_MS[unit]}{unit}"
    return f"{duration / 1000:.3g}s" if duration >= 1000 else f"{duration}ms"
