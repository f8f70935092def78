"""Reading the log by position and by id, and its head. Everything else is found by `log/scan.py`."""

from collections.abc import Sequence

from ironflow.log.record import Record
from ironflow.storage.port import Tx

COLUMNS = ", ".join(Record.__struct_fields__)
BY_IDS = f"SELECT {COLUMNS} FROM events WHERE id IN {{each:ids}}"
AFTER = f"SELECT {COLUMNS} FROM events WHERE position > :after ORDER BY position LIMIT :limit"
BY_POSITION = f"SELECT {COLUMNS} FROM events WHERE position IN {{each_number:positions}} ORDER BY position"
HEAD = "SELECT position FROM log_head WHERE name = 'log'"
HEAD_TO_LOCK = HEAD + " {for_update}"


def records(tx: Tx, ids: list[str]) -> dict[str, Record]:
    """The records with these ids, by id; missing ones are left out."""
    return {row[0]: Record(*row) for row in tx.rows(BY_IDS, {"ids": ids})}


def records_at(tx: Tx, positions: Sequence[int]) -> list[Record]:
    """The records at these positions, in order; removed ones are left out."""
    if not positions:
        return []
    return [Record(*row) for row in tx.rows(BY_POSITION, {"positions": list(positions)})]


def records_after(tx: Tx, after: int, limit: int) -> list[Record]:
    """The records that follow a position, whatever they are, in one statement."""
    return [Record(*row) for row in tx.rows(AFTER, {"after": after, "limit": limit})]


def head(tx: Tx) -> int:
    """The last position assigned, 0 when the log is empty."""
    row = tx.row(HEAD)
    return row[0] if row else 0


def lock_head_and_find(tx: Tx, event_id: str) -> tuple[int, Record | None]:
    """As `lock_head`, and the record with this id, in one round trip."""
    (head_row,), found = tx.batch([(HEAD_TO_LOCK, {}), (BY_IDS, {"ids": [event_id]})])
    return head_row[0], Record(*found[0]) if found else None


def lock_head(tx: Tx) -> int:
    """The last position assigned; no other is assigned until this transaction commits."""
    row = tx.row(HEAD_TO_LOCK)
    return row[0] if row else 0
