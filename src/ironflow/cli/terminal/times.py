"""Times and durations as text: `3 min ago`, `in 8 s`, `120 ms`. `--json` prints RFC 3339."""

from contextlib import suppress
from datetime import datetime

from ironflow.base.duration import InvalidDuration, duration_ms
from ironflow.base.errors import InvalidArgument
from ironflow.base.time import Millis, parse_time, to_datetime, to_millis
from ironflow.cli.exits import UsageError

_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000
_PAIRS = ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min"), (_MINUTE, "min", _SECOND, "s"))


def span_text(span_ms: float) -> str:
    """A duration in one or two units: `0 ms`, `120 ms`, `1.25 s`, `3 min 20 s`, `2 h 5 min`, `7 d`."""
    if span_ms < _SECOND:
        return f"{round(span_ms)} ms"
    if span_ms < _MINUTE:
        return f"{span_ms / _SECOND:.2f}".rstrip("0").rstrip(".") + " s"
    big, name, small, small_name = next(pair for pair in _PAIRS if span_ms >= pair[0])
    whole, rest = divmod(int(span_ms), big)
    return f"{whole} {name}" + (f" {rest // small} {small_name}" if rest >= small else "")


def rough_text(span_ms: float) -> str:
    """A duration in one unit: `now`, `12 s`, `3 min`, `5 h`, `4 d`."""
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (_SECOND, "s")):
        if span_ms >= unit:
            return f"{int(span_ms // unit)} {name}"
    return "now"


def since_text(at: datetime | None, now: Millis) -> str:
    """`3 min ago` or `in 3 min`; nothing for None."""
    if at is None:
        return ""
    past_ms = now - to_millis(at)
    rough = rough_text(abs(past_ms))
    if rough == "now":
        return rough
    return f"{rough} ago" if past_ms > 0 else f"in {rough}"


def time_text(at: datetime | None) -> str:
    """`2026-01-31 12:00:03.120 UTC`; nothing for None."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC"


def moment_text(at: datetime | None, now: Millis) -> str:
    """`2026-01-31 12:00:03.120 UTC (3 min ago)`; nothing for None."""
    return "" if at is None else f"{time_text(at)} ({since_text(at, now)})"


def read_moment(given: str, now: Millis) -> datetime:
    """A time: RFC 3339, or a duration before `now` such as `30m` or `7d`. Raises UsageError."""
    with suppress(InvalidDuration):
        return to_datetime(now - duration_ms(given))
    try:
        return to_datetime(parse_time(given))
    except InvalidArgument:
        raise UsageError(f"{given!r} is neither an age such as 2h nor a time such as 2026-01-31T12:00:00Z.") from None
