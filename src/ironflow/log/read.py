"""Reading the log by position and by id."""

from ironflow.log.record import Record
from ironflow.storage.port import Tx

COLUMNS = ", ".join(Record.__struct_fields__)
AFTER = f"SELECT {COLUMNS} FROM events WHERE position > :position ORDER BY position LIMIT :limit"
BY_IDS = f"SELECT {COLUMNS} FROM events WHERE id IN {{each:ids}}"
HEAD = "SELECT position FROM log_head WHERE name = 'log'"


def read_after(tx: Tx, position: int, limit: int) -> list[Record]:
    """Up to `limit` records after `position`, in order."""
    return [Record(*row) for row in tx.rows(AFTER, {"position": position, "limit": limit})]


def records(tx: Tx, ids: list[str]) -> dict[str, Record]:
    """The records with these ids, by id; missing ones are left out."""
    return {row[0]: Record(*row) for row in tx.rows(BY_IDS, {"ids": ids})}


def head(tx: Tx) -> int:
    """The last position given, 0 when the log is empty."""
    row = tx.row(HEAD)
    return row[0] if row else 0
