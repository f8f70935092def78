"""A database that tests use one after the other is empty at the start of each."""

import sqlite3
from pathlib import Path

import psycopg
import pytest

from tests.support.databases import PostgresSchema, SqliteFiles

COUNTS = "SELECT (SELECT count(*) FROM kv_buckets), (SELECT max(position) FROM log_head)"
USED = """INSERT INTO kv_buckets VALUES ('default', 'carts', '', 0, 0, 0, 1, 0, 0, 0);
UPDATE log_head SET position = 7"""


def use(address: str, *statements: str) -> object:
    """What the last statement answers."""
    with psycopg.connect(address, autocommit=True) as connection:
        for statement in statements[:-1]:
            connection.execute(statement.encode())
        return connection.execute(statements[-1].encode()).fetchone()


@pytest.mark.postgres
def test_rows_are_deleted_and_the_initial_rows_are_there_again(kept_postgres: PostgresSchema):
    with kept_postgres.lent() as first:
        assert use(first, USED, COUNTS) == (1, 7)

    with kept_postgres.lent() as second:
        assert second == first
        assert use(second, COUNTS) == (0, 0)


@pytest.mark.postgres
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE kv_buckets ADD COLUMN colour TEXT",
        "ALTER TABLE kv_buckets DROP COLUMN description",
        "ALTER TABLE kv_buckets ALTER COLUMN description DROP NOT NULL",
        "CREATE TABLE shelves (id TEXT)",
        "DROP TABLE kv_buckets",
        "CREATE INDEX by_description ON kv_buckets (description)",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "GRANT SELECT ON kv_buckets TO PUBLIC",
    ],
)
def test_tables_that_a_test_has_changed_are_made_anew(kept_postgres: PostgresSchema, change: str):
    with kept_postgres.lent() as first, psycopg.connect(first, autocommit=True) as connection:
        connection.execute(change.encode())

    with kept_postgres.lent() as second:
        assert second != first
        assert use(second, USED, COUNTS) == (1, 7)


@pytest.mark.postgres
def test_another_schema_goes_with_its_test(kept_postgres: PostgresSchema):
    with kept_postgres.lent() as first:
        use(first, "CREATE SCHEMA elsewhere", "CREATE TABLE elsewhere.things (id TEXT)", COUNTS)

    with kept_postgres.lent() as second:
        assert use(second, "SELECT to_regnamespace('elsewhere')") == (None,)


@pytest.mark.postgres
def test_a_transaction_that_a_test_has_left_open_is_undone(kept_postgres: PostgresSchema):
    with kept_postgres.lent() as first:
        left = psycopg.connect(first)
        left.execute(USED.encode())

    with kept_postgres.lent() as second:
        assert use(second, COUNTS) == (0, 0)
    with pytest.raises(psycopg.OperationalError):
        left.commit()
    left.close()


def test_each_copy_of_a_file_is_its_own(tmp_path: Path):
    files = SqliteFiles(tmp_path)
    first, second = files.put(tmp_path / "first.db"), files.put(tmp_path / "second.db")
    with sqlite3.connect(first) as connection:
        connection.executescript(USED)
    connection.close()

    with sqlite3.connect(second) as connection:
        assert connection.execute(COUNTS).fetchone() == (0, 0)
    connection.close()
