"""The one way to look for records in the log: a filter, a stretch of positions, a page.

    page = scan(tx, Filter("default", names=("order.*",)), after=0, until=head(tx), limit=100)
    page = scan(tx, filter, after=page.reached, until=until, limit=100)    # until page.reached == until

A call is bounded however long the log is. Exact names are read by the index of names; everything else is read along
the log, `look` positions at a time, and where those hold nothing the scan goes on at the next record that can match.
So a page may hold fewer records than `limit`, even none, and more follow all the same as long as `reached` is not the
end. Records of an entity in order of their versions are read by another index, in `features/streams/store.py`.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from heapq import merge
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from ironflow.base.pattern import compiled, is_pattern, literal_prefix, matches
from ironflow.base.time import Millis
from ironflow.log.read import COLUMNS, records_at
from ironflow.log.record import EVERYWHERE, Header, Kind, Record
from ironflow.log.topics import TopicPattern
from ironflow.storage.port import Row, Tx

T = TypeVar("T")

# Positions that one call looks at where no index leads to the records.
LOOK = 5_000
# Names that are read one by one; more are searched for along the log.
NAMES_MAX = 32
# Looking up the next record of a name costs about as much as looking at this many positions.
POSITIONS_PER_NAME = 20
COUNT_MAX = 10_000
# Greater than every character that a name is likely to begin with.
LAST_NAME = "\U0010ffff"


class Filter(NamedTuple):
    """Which records. Empty fields mean any.

    names: exact names and patterns with wildcards; a record matches one of them. topic: a pattern of entities' topics.
    source, text, since, until: compared along the log alone. text is part of the data, or an id; since <= time < until.
    """

    environment: str
    kinds: tuple[Kind, ...] = ("event", "entity")
    names: tuple[str, ...] = ()
    topic: TopicPattern | None = None
    namespace: str = ""
    entity_type: str = ""
    entity_id: str = ""
    source: str = ""
    text: str = ""
    since: Millis = 0
    until: Millis = 0

    def matches(self, record: Record | Header) -> bool:
        """Whether a record of the filter's environment and kinds matches by its header."""
        return (
            (not self.namespace or record.namespace == self.namespace)
            and (not self.names or self.matches_name(record.name))
            and (not self.entity_type or record.entity_type == self.entity_type)
            and (not self.entity_id or record.entity_id == self.entity_id)
            and (self.topic is None or self.topic.fits(record))
        )

    def matches_name(self, name: str) -> bool:
        return any(matches(each, name) for each in self.names)


# Every record of every environment.
EVERYTHING = Filter("", kinds=())


class Page(NamedTuple, Generic[T]):
    """items: in the order of the scan. reached: the last position looked at; up to there nothing else matches."""

    items: list[T]
    reached: int


class Counted(NamedTuple):
    """exact: whether `records` is the number of matching records, or only not less than it."""

    records: int
    exact: bool


@lru_cache(maxsize=4096)
def topic_filter(environment: str, pattern: TopicPattern, namespace: str = "") -> Filter:
    """The records that a pattern of topics means. Topics are of every namespace."""
    if pattern.kind in EVERYWHERE:
        namespace = ""
    if pattern.kind != "entity":
        return Filter(environment, (pattern.kind,), (pattern.tokens,), namespace=namespace)
    tokens = pattern.tokens.split(".")
    of_type = tokens[0] if len(tokens) > 1 and not is_pattern(tokens[0]) else ""
    # An id may have dots in it: only a pattern of exactly type, id and the rest surely names it.
    of_id = tokens[1] if of_type and len(tokens) == 3 and not is_pattern(tokens[1]) and tokens[2] == ">" else ""
    return Filter(environment, ("entity",), (), pattern, namespace, of_type, of_id)


_HEADER = ", ".join(Header._fields)
_OF_NAME = """FROM events WHERE environment = :environment AND name = :name AND kind IN (:kind, :other_kind)
 AND position > :after AND position <= :up_to"""
_BOUNDS = "FROM events {by_position} WHERE position > :after AND position <= :up_to"
_ORDER = {False: "ORDER BY position LIMIT :limit", True: "ORDER BY position DESC LIMIT :limit"}

