"""Reading the log by position and by id."""

from ironflow.log.record import Record
from ironflow.storage.port import Tx

COLUMNS = ", ".join(Record.__struct_fields__)
AFTER = f"SELECT {COLUMNS} FROM events WHERE position > :position ORDER BY position LIMIT :limit"
BY_IDS = f"SELECT {COLUMNS} FROM events WHERE id IN {{each:ids}}"
NAMED_AFTER = f"""SELECT {COLUMNS} FROM events WHERE environment = :environment AND name >= :first AND name <= :last
 AND position > :position AND kind IN ('event', 'entity') ORDER BY position LIMIT :limit"""
HEAD = "SELECT position FROM log_head WHERE name = 'log'"
HEAD_TO_LOCK = HEAD + " {for_update}"


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


def named_after(tx: Tx, environment: str, first: str, last: str, position: int, limit: int) -> list[Record]:
    """Users' events, those of entities included, after `position` with names from `first` to `last`, in order."""
    params = {"environment": environment, "first": first, "last": last, "position": position, "limit": limit}
    return [Record(*row) for row in tx.rows(NAMED_AFTER, params)]


def lock_head(tx: Tx) -> int:
    """The last position given; until this transaction commits nobody is given another."""
    row = tx.row(HEAD_TO_LOCK)
    return row[0] if row else 0
