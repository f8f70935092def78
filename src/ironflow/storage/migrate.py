"""Numbered migrations, applied at start in order, each in its own transaction.

A file is `NNNN_noun.sql` in `storage/migrations/`: statements ended by `;` at the end of a line, with dialect
fragments. Applied files are never changed; a new one is added.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ironflow.base.time import Millis
from ironflow.storage.port import DatabaseTooNew, Tx

CREATE_TABLE = """CREATE TABLE IF NOT EXISTS schema_migrations (
  number BIGINT PRIMARY KEY, name {text} NOT NULL, applied_at BIGINT NOT NULL)"""
APPLIED = "SELECT coalesce(max(number), 0) FROM schema_migrations"
IS_APPLIED = "SELECT 1 FROM schema_migrations WHERE number = :number"
RECORD = "INSERT INTO schema_migrations (number, name, applied_at) VALUES (:number, :name, :now)"


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    statements: tuple[str, ...]


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations of this program, in order."""
    found: list[Migration] = []
    for file in resources.files("ironflow.storage.migrations").iterdir():
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            statements = [part.strip().rstrip(";") for part in file.read_text("utf-8").split(";\n")]
            found.append(Migration(int(number), name, tuple(part for part in statements if part)))
    return tuple(sorted(found, key=lambda each: each.number))


def check_not_newer(applied: int) -> None:
    """Raises DatabaseTooNew when the database has migrations that this program does not know."""
    known = migrations()[-1].number
    if applied > known:
        raise DatabaseTooNew(
            f"The database is at schema {applied}, this program knows up to {known}. "
            "It was written by a newer version: start that one, or use another database."
        )


def migrate(transaction: Callable[[Callable[[Tx], int]], int], now: Millis) -> int:
    """Brings the database up to date; how many migrations were applied. Raises DatabaseTooNew before any change.

    transaction: runs a function in one transaction and commits it.
    """
    pending = transaction(lambda tx: _pending_after_check(tx, now))
    for migration in migrations()[len(migrations()) - pending :]:

        def apply(tx: Tx, migration: Migration = migration) -> int:
            if tx.row(IS_APPLIED, {"number": migration.number}):
                # Another node that started at the same time was quicker.
                return 0
            for statement in migration.statements:
                tx.run(statement)
            return tx.run(RECORD, {"number": migration.number, "name": migration.name, "now": now})

        transaction(apply)
    return pending


def _pending_after_check(tx: Tx, now: Millis) -> int:
    tx.run(CREATE_TABLE)
    row = tx.row(APPLIED)
    applied = int(row[0]) if row else 0
    check_not_newer(applied)
    return sum(1 for each in migrations() if each.number > applied)
