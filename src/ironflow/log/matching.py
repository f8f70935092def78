"""Reading the events whose names match patterns, without going through the whole log for them.

Exact names, and wildcards that stand for few names, are read by the index of names; other wildcards search forward by
position in stretches and say how far they have searched, so that nobody has to search the same stretch twice.
"""

from collections.abc import Sequence
from heapq import merge
from itertools import islice
from typing import NamedTuple

from ironflow.base.pattern import compiled, is_pattern, literal_prefix, matches
from ironflow.log.record import Record
from ironflow.storage.port import Tx

# Wildcards that mean more names than this are searched for by position.
NAMES_MAX = 32
# Positions in one statement of a search; and how many of those a call makes before it says how far it came.
STRETCH = 5_000
STRETCHES_MAX = 10
COUNT_MAX = 10_000
COLUMNS = ", ".join(Record.__struct_fields__)
# What was emitted or appended to an entity's stream. Inputs of invoked runs and messages of topics are no events.
_KINDS = "kind IN ('event', 'entity')"

BY_POSITION = f"SELECT {COLUMNS} FROM events WHERE position IN {{each_number:positions}} ORDER BY position"
OF_NAME = f"""SELECT position FROM events WHERE environment = :environment AND name = :name AND position > :position
 AND position <= :until AND {_KINDS} ORDER BY position LIMIT :limit"""
COUNT_OF_NAME = f"""SELECT count(*) FROM (SELECT 1 FROM events WHERE environment = :environment AND name = :name
 AND position > :position AND position <= :until AND {_KINDS} LIMIT :limit) AS counted"""
NEXT_NAME = "SELECT min(name) FROM events WHERE environment = :environment AND name > :name"
FIRST_NAME = "SELECT min(name) FROM events WHERE environment = :environment AND name >= :name"
# The inner limit makes both databases go by position, and bounds what one statement reads.
IN_STRETCH = f"""SELECT position, name FROM (
  SELECT position, environment, kind, name FROM events WHERE position > :position AND position <= :until
  ORDER BY position LIMIT :stretch) AS stretch
WHERE environment = :environment AND {_KINDS} ORDER BY position"""
END_OF_STRETCH = """SELECT max(position), count(*) FROM (
  SELECT position FROM events WHERE position > :position AND position <= :until
  ORDER BY position LIMIT :stretch) AS stretch"""


class Wanted(NamedTuple):
    """Events of an environment whose names match one of the patterns."""

    environment: str
    patterns: tuple[str, ...]

    def has(self, name: str) -> bool:
        return any(matches(each, name) for each in self.patterns)


class Found(NamedTuple):
    """positions: of matching events, in order. searched: up to there no other event matches."""

    positions: list[int]
    searched: int


class Counted(NamedTuple):
    """exact: whether `events` is the number of matching events, or only not less than it."""

    events: int
    exact: bool


def positions_after(tx: Tx, wanted: Wanted, position: int, until: int, limit: int) -> Found:
    """Up to `limit` matching events after `position` and up to `until`.

    until: not beyond the log's head as it was before this call, so that no statement sees more than another.
    A search by position may end before `until` with fewer than `limit`: go on from `searched`.
    """
    if position >= until:
        return Found([], until)
    names = names_meant(tx, wanted)
    if names is not None:
        return _by_names(tx, wanted, names, position, until, limit)
    return _by_search(tx, wanted, position, until, limit)


def records_at(tx: Tx, positions: Sequence[int]) -> list[Record]:
    """The records at these positions, in order; removed ones are left out."""
    if not positions:
        return []
    return [Record(*row) for row in tx.rows(BY_POSITION, {"positions": list(positions)})]


def count_between(tx: Tx, wanted: Wanted, position: int, until: int, count_max: int = COUNT_MAX) -> Counted:
    """How many matching events are after `position` and up to `until`.

    Exact as long as it takes no more than looking at `count_max` of them; beyond, what is left of the log counts whole.
    """
    names = names_meant(tx, wanted)
    asked = {"environment": wanted.environment, "position": position, "until": until, "limit": count_max}
    if names is not None:
        counts = [row[0] for name in names if (row := tx.row(COUNT_OF_NAME, {**asked, "name": name}))]
        if all(count < count_max for count in counts):
            return Counted(sum(counts), exact=True)
        return Counted(until - position, exact=False)
    count = 0
    while position < until and count < count_max:
        found = _by_search(tx, wanted, position, until, count_max)
        count += len(found.positions)
        position = found.searched
        if not found.positions:
            break
    return Counted(count + until - position, exact=position >= until)


def names_meant(tx: Tx, wanted: Wanted) -> list[str] | None:
    """The names that the patterns mean now, in order; None when they are too many to be read one by one."""
    names = {each for each in wanted.patterns if not is_pattern(each)}
    for pattern in wanted.patterns:
        if not is_pattern(pattern):
            continue
        prefix, fits = literal_prefix(pattern), compiled(pattern).fullmatch
        row = tx.row(FIRST_NAME, {"environment": wanted.environment, "name": prefix})
        for _ in range(NAMES_MAX):
            if row is None or row[0] is None or not row[0].startswith(prefix):
                break
            if fits(row[0]):
                names.add(row[0])
            row = tx.row(NEXT_NAME, {"environment": wanted.environment, "name": row[0]})
        else:
            return None
    return sorted(names) if len(names) <= NAMES_MAX else None


def _by_names(tx: Tx, wanted: Wanted, names: list[str], position: int, until: int, limit: int) -> Found:
    asked = {"environment": wanted.environment, "position": position, "until": until, "limit": limit}
    each = [[row[0] for row in tx.rows(OF_NAME, {**asked, "name": name})] for name in names]
    positions = list(islice(merge(*each), limit))
    return Found(positions, positions[-1] if len(positions) == limit else until)


def _by_search(tx: Tx, wanted: Wanted, position: int, until: int, limit: int) -> Found:
    positions: list[int] = []
    for _ in range(STRETCHES_MAX):
        asked = {"position": position, "until": until, "stretch": STRETCH}
        row = tx.row(END_OF_STRETCH, asked)
        end = row[0] if row and row[1] == STRETCH else until
        for place, name in tx.rows(IN_STRETCH, {**asked, "environment": wanted.environment}):
            if wanted.has(name):
                positions.append(place)
                if len(positions) == limit:
                    return Found(positions, place)
        position = end
        if position >= until or positions:
            break
    return Found(positions, position)
