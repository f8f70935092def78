"""Finding events by filters in a log of any size: a request looks at bounded pieces and says where the next goes on.

A filter that fits few events would make one statement read the whole log. So the log is read in pieces of positions,
and between pieces the next event with a wanted name is looked up in the index by name. A page may be
short, or empty, and have a cursor all the same.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ironflow.base.pattern import is_pattern, matches
from ironflow.base.time import Millis
from ironflow.features.events import store
from ironflow.features.events.store import Wanted
from ironflow.log.read import head
from ironflow.log.record import Record
from ironflow.storage.port import Tx

PIECE = 20_000
PIECES_MAX = 10
NAMES_MAX = 1_000
# Servers' clocks differ, and who came first waits for the commit of another: times nearly follow positions.
SLACK_MS = 120_000


class Found(NamedTuple):
    """records: in the order of reading. looked_to: the last position that was looked at; more: there are others."""

    records: list[Record]
    looked_to: int
    more: bool


def names_meant(tx: Tx, environment: str, wanted: list[str]) -> list[str] | None:
    """The names of recorded events that `wanted`, names and patterns, mean; None for any."""
    if not wanted:
        return None
    if not any(map(is_pattern, wanted)):
        return wanted
    known = store.distinct_names(tx, environment, NAMES_MAX)
    exact = [name for name in wanted if not is_pattern(name)]
    return [*exact, *(name for name in known if any(matches(each, name) for each in wanted))]


def search(tx: Tx, wanted: Wanted, start: int, limit: int, *, newest_first: bool) -> Found:
    """Up to `limit` events before `start` going back, or after it going forward."""
    ranges = _ranges(tx, wanted)
    if newest_first:
        ranges = [(low, min(high, start - 1)) for low, high in reversed(ranges) if low < start]
    else:
        ranges = [(max(low, start + 1), high) for low, high in ranges if high > start]
    found: list[Record] = []
    looked_to = start
    for place, (low, high) in enumerate(_pieces(tx, wanted, ranges, newest_first)):
        if place == PIECES_MAX:
            return Found(found, looked_to, more=True)
        left = limit - len(found)
        got = store.piece(tx, wanted, low, high, left + 1, newest_first=newest_first)
        found += got[:left]
        if len(got) > left:
            return Found(found, found[-1].position, more=True)
        looked_to = low if newest_first else high
    end = (ranges[-1][0] if newest_first else ranges[-1][1]) if ranges else start
    return Found(found, end, more=False)


def _pieces(tx: Tx, wanted: Wanted, ranges: list[tuple[int, int]], newest_first: bool) -> Iterator[tuple[int, int]]:
    """Pieces of the ranges in the order of reading; after each, what has no event with a wanted name is left out."""
    names = wanted.names
    first = True
    for low, high in ranges:
        while low <= high:
            at: int | None = high if newest_first else low
            if not first:
                if names is None:
                    names = store.distinct_names(tx, wanted.environment, NAMES_MAX)
                # More names than can be looked up: any piece may hold one of the others.
                if len(names) < NAMES_MAX:
                    at = store.nearest(tx, wanted.environment, names, at, newest_first=newest_first)
            first = False
            if at is None or not low <= at <= high:
                break
            if newest_first:
                yield max(low, at - PIECE + 1), at
                high = at - PIECE
            else:
                yield at, min(high, at + PIECE - 1)
                low = at + PIECE


def _ranges(tx: Tx, wanted: Wanted) -> list[tuple[int, int]]:
    """The positions at which wanted events can be, in order: by time, and wherever there are imported events."""
    last = head(tx)
    if not wanted.since and not wanted.until:
        return [(1, last)]
    imported = store.imported_range(tx)
    low = _first_emitted(tx, wanted.since - SLACK_MS, last, imported) if wanted.since else 1
    high = _first_emitted(tx, wanted.until + SLACK_MS, last, imported) - 1 if wanted.until else last
    ranges = [(low, high)] if low <= high else []
    if imported is None:
        return ranges
    if ranges and ranges[0][0] <= imported[1] + 1 and imported[0] <= ranges[0][1] + 1:
        return [(min(low, imported[0]), max(high, imported[1]))]
    return sorted([*ranges, imported])


def _first_emitted(tx: Tx, moment: Millis, last: int, imported: tuple[int, int] | None) -> int:
    """The first position at which an event was emitted at `moment` or later, about; one beyond the last for none.

    The stretch from the first to the last imported event is passed over: it is looked at whatever the times.
    """
    first_imported, last_imported = imported or (0, 0)
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        inside = first_imported <= middle <= last_imported
        at = store.time_from(tx, last_imported + 1 if inside else middle)
        if at is None or at >= moment:
            high = middle
        else:
            low = middle + 1
    return low
