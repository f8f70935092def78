"""What is decided of usage: what is counted next."""

from typing import NamedTuple

from ironflow.base.time import DAY_MS, Millis

# Events that are counted in one round.
CHUNK = 10_000
# How often all events are counted again, since retention and redaction remove some.
PASS_EVERY_MS = 3_600_000
# Days that are kept, today included.
DAYS_KEPT = 7


class Head(NamedTuple):
    """counted: the position up to which new events are in the totals.

    pass_cursor: the same of the count of all events that is under way. passed_at: when it ended last, 0 for never.
    """

    counted: int
    pass_cursor: int
    passed_at: Millis


class Chunk(NamedTuple):
    """Positions to count: after `after`, up to `until`. again: as part of the count of all events."""

    after: int
    until: int
    again: bool


class Usage(NamedTuple):
    """stored_bytes: of the data and metadata of events, and the values of KV buckets."""

    event_bytes_today: int = 0
    stored_bytes: int = 0


def day_of(at: Millis) -> int:
    """The day in UTC, counted from 1970."""
    return at // DAY_MS


def decide_chunk(head: Head, last: int, now: Millis) -> Chunk | None:
    """What is counted next: new events first. last: the last position of the log. None when there is nothing to do."""
    if head.counted < last:
        return Chunk(head.counted, min(last, head.counted + CHUNK), again=False)
    is_due = not head.passed_at or now - head.passed_at >= PASS_EVERY_MS
    if not is_due and not head.pass_cursor:
        return None
    return Chunk(head.pass_cursor, min(head.counted, head.pass_cursor + CHUNK), again=True)
