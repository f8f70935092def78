"""Time: aware UTC datetimes in Python, integer milliseconds since 1970 in the database and in the engine."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from ironflow.base.errors import InvalidArgument

Millis = int
DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """A source of the time: the system clock in the server, a FixedClock in tests."""

    def now(self) -> Millis: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> Millis:
        return time.time_ns() // 1_000_000


class FixedClock:
    """A clock for tests: it stands still until it is moved."""

    def __init__(self, start: Millis = 1_767_225_600_000) -> None:
        self.at = start

    def now(self) -> Millis:
        return self.at

    def move(self, by_ms: int) -> None:
        self.at += by_ms


def to_datetime(at: Millis) -> datetime:
    # By position: an argument by name takes longer to pass than the sum to make.
    return _EPOCH + timedelta(0, 0, 0, at)


def to_millis(at: datetime) -> Millis:
    since = at - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000


def parse_time(text: str) -> Millis:
    """RFC 3339 text with any offset; a time without an offset is read as UTC. Raises InvalidArgument."""
    return to_millis(parse_datetime(text))


def parse_datetime(text: str) -> datetime:
    """As `parse_time`: in UTC, of whole milliseconds."""
    try:
        at = datetime.fromisoformat(text.replace("z", "Z"))
        if at.tzinfo is not UTC:
            # In UTC it has to be within the years 1 to 9999 too.
            at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(f"{text[:60]!r} is not a time. Write RFC 3339, such as 2026-01-31T12:00:00Z.") from None
    return at.replace(microsecond=at.microsecond // 1_000 * 1_000)
