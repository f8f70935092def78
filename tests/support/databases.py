"""Databases for tests, as a server leaves them at its first start: with its tables and without stored data.

Creating the tables takes longer than most tests do, so a test process creates them once. On SQLite every test gets a
copy of the file. On PostgreSQL the schema is emptied after each test and its definitions are compared; a schema whose
definitions a test changed is dropped and created again.
"""

import asyncio
import itertools
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from ironflow.base.time import FixedClock
from ironflow.notify.port import LocalNotifier
from ironflow.storage.open import open_database
from tests.support.postgres import at_schema

ENDED_WITHIN_S = 10
# Up to this size DELETE empties a table and leaves pages behind; beyond it TRUNCATE, which makes new files.
TRUNCATED_BYTES = 512 * 1024

OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
OTHER_SCHEMAS = """SELECT nspname FROM pg_namespace
WHERE nspname NOT IN ('public', 'information_schema', %(schema)s) AND NOT starts_with(nspname, 'pg_')"""
# A digest of all definitions in the schema.
SHAPE = """
WITH ours AS (SELECT * FROM pg_class WHERE relnamespace = to_regnamespace(%(schema)s))
SELECT md5(string_agg(each, ' ' ORDER BY each)) FROM (
  SELECT concat_ws(',', oid, relname, relkind, relhastriggers, relacl) AS each FROM ours
  UNION ALL SELECT concat_ws(',', attrelid, attnum, attname, atttypid, attnotnull, atthasdef, attisdropped)
    FROM pg_attribute WHERE attrelid IN (SELECT oid FROM ours) AND attnum > 0
  UNION ALL SELECT concat_ws(',', oid, conname, convalidated)
    FROM pg_constraint WHERE connamespace = to_regnamespace(%(schema)s)
  UNION ALL SELECT concat_ws(',', oid, tgname, tgenabled) FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM ours)
  UNION ALL SELECT concat_ws(',', oid, proname) FROM pg_proc WHERE pronamespace = to_regnamespace(%(schema)s)
  UNION ALL SELECT concat_ws(',', nspname, nspacl) FROM pg_namespace WHERE nspname = %(schema)s
) AS parts"""
EMPTY = """
DO $$ DECLARE filled regclass; BEGIN
  FOR filled IN SELECT oid FROM pg_class WHERE relnamespace = {schema}::regnamespace AND relkind = 'r' LOOP
    IF pg_relation_size(filled) = 0 THEN CONTINUE;
    ELSIF pg_total_relation_size(filled) > {bytes} THEN EXECUTE format('TRUNCATE %s', filled);
    ELSE EXECUTE format('DELETE FROM %s', filled);
    END IF;
  END LOOP;
END $$"""
SEED = "INSERT INTO {0} SELECT * FROM json_populate_recordset(null::{0}, %s)"
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%(schema)s) AND relkind = 'r'"
_numbers = itertools.count(1)


class SqliteFiles:
    """Copies of one SQLite file, which is made in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._made = folder / "made.db"

    def put(self, path: Path) -> str:
        """Puts a database at `path`; what `--db` takes."""
        if not self._made.exists():
            _make_tables(str(self._made))
        shutil.copyfile(self._made, path)
        path.chmod(0o600)
        return str(path)


class PostgresSchema:
    """One schema at a time, lent to one test after the other, in a database of its own."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._schema = ""
        self._shape: Any = None
        self._seeds: dict[str, str] = {}

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The schema's address, as `--db` takes it."""
        if not self._schema:
            self._make()
        try:
            # A test's data need not survive a crash of the database server, so a commit need not wait for the disk.
            yield at_schema(self._database, self._schema, synchronous_commit="off")
        finally:
            with psycopg.connect(self._database, autocommit=True) as connection:
                if not self._is_clean(connection):
                    self._give_up(connection)

    def _make(self) -> None:
        self._schema = f"kept_{next(_numbers)}"
        with psycopg.connect(self._database, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self._schema)))
            _make_tables(at_schema(self._database, self._schema))
            self._shape = self._look(connection, SHAPE)
            self._seeds = {}
            for (table,) in connection.execute(TABLES, {"schema": self._schema}).fetchall():
                name = sql.Identifier(self._schema, table)
                rows = self._look(connection, sql.SQL("SELECT json_agg(each)::text FROM {} AS each").format(name))
                if rows is not None:
                    self._seeds[table] = rows

    def _is_clean(self, connection: psycopg.Connection) -> bool:
        """Empties the schema. Returns False when its definitions have changed."""
        _end_others(connection)
        for (name,) in connection.execute(OTHER_SCHEMAS, {"schema": self._schema}).fetchall():
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
        if self._look(connection, SHAPE) != self._shape:
            return False
        with connection.transaction():
            connection.execute("SET LOCAL synchronous_commit = off")
            connection.execute(
                sql.SQL(EMPTY).format(schema=sql.Literal(self._schema), bytes=sql.Literal(TRUNCATED_BYTES))
            )
            for table, rows in self._seeds.items():
                seed = sql.SQL(SEED).format(sql.Identifier(self._schema, table))
                connection.execute(seed, (rows,))
        return True

    def _give_up(self, connection: psycopg.Connection) -> None:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self._schema)))
        self._schema = ""

    def _look(self, connection: psycopg.Connection, query: LiteralString | sql.Composed) -> Any:
        row = connection.execute(query, {"schema": self._schema}).fetchone()
        return row[0] if row else None


def _end_others(connection: psycopg.Connection) -> None:
    """Ends the connections that a test has left open, and waits until their transactions have ended."""
    deadline = time.monotonic() + ENDED_WITHIN_S
    while connection.execute(OTHERS).fetchall():
        if time.monotonic() > deadline:
            raise AssertionError("a test has left a connection behind that cannot be ended")
        time.sleep(0.001)


def _make_tables(db: str) -> None:
    async def make() -> None:
        opened = await open_database(db, LocalNotifier(), FixedClock().now())
        await opened.close()

    # A new event loop: the current one, if any, stays set.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(make())
