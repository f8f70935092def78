"""Appending. Positions are given in the order of commits, without gaps.

The head of the log is one row; who takes positions from it holds that row until the commit. So a position is visible
only when all smaller ones are, on PostgreSQL too, and a follower may trust "everything after my cursor".
A transaction that fails gives its positions back. Take them as late in the transaction as you can.
"""

from collections.abc import Collection, Sequence

from msgspec.structs import asdict, replace

from ironflow.log.record import Record
from ironflow.storage.port import Tx

# So many different names of one append are told with its rings.
KEYS_MAX = 16
TAKE_POSITIONS = "UPDATE log_head SET position = position + :count WHERE name = 'log' RETURNING position"
INSERT = """INSERT INTO events
(position, id, environment, kind, name, data, metadata, version, source, namespace, idempotency_key, run_id,
 emitted_by, entity_type, entity_id, entity_version, imported_at,
 created_at)
VALUES (:position, :id, :environment, :kind, :name, :data, :metadata, :version, :source, :namespace, :idempotency_key,
 :run_id, :emitted_by, :entity_type, :entity_id, :entity_version, :imported_at, :created_at)"""


def append(tx: Tx, records: Sequence[Record]) -> list[Record]:
    """Appends in the order given; the records with their positions. Rings `log`, with keys that `key_of` makes."""
    if not records:
        return []
    row = tx.row(TAKE_POSITIONS, {"count": len(records)})
    if row is None:
        raise LookupError("the log has no head; the database was not migrated")
    first = row[0] - len(records) + 1
    placed = [replace(record, position=first + place) for place, record in enumerate(records)]
    tx.many(INSERT, [asdict(record) for record in placed])
    for key in _keys(placed):
        tx.ring("log", key)
    return placed


def key_of(record: Record) -> str:
    """What the ring for a record says of it: environment, kind and name, a line each."""
    return f"{record.environment}\n{record.kind}\n{record.name}"


def _keys(records: Sequence[Record]) -> Collection[str]:
    if len(records) == 1:
        return (key_of(records[0]),)
    keys = {key_of(record) for record in records}
    # Many keys cost more than somebody who looks in vain: the empty one means all.
    return keys if len(keys) <= KEYS_MAX else ("",)