# By newest_first.
RECORDS_OF_NAME = [f"SELECT {COLUMNS} {_OF_NAME} {order}" for order in _ORDER.values()]
HEADERS_OF_NAME = [f"SELECT {_HEADER} {_OF_NAME} {order}" for order in _ORDER.values()]
POSITIONS_OF_NAME = [f"SELECT position {_OF_NAME} {order}" for order in _ORDER.values()]
COUNT_OF_NAME = f"SELECT count(*) FROM (SELECT 1 {_OF_NAME} LIMIT :limit) AS counted"
# One look into the index for each name; the outer limit ends the recursion.
NAMES = """WITH RECURSIVE found(name) AS (
  SELECT min(name) FROM events WHERE environment = :environment AND name >= :first
  UNION ALL
  SELECT (SELECT min(name) FROM events WHERE environment = :environment AND name > found.name)
  FROM found WHERE found.name IS NOT NULL AND found.name <= :last)
SELECT name FROM found WHERE name IS NOT NULL LIMIT :limit"""
# One look into the index for each name, in one statement.
NEXT_OF_NAMES = """SELECT min(nearest) FROM (SELECT (
 SELECT min(position) FROM events WHERE environment = :environment AND name = wanted.value
  AND position > :after AND position <= :up_to) AS nearest FROM {each:names} AS wanted) AS of_each"""
PREVIOUS_OF_NAMES = NEXT_OF_NAMES.replace("min(", "max(")
NEXT = "SELECT min(position) FROM events WHERE position > :after AND position <= :up_to"
PREVIOUS = "SELECT max(position) FROM events WHERE position > :after AND position <= :up_to"


Check = Callable[[Record | Header], bool]


class Plan(NamedTuple):
    """How a filter is read. names: the only names, which are read by their index; None to read along the log.

    by_name, along: parameters of the statements. records_along (forward and backward), positions_along: statements with
    only those conditions that the filter has.
    check_named, check_along: what is left to compare after the statement, None for nothing.
    """

    names: list[str] | None
    by_name: dict[str, Any]
    along: dict[str, Any]
    records_along: tuple[str, str]
    positions_along: str
    check_named: Check | None
    check_along: Check | None


@lru_cache(maxsize=1024)
def plan(wanted: Filter) -> Plan:
    """How the filter is read. Filters come again and again, so plans are kept."""
    kinds = wanted.kinds or ("",)
    by_name = {"environment": wanted.environment, "kind": kinds[0], "other_kind": kinds[-1]}
    has_wildcards = any(map(is_pattern, wanted.names))
    compares_payload = bool(wanted.source or wanted.text or wanted.since or wanted.until)
    few = 0 < len(wanted.names) <= NAMES_MAX and not has_wildcards and not compares_payload
    conditions = {
        "environment = :environment": bool(wanted.environment),
        "kind IN (:kind, :other_kind)": bool(wanted.kinds),
        "name >= :first AND name <= :last": bool(wanted.names),
        "namespace = :namespace": bool(wanted.namespace),
        "entity_type = :entity_type": bool(wanted.entity_type),
        "entity_id = :entity_id": bool(wanted.entity_id),
        "created_at >= :since": bool(wanted.since),
        "created_at < :until": bool(wanted.until),
        "source = :source": bool(wanted.source),
        "(data {ilike} :like OR id = :text)": bool(wanted.text),
    }
    along = {
        **by_name,
        **wanted._asdict(),
        "first": min(map(literal_prefix, wanted.names), default=""),
        "last": max(map(_last_of, wanted.names), default=LAST_NAME),
        "like": f"%{wanted.text}%",
    }
    where = " AND ".join([_BOUNDS, *(text for text, is_set in conditions.items() if is_set)])
    used = set(re.findall(r":(\w+)", where))
    is_checked = bool(wanted.topic or has_wildcards or len(wanted.names) > 1)
    is_narrow = bool(wanted.topic or wanted.namespace or wanted.entity_type or wanted.entity_id)
    return Plan(
        names=sorted(set(wanted.names)) if few else None,
        by_name=by_name,
        along={name: value for name, value in along.items() if name in used},
        records_along=(f"SELECT {COLUMNS} {where} {_ORDER[False]}", f"SELECT {COLUMNS} {where} {_ORDER[True]}"),
        positions_along=f"SELECT {_HEADER if is_checked else 'position'} {where} {_ORDER[False]}",
        check_named=wanted.matches if is_narrow else None,
        check_along=_check_along(wanted) if is_checked else None,
    )


