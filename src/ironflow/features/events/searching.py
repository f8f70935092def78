"""Finding events by filters in a log of any size: a request looks at bounded pieces and returns where the next goes on.

A filter that few events match would make one statement read the whole log. So the log is scanned in pieces, and a page
may be short, or empty, and have a cursor all the same. Where times are asked for, only the positions are scanned at
which events of that time can be.
"""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.features.events import store
from ironflow.log.read import head
from ironflow.log.record import Record
from ironflow.log.scan import Filter, scan, scan_back
from ironflow.storage.port import Tx

PIECE = 20_000
PIECES_MAX = 10
# Servers' clocks differ, and an event may wait for the commit of one before it: times nearly follow positions.
SLACK_MS = 120_000


class Found(NamedTuple):
    """records: in the order of reading. looked_to: the last position that was looked at; more: there are others."""

    records: list[Record]
    looked_to: int
    more: bool


def search(tx: Tx, wanted: Filter, start: int, limit: int, *, newest_first: bool) -> Found:
    """Up to `limit` events before `start` going back, or after it going forward."""
    ranges = _ranges(tx, wanted)
    if newest_first:
        ranges = [(low, min(high, start - 1)) for low, high in reversed(ranges) if low < start]
    else:
        ranges = [(max(low, start + 1), high) for low, high in ranges if high > start]
    found: list[Record] = []
    looked_to, pieces = start, 0
    for low, high in ranges:
        while low <= high:
            if pieces == PIECES_MAX:
                return Found(found, looked_to, more=True)
            pieces += 1
            left = limit - len(found)
            page = (scan_back if newest_first else scan)(tx, wanted, low - 1, high, left + 1, PIECE)
            found += page.items[:left]
            if len(page.items) > left:
                return Found(found, found[-1].position, more=True)
            looked_to = page.reached
            low, high = (low, looked_to - 1) if newest_first else (looked_to + 1, high)
    end = (ranges[-1][0] if newest_first else ranges[-1][1]) if ranges else start
    return Found(found, end, more=False)


def _ranges(tx: Tx, wanted: Filter) -> list[tuple[int, int]]:
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

    The stretch from the first to the last imported event is passed over: it is scanned whatever the times.
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
