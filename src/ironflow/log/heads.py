"""The head of each entity's stream: its type, its version, and how many events it has.

A head is a row. An append locks it until the commit, so versions are assigned one after another, and a transaction that
fails returns its versions. Heads are locked after idempotency keys and before everything else, in one order: no two
appends wait for each other.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import asdict

from ironflow.base.time import Millis
from ironflow.storage.port import Params, Tx

# (environment, entity id)
Stream = tuple[str, str]


class Head(msgspec.Struct, frozen=True):
    """version: of the last event, from 1; 0 for a stream that has none yet, which has no type either.

    event_count: as many as its version, unless it was deleted with its events; retention leaves streams alone.
    updated_at: of the last event. deleted_at: of its tombstone, after which there is no other event.
    """

    environment: str
    entity_id: str
    entity_type: str
    version: int
    event_count: int
    created_at: Millis
    updated_at: Millis
    deleted_at: Millis | None = None


COLUMNS = ", ".join(Head.__struct_fields__)
HEADS = f"""SELECT {COLUMNS} FROM streams
WHERE environment IN {{each:environments}} AND entity_id IN {{each:entity_ids}} ORDER BY environment, entity_id"""
HEADS_TO_WRITE = HEADS + " {for_update}"
# Two first appends to one stream on PostgreSQL: the second waits here for the first to commit.
BEGIN = """INSERT INTO streams (environment, entity_id, entity_type, version, event_count, created_at, updated_at)
VALUES (:environment, :entity_id, '', 0, 0, :now, :now) ON CONFLICT (environment, entity_id) DO NOTHING"""
# The type has an index, which is left alone after the first event.
SAVE_FIRST = """UPDATE streams SET entity_type = :entity_type, version = :version, event_count = :event_count,
 created_at = :created_at, updated_at = :updated_at, deleted_at = :deleted_at
WHERE environment = :environment AND entity_id = :entity_id"""
SAVE = """UPDATE streams SET version = :version, event_count = :event_count, updated_at = :updated_at,
 deleted_at = :deleted_at
WHERE environment = :environment AND entity_id = :entity_id"""
DELETE_EMPTY = "DELETE FROM streams WHERE environment = :environment AND entity_id = :entity_id AND version = 0"


def hold(tx: Tx, streams: Iterable[Stream], now: Millis) -> dict[Stream, Head]:
    """The heads of these streams, held until the commit. They must be saved: new ones have been inserted."""
    wanted = sorted(set(streams))
    if not wanted:
        return {}
    environments, entity_ids = (list(dict.fromkeys(column)) for column in zip(*wanted, strict=True))
    keys = {"environments": environments, "entity_ids": entity_ids}
    known = {(row[0], row[1]) for row in tx.rows(HEADS, keys)}
    new = [each for each in wanted if each not in known]
    if new:
        tx.many(BEGIN, [{"environment": each[0], "entity_id": each[1], "now": now} for each in new])
    return {(row[0], row[1]): Head(*row) for row in tx.rows(HEADS_TO_WRITE, keys)}


def locked(tx: Tx, stream: Stream) -> Head | None:
    """The head of a stream, held until the commit; None for a stream without events."""
    rows = tx.rows(HEADS_TO_WRITE, {"environments": [stream[0]], "entity_ids": [stream[1]]})
    return Head(*rows[0]) if rows else None


def save(tx: Tx, before: dict[Stream, Head], after: dict[Stream, Head]) -> None:
    """Writes the heads, held as `before`, that have moved; removes new ones that nothing was appended to."""
    first: list[Params] = []
    moved: list[Params] = []
    empty: list[Params] = []
    for stream, head in after.items():
        if not head.version:
            empty.append({"environment": stream[0], "entity_id": stream[1]})
        elif head is not before[stream]:
            rows = moved if before[stream].version else first
            rows.append(asdict(head))
    for statement, rows in ((SAVE_FIRST, first), (SAVE, moved), (DELETE_EMPTY, empty)):
        if rows:
            tx.many(statement, rows)