def _check_along(wanted: Filter) -> Check:
    """Compares what statements along the log do not."""
    if wanted.topic is None and len(wanted.names) == 1:
        # Most filters are of one pattern: half the time of the general comparison.
        fits = compiled(wanted.names[0]).fullmatch
        return lambda record: fits(record.name) is not None
    return wanted.matches


def scan(tx: Tx, wanted: Filter, after: int, until: int, limit: int, look: int = LOOK) -> Page[Record]:
    """Up to `limit` matching records after `after` and up to `until`, in order.

    until: not beyond the head as it was read before this call, so that no statement sees more than another.
    """
    return _scan(tx, _records_along, _records_of, wanted, _Stretch(after, until, newest_first=False), limit, look)


def scan_back(tx: Tx, wanted: Filter, after: int, until: int, limit: int, look: int = LOOK) -> Page[Record]:
    """As `scan`, from `until` back, the newest first. Go on with `until=page.reached - 1`."""
    return _scan(tx, _records_along, _records_of, wanted, _Stretch(after, until, newest_first=True), limit, look)


def scan_positions(tx: Tx, wanted: Filter, after: int, until: int, limit: int, look: int = LOOK) -> Page[int]:
    """As `scan`, without the records: they are loaded in small pieces where they may be large."""
    return _scan(tx, _positions_along, _positions_of, wanted, _Stretch(after, until, newest_first=False), limit, look)


def count(tx: Tx, wanted: Filter, after: int, until: int, count_max: int = COUNT_MAX) -> Counted:
    """How many matching records are after `after` and up to `until`; of filters by names alone.

    Exact as long as it takes no more than looking at `count_max` of them; beyond, what is left of the log counts whole.
    """
    found = plan(wanted)
    names = found.names or names_of(tx, wanted, NAMES_MAX)
    if names is not None:
        params = {**found.by_name, "after": after, "up_to": until, "limit": count_max}
        counts = [row[0] for name in names if (row := tx.row(COUNT_OF_NAME, {**params, "name": name}))]
        if all(each < count_max for each in counts):
            return Counted(sum(counts), exact=True)
        return Counted(until - after, exact=False)
    counted = 0
    while after < until and counted < count_max:
        page = scan_positions(tx, wanted, after, until, count_max, look=10 * LOOK)
        counted += len(page.items)
        after = page.reached
        if not page.items:
            break
    return Counted(counted + until - after, exact=after >= until)


def count_up_to(tx: Tx, wanted: Filter, after: int, until: int, most: int) -> int:
    """How many records of the filter's exact names are after `after` and up to `until`, counted up to `most`."""
    params = {**plan(wanted).by_name, "after": after, "up_to": until, "limit": most}
    counts = (row[0] for name in wanted.names if (row := tx.row(COUNT_OF_NAME, {**params, "name": name})))
    return min(sum(counts), most)


def names_of(tx: Tx, wanted: Filter, most: int) -> list[str] | None:
    """The names in the filter's environment that match now, in order; None when more than `most` must be looked at."""
    exact = {each for each in wanted.names if not is_pattern(each)}
    found = set(exact)
    for pattern in [each for each in wanted.names if is_pattern(each)] if wanted.names else [">"]:
        prefix = literal_prefix(pattern)
        params = {"environment": wanted.environment, "first": prefix, "last": prefix + LAST_NAME, "limit": most + 1}
        names = [row[0] for row in tx.rows(NAMES, params)]
        if len(names) > most and names[most].startswith(prefix):
            return None
        found.update(each for each in names if matches(pattern, each))
    return sorted(found) if len(found) <= most else None


class _Stretch(NamedTuple):
    """Positions after `after` and up to `until`, read from one end or the other."""

    after: int
    until: int
    newest_first: bool

    @property
    def end(self) -> int:
        """The last position, in the order of reading."""
        return self.after + 1 if self.newest_first else max(self.after, self.until)

    def begin(self, size: int) -> "_Stretch":
        """The first `size` positions of it."""
        if self.newest_first:
            return self._replace(after=max(self.after, self.until - size))
        return self._replace(until=min(self.until, self.after + size))

    def beyond(self, reached: int) -> "_Stretch":
        """What is left of it after `reached` was looked at."""
        return self._replace(until=reached - 1) if self.newest_first else self._replace(after=reached)

    def params(self, limit: int = 1) -> dict[str, Any]:
        return {"after": self.after, "up_to": self.until, "limit": limit}


