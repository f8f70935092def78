"""Appending. Positions are given in the order of commits, without gaps.

The head of the log is one row; a transaction that takes positions from it locks that row until the commit. So a
position is visible only when all smaller ones are, on PostgreSQL too, and a follower may trust "everything after my
cursor". A transaction that fails returns its positions. Take them as late in the transaction as you can.
"""

from collections.abc import Collection, Sequence

from msgspec.structs import astuple, replace

from ironflow.log.record import Record
from ironflow.storage.port import Tx

# The topic of its notifications.
TOPIC = "log"
# More different names than this in one append are notified as the whole topic.
KEYS_MAX = 16
TAKE_POSITIONS = "UPDATE log_head SET position = position + :count WHERE name = 'log' RETURNING position"
INSERT = f"""INSERT INTO events ({", ".join(Record.__struct_fields__)})
VALUES ({", ".join(f":{name}" for name in Record.__struct_fields__)})"""


def append(tx: Tx, records: Sequence[Record]) -> list[Record]:
    """Appends in the order given; the records with their positions. Notifies `log`, with keys made by `key_of`."""
    if not records:
        return []
    row = tx.row(TAKE_POSITIONS, {"count": len(records)})
    if row is None:
        raise LookupError("the log has no head; the database was not migrated")
    first = row[0] - len(records) + 1
    placed = [replace(record, position=first + place) for place, record in enumerate(records)]
    tx.many(INSERT, [astuple(record) for record in placed])
    for key in _keys(placed):
        tx.notify(TOPIC, key)
    return placed


def key_of(record: Record) -> str:
    """The notification key of a record: environment, kind and name, a line each."""
    return f"{record.environment}\n{record.kind}\n{record.name}"


def place_of(key: str) -> tuple[str, str]:
    """Environment and name of a notification key that `key_of` made."""
    environment, _, name = key.split("\n", 2)
    return environment, name


def _keys(records: Sequence[Record]) -> Collection[str]:
    if len(records) == 1:
        return (key_of(records[0]),)
    keys = {key_of(record) for record in records}
    # Many keys cost more than a reader that looks in vain: the empty key means all.
    return keys if len(keys) <= KEYS_MAX else ("",)
