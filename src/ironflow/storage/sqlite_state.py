"""The file with the tables of one SQL projection, behind SQLite's limits and its authorizer."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw

from ironflow.base.sql import TABLE_PREFIX
from ironflow.base.sqlnames import FUNCTIONS
from ironflow.storage.sandbox import Cursor

# Between two reads of the clock; each takes the GIL.
OPCODES = 20_000
LIMITS = {
    apsw.SQLITE_LIMIT_LENGTH: 16 * 1024 * 1024,
    apsw.SQLITE_LIMIT_SQL_LENGTH: 256 * 1024,
    apsw.SQLITE_LIMIT_COLUMN: 500,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 200,
    apsw.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    apsw.SQLITE_LIMIT_VDBE_OP: 100_000,
    apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    apsw.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    apsw.SQLITE_LIMIT_WORKER_THREADS: 0,
}
# Faults of the disk or of other users of the file, not of the statement.
PASSING = (apsw.FullError, apsw.IOError, apsw.BusyError, apsw.LockedError, apsw.NoMemError, apsw.CantOpenError)
_OPERATORS = {"like", "glob", "->", "->>"}
_WRITES = {apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE}
_OURS = ("ironflow", "sqlite_")
_MASTER = {"sqlite_master", "sqlite_schema", "sqlite_sequence"}
_CREATIONS = {apsw.SQLITE_CREATE_TABLE, apsw.SQLITE_CREATE_INDEX, apsw.SQLITE_REINDEX}


class Watch:
    """Ends what runs after its time. Given to SQLite as the progress handler."""

    def __init__(self) -> None:
        self.ends_at = float("inf")

    def __call__(self) -> bool:
        return time.monotonic() > self.ends_at

    def start(self, ms: float) -> None:
        self.ends_at = time.monotonic() + ms / 1000

    def stop(self) -> None:
        self.ends_at = 0.0


class StateFile:
    """The file, open for writing. Used by one thread at a time."""

    def __init__(self, path: Path, make: bool) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if make else 0)
        self.connection = apsw.Connection(str(path), flags=flags, statementcachesize=64)
        self.watch = Watch()
        # ours: statements of this module. tables: CREATE of users. rows: their INSERT, UPDATE and DELETE.
        self._mode = "ours"
        harden(self.connection, self.watch)
        self.connection.set_busy_timeout(1000)
        if make:
            self.connection.pragma("journal_mode", "wal")
        # A power cut may lose the last commits; the cursor is lost with the rows, so that they are applied again.
        self.connection.pragma("synchronous", "normal")
        self.connection.authorizer = self._allows

    def _allows(self, action: int, first: str | None, second: str | None, schema: str | None, _by: str | None) -> int:
        if self._mode == "ours":
            return apsw.SQLITE_OK
        if action in (apsw.SQLITE_SELECT, apsw.SQLITE_RECURSIVE):
            return apsw.SQLITE_OK
        if action == apsw.SQLITE_FUNCTION:
            return function_allowed(second)
        if action == apsw.SQLITE_READ and schema is None and first is not None:
            # No column is read: the result of a WITH or subquery, or a table, as in count(*).
            return apsw.SQLITE_DENY if first.startswith(_OURS) else apsw.SQLITE_OK
        creating = self._mode == "tables"
        if schema != "main" or first is None:
            return apsw.SQLITE_DENY
        if action == apsw.SQLITE_READ and (first.startswith(TABLE_PREFIX) or first in ("json_each", "json_tree")):
            return apsw.SQLITE_OK
        if creating and (action in _CREATIONS or (first in _MASTER and action in {*_WRITES, apsw.SQLITE_READ})):
            table = second if action == apsw.SQLITE_CREATE_INDEX else first
            is_ours = action in {*_WRITES, apsw.SQLITE_READ, apsw.SQLITE_REINDEX} or (table or "").startswith(
                TABLE_PREFIX
            )
            return apsw.SQLITE_OK if is_ours or table == "sqlite_sequence" else apsw.SQLITE_DENY
        if not creating and action in _WRITES and first.startswith(TABLE_PREFIX):
            return apsw.SQLITE_OK
        if not creating and first == "sqlite_sequence" and action in {*_WRITES, apsw.SQLITE_READ}:
            # AUTOINCREMENT counts there.
            return apsw.SQLITE_OK
        return apsw.SQLITE_DENY

    def ours(self, sql: str, values: tuple[Any, ...] = ()) -> apsw.Cursor:
        self._mode = "ours"
        self.watch.ends_at = float("inf")
        # Not cached: a user's statement of the same text would be run as it was allowed to us.
        return self.connection.execute(sql, values, can_cache=False)

    def theirs(self, mode: str, sql: str, values: Mapping[str, Any], ms: float) -> None:
        self._mode = mode
        self.watch.start(ms)
        self.connection.execute(sql, values).fetchall()

    def cursor(self) -> Cursor:
        row: Any = self.ours("SELECT position, event_id FROM ironflow_cursor").fetchone()
        return Cursor(*row)


def function_allowed(name: str | None) -> int:
    """What the authorizer answers for a function."""
    return apsw.SQLITE_OK if name in FUNCTIONS or name in _OPERATORS else apsw.SQLITE_DENY


def harden(connection: apsw.Connection, watch: Watch) -> None:
    """Limits what users' SQL can do and use on this connection."""
    for limit, value in LIMITS.items():
        connection.limit(limit, value)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    connection.pragma("cache_size", -8_000)
    connection.set_progress_handler(watch, OPCODES)