# Reads matching items along a stretch, or by these names.
Along = Callable[[Tx, Plan, _Stretch, int], Page[T]]
OfNames = Callable[[Tx, Plan, Sequence[str], _Stretch, int], Page[T]]


def _scan(
    tx: Tx, along: Along[T], of_names: OfNames[T], wanted: Filter, stretch: _Stretch, limit: int, look: int
) -> Page[T]:
    if stretch.after >= stretch.until:
        return Page([], stretch.end)
    found = plan(wanted)
    if found.names is not None:
        return of_names(tx, found, found.names, stretch, limit)
    page = along(tx, found, stretch.begin(look), limit)
    if page.items or page.reached == stretch.end:
        return page
    left = stretch.beyond(page.reached)
    names = names_of(tx, wanted, look // POSITIONS_PER_NAME) if wanted.environment else None
    compares_payload = wanted.source or wanted.text or wanted.since or wanted.until
    if wanted.names and names is not None and len(names) <= NAMES_MAX and not compares_payload:
        return of_names(tx, found, names, left, limit)
    nearest = _nearest(tx, wanted, names, left)
    if nearest is None:
        return Page([], stretch.end)
    return Page([], nearest + 1 if stretch.newest_first else nearest - 1)


def _records_along(tx: Tx, how: Plan, stretch: _Stretch, limit: int) -> Page[Record]:
    sql = how.records_along[stretch.newest_first]
    records = [Record(*row) for row in tx.rows(sql, {**how.along, **stretch.params(limit)})]
    reached = records[-1].position if len(records) == limit else stretch.end
    return Page(_checked(records, how.check_along), reached)


def _positions_along(tx: Tx, how: Plan, stretch: _Stretch, limit: int) -> Page[int]:
    rows = tx.rows(how.positions_along, {**how.along, **stretch.params(limit)})
    reached = rows[-1][0] if len(rows) == limit else stretch.end
    if how.check_along is not None:
        rows = [row for row in rows if how.check_along(Header(*row))]
    return Page([row[0] for row in rows], reached)


def _records_of(tx: Tx, how: Plan, names: Sequence[str], stretch: _Stretch, limit: int) -> Page[Record]:
    if len(names) == 1:
        params = {**how.by_name, **stretch.params(limit), "name": names[0]}
        records = [Record(*row) for row in tx.rows(RECORDS_OF_NAME[stretch.newest_first], params)]
        reached = records[-1].position if len(records) == limit else stretch.end
        return Page(_checked(records, how.check_named), reached)
    page = _positions_of(tx, how, names, stretch, limit)
    records = records_at(tx, page.items)
    return Page(records[::-1] if stretch.newest_first else records, page.reached)


def _positions_of(tx: Tx, how: Plan, names: Sequence[str], stretch: _Stretch, limit: int) -> Page[int]:
    params = {**how.by_name, **stretch.params(limit)}
    sql = (POSITIONS_OF_NAME if how.check_named is None else HEADERS_OF_NAME)[stretch.newest_first]
    of_each = [tx.rows(sql, {**params, "name": name}) for name in names]
    if len(of_each) == 1:
        (rows,) = of_each
    else:
        rows = list(islice(merge(*of_each, key=_position, reverse=stretch.newest_first), limit))
    reached = rows[-1][0] if len(rows) == limit else stretch.end
    if how.check_named is not None:
        rows = [row for row in rows if how.check_named(Header(*row))]
    return Page([row[0] for row in rows], reached)


def _checked(records: list[Record], check: Check | None) -> list[Record]:
    return records if check is None else [each for each in records if check(each)]


def _position(row: Row) -> int:
    return row[0]


def _nearest(tx: Tx, wanted: Filter, names: Sequence[str] | None, stretch: _Stretch) -> int | None:
    """The first position that can hold a match; where the names are not known, that holds a record at all."""
    if names is None:
        row = tx.row(PREVIOUS if stretch.newest_first else NEXT, stretch.params())
        return row[0] if row else None
    params = {"environment": wanted.environment, "names": list(names), **stretch.params()}
    row = tx.row(PREVIOUS_OF_NAMES if stretch.newest_first else NEXT_OF_NAMES, params)
    return row[0] if row else None


def _last_of(pattern: str) -> str:
    return literal_prefix(pattern) + LAST_NAME if is_pattern(pattern) else pattern
