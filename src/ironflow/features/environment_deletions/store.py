"""What is remembered of deletions, and the statements that empty tables."""

from ironflow.features.environment_deletions.rules import Child, DeletionRow
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(DeletionRow._fields)
_VALUES = ", ".join(f":{name}" for name in DeletionRow._fields)
INSERT = f"INSERT INTO environment_deletions ({_COLUMNS}) VALUES ({_VALUES})"
ONE = f"SELECT {_COLUMNS} FROM environment_deletions WHERE id = :id"
AFTER = f"SELECT {_COLUMNS} FROM environment_deletions WHERE id > :cursor ORDER BY id LIMIT :limit"
NEXT = f"""SELECT {_COLUMNS} FROM environment_deletions WHERE status = 'deleting' ORDER BY id LIMIT 1
{{skip_locked}}"""
ANY = "SELECT 1 FROM environment_deletions WHERE status = 'deleting' LIMIT 1"
SAVE = """UPDATE environment_deletions SET status = :status, at_table = :at_table, rows_removed = :rows_removed,
rows_of_pass = :rows_of_pass, updated_at = :updated_at, ended_at = :ended_at WHERE id = :id"""
ROWS_TAKEN = "SELECT 1 FROM environment_deletions WHERE rows_as = :rows_as"


def add(tx: Tx, deletion: DeletionRow) -> None:
    tx.run(INSERT, deletion._asdict())


def deletion(tx: Tx, environment_id: str) -> DeletionRow | None:
    row = tx.row(ONE, {"id": environment_id})
    return DeletionRow(*row) if row else None


def deletions_after(tx: Tx, cursor: str, limit: int) -> list[DeletionRow]:
    """By id, after `cursor`."""
    return [DeletionRow(*row) for row in tx.rows(AFTER, {"cursor": cursor, "limit": limit})]


def any_under_way(tx: Tx) -> bool:
    return tx.row(ANY) is not None


def next_deletion(tx: Tx) -> DeletionRow | None:
    """The oldest that is under way and that no other node works on now."""
    row = tx.row(NEXT)
    return DeletionRow(*row) if row else None


def save(tx: Tx, deletion: DeletionRow) -> None:
    tx.run(SAVE, deletion._asdict())


def is_taken(tx: Tx, rows_as: str) -> bool:
    """Whether rows of a deleted environment carried this."""
    return tx.row(ROWS_TAKEN, {"rows_as": rows_as}) is not None


def delete_rows(tx: Tx, table: str, rows_as: str, limit: int) -> int:
    """table: one of `rules.TABLES`, which is no input."""
    some = f"{{in_rows}} FROM {table} WHERE environment = :rows_as LIMIT :limit{{end_rows}}"
    sql = f"DELETE FROM {table} WHERE {some}"
    return tx.run(sql, {"rows_as": rows_as, "limit": limit})


def parents(tx: Tx, table: str, column: str, rows_as: str, limit: int) -> list[str]:
    """Values of the column that children refer to."""
    sql = f"SELECT {column} FROM {table} WHERE environment = :rows_as LIMIT :limit"
    return [row[0] for row in tx.rows(sql, {"rows_as": rows_as, "limit": limit})]


def delete_children(tx: Tx, child: Child, ids: list[str], limit: int) -> int:
    sql = f"""DELETE FROM {child.table}
WHERE {{in_rows}} FROM {child.table} WHERE {child.column} IN {{each:ids}} LIMIT :limit{{end_rows}}"""
    return tx.run(sql, {"ids": ids, "limit": limit})


def delete_parents(tx: Tx, table: str, column: str, rows_as: str, ids: list[str]) -> int:
    sql = f"DELETE FROM {table} WHERE environment = :rows_as AND {column} IN {{each:ids}}"
    return tx.run(sql, {"rows_as": rows_as, "ids": ids})
