"""Which events a runner gets next, and how far a save moves the cursor; functions of a transaction."""

from typing import NamedTuple

from ironflow.base.json import Json, read_json, write_json_text
from ironflow.base.time import to_datetime
from ironflow.features.projections import rules, store
from ironflow.features.projections.contract import GLOBAL, ProjectionEvent
from ironflow.features.projections.rules import Feed, ProjectionRow
from ironflow.log.follower import Follower
from ironflow.log.read import head, records_at
from ironflow.log.record import Record
from ironflow.log.scan import Filter, scan_positions
from ironflow.storage.port import Tx

# Read at a time, so that large events do not fill the memory.
PIECE = 50
BYTES_MAX = 8 * 1024 * 1024
# Searches in one call; what is farther away is for the next call.
ROUNDS_MAX = 10
# How many events a save looks at, to see how far all of them are saved; few at first, for often the next is not.
ADVANCE_PIECES = (1, 7, 32, 64, 128, 256)


class Fed(NamedTuple):
    """An event and its partition."""

    record: Record
    partition: str


class Next(NamedTuple):
    """events: in order. searched: up to there nothing else is to be fed. until: where the search would end.

    gap_end: between the start and there the log has no event of the projection at all, saved or not.
    """

    events: list[Fed]
    searched: int
    until: int
    gap_end: int

    @property
    def more(self) -> bool:
        return self.searched < self.until


def filter_of(projection: ProjectionRow) -> Filter:
    """The events that a projection follows."""
    return Filter(projection.environment, names=projection.events)


def next_events(
    tx: Tx,
    projection: ProjectionRow,
    feed: Feed,
    after: int,
    limit: int,
    *,
    partition: str | None = None,
    bytes_max: int = BYTES_MAX,
) -> Next:
    """Up to `limit` events that are not saved yet, after position `after`; at least one where there is one.

    partition: only events of that one. bytes_max: of all their data; reached, the answer is shorter.
    """
    follower = Follower(filter_of(projection), after, until=feed.until)
    until = follower.find_end(tx)
    only = partition if feed.partition_key is None else feed.partition_key
    events, size = list[Fed](), 0
    first: int | None = None
    for _ in range(ROUNDS_MAX):
        found = follower.read_positions(tx, limit - len(events))
        first = found.items[0] if first is None and found.items else first
        for start in range(0, len(found.items), PIECE):
            piece = [Fed(each, partition_of(projection, each)) for each in
                     records_at(tx, found.items[start : start + PIECE])]  # fmt: skip
            for each in unsaved(tx, projection, feed, piece):
                if only is not None and each.partition != only:
                    continue
                size += len(each.record.data)
                if size > bytes_max and events:
                    return Next(events, events[-1].record.position, until, (first or after + 1) - 1)
                events.append(each)
        follower.advance(found.reached)
        if not follower.is_behind or len(events) >= limit:
            break
    reached = follower.position
    return Next(events, reached, until, reached if first is None else first - 1)


def partition_of(projection: ProjectionRow, record: Record) -> str:
    return rules.partition_of(projection.partition_key, record.data)


def unsaved(tx: Tx, projection: ProjectionRow, feed: Feed, events: list[Fed]) -> list[Fed]:
    """Those events that their partitions have not saved yet."""
    if not projection.partition_key:
        return events
    saved = store.positions(tx, feed.generation, {each.partition for each in events})
    return [each for each in events if each.record.position > saved.get(each.partition, 0)]


class Moved(NamedTuple):
    """Where a feed's cursor is. without_key: the events that it passed and that lack the partition key."""

    cursor: int
    without_key: int = 0


def cursor_after(tx: Tx, projection: ProjectionRow, feed: Feed, position: int) -> Moved:
    """The feed's cursor when an event at `position` was saved: below it, nothing of any partition is left to save.

    Where events have partitions, those between the cursor and `position` may wait for their own saves.
    """
    if not projection.partition_key or feed.partition_key is not None:
        return Moved(max(feed.cursor, position))
    wanted, cursor, until = filter_of(projection), feed.cursor, head(tx)
    without_key = 0
    for piece in ADVANCE_PIECES:
        found = scan_positions(tx, wanted, cursor, until, piece)
        events = [Fed(each, partition_of(projection, each)) for each in records_at(tx, found.items)]
        left = unsaved(tx, projection, feed, events)
        passed = events if not left else [each for each in events if each.record.position < left[0].record.position]
        without_key += sum(each.partition == GLOBAL for each in passed)
        cursor = max([cursor, *(each.record.position for each in passed)])
        if left or not events:
            break
    return Moved(cursor, without_key)


def event_message(fed: Fed) -> ProjectionEvent:
    record = fed.record
    return ProjectionEvent(
        id=record.id,
        name=record.name,
        data=Json(record.data.encode()),
        seq=record.position,
        timestamp=to_datetime(record.created_at),
        source=record.source,
        metadata=Json(metadata_with(record.metadata, fed.partition).encode()),
        version=record.version,
        entity_id=record.entity_id,
        entity_type=record.entity_type,
        entity_version=record.entity_version,
    )


def metadata_with(metadata: str | None, partition: str) -> str:
    """An event's metadata as JSON text with its partition as `__partition`."""
    own = f'"__partition":{write_json_text(partition)}'
    rest = (metadata or "").strip().removeprefix("{").lstrip()
    if rest in ("", "}", "null"):
        return f"{{{own}}}"
    if '"__partition"' in rest:
        return write_json_text({**read_json("{" + rest), "__partition": partition})
    return f"{{{own},{rest}"


def next_position(tx: Tx, projection: ProjectionRow, feed: Feed, last: int) -> int | None:
    """Where the next event is that the projection has not read; None when there is none up to `last`.

    Where a search by position ended before, the position that it came to: what follows may be wanted.
    """
    found = scan_positions(tx, filter_of(projection), feed.cursor, last, 1)
    if found.items:
        return found.items[0]
    return found.reached + 1 if found.reached < last else None
