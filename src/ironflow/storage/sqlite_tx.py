"""A transaction on a connection to SQLite, and what its faults are called."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

import apsw

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notices
from ironflow.notify.port import Notification
from ironflow.storage.dialect import SQLITE
from ironflow.storage.port import Params, Query, Row, StorageFailed, Tx, read_once

T = TypeVar("T")
_PARAMETER = re.compile(r"(?<![:\w]):[a-z_][a-z0-9_]*")


@lru_cache(maxsize=256)
def in_order(sql: str) -> str:
    """Fragments filled in, for parameters given in their order. The driver reads the text for each row: it is short."""
    return _PARAMETER.sub("?", SQLITE.fill(sql))


class SqliteTx:
    """A transaction on one connection; collects what to notify and publish after the commit."""

    alone = True

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.notifications: list[Notification] = []
        self.published: list[Notices] = []

    def rows(self, sql: str, params: Params | None = None) -> list[Row]:
        return self._execute(sql, params).fetchall()

    def row(self, sql: str, params: Params | None = None) -> Row | None:
        return self._execute(sql, params).fetchone()

    def run(self, sql: str, params: Params | None = None) -> int:
        self._execute(sql, params)
        return self._connection.changes()

    def many(self, sql: str, params: Sequence[Params] | Sequence[Row]) -> None:
        if params:
            text = in_order(sql) if isinstance(params[0], tuple) else SQLITE.fill(sql)
            self._connection.executemany(text, params)

    def batch(self, queries: Sequence[Query]) -> list[list[Row]]:
        return [self.rows(sql, params) for sql, params in queries]

    def notify(self, topic: str, key: str = "") -> None:
        self.notifications.append((topic, key))

    def publish_local(self, notices: Notices) -> None:
        self.published.append(notices)

    def _execute(self, sql: str, params: Params | None) -> apsw.Cursor:
        if params is None:
            return self._connection.execute(SQLITE.fill(sql))
        for name, value in params.items():
            if isinstance(value, list):
                params = {**params, name: write_json_text(value)}
        return self._connection.execute(SQLITE.fill(sql), params)


class SqliteRead(SqliteTx):
    """One statement that reads, without a transaction around it."""

    def __init__(self, connection: apsw.Connection) -> None:
        super().__init__(connection)
        self._read = False

    def _execute(self, sql: str, params: Params | None) -> apsw.Cursor:
        read_once(self._read)
        self._read = True
        return super()._execute(sql, params)

    def row(self, sql: str, params: Params | None = None) -> Row | None:
        rows = self.rows(sql, params)
        return rows[0] if rows else None


def snapshot(connection: apsw.Connection, fn: Callable[[Tx], T]) -> T:
    """What `fn` reads, all as of one moment. Raises StorageFailed."""
    try:
        connection.execute("BEGIN")
        try:
            return fn(SqliteTx(connection))
        finally:
            connection.execute("ROLLBACK")
    except apsw.Error as fault:
        raise as_read_error(fault) from fault


def as_storage_error(fault: BaseException) -> StorageFailed:
    return StorageFailed(f"The database could not store this: {fault}. Nothing was changed; try again.")


def as_read_error(fault: BaseException) -> StorageFailed:
    return StorageFailed(f"The database could not be read: {fault}. Try again.")
