"""A transaction on a connection to PostgreSQL, in few round trips.

What needs no answer before it goes on waits: BEGIN and the statements of `many` are sent with the next statement that
is asked for rows, as one pipeline, the last of them before COMMIT.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import psycopg

from ironflow.base.notice import Notices
from ironflow.notify.port import Notification
from ironflow.storage.dialect import POSTGRES
from ironflow.storage.port import Params, Query, Row, read_once

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_BEGIN = b"BEGIN"
_BEGIN_READING = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# The id of the transaction, by which the outcome of a lost COMMIT is looked up.
_ID = b"SELECT pg_current_xact_id()::text, set_config('lock_timeout', '%d', true)"


@lru_cache(maxsize=2048)
def pyformat(sql: str) -> bytes:
    """Fragments filled in and `:name` turned into the driver's `%(name)s`, as the driver sends it."""
    return _PARAMETER.sub(r"%(\1)s", POSTGRES.fill(sql).replace("%", "%%")).encode()


@lru_cache(maxsize=256)
def in_order(sql: str) -> bytes:
    """As `pyformat`, for parameters that are given in their order. Raises ValueError where one is named twice."""
    filled = POSTGRES.fill(sql)
    names = _PARAMETER.findall(filled)
    if len(set(names)) < len(names):
        raise ValueError(f"a parameter is named twice: {sql}")
    return _PARAMETER.sub("%s", filled.replace("%", "%%")).encode()


class PostgresTx:
    """A transaction on one connection; collects what to notify and publish after the commit."""

    alone = False

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        self.notifications: list[Notification] = []
        self.published: list[Notices] = []
        # Sent with the next statement. None begins the transaction.
        self._queued: list[tuple[bytes, Sequence[Params] | Sequence[Row]]] = []
        self._begin: tuple[bytes, bytes] | None = None
        self._id: psycopg.Cursor[Row] | None = None

    def rows(self, sql: str, params: Params | None = None) -> list[Row]:
        return self._execute(sql, params).fetchall()

    def row(self, sql: str, params: Params | None = None) -> Row | None:
        return self._execute(sql, params).fetchone()

    def run(self, sql: str, params: Params | None = None) -> int:
        return self._execute(sql, params).rowcount

    def many(self, sql: str, params: Sequence[Params] | Sequence[Row]) -> None:
        if params:
            self._queued.append((in_order(sql) if isinstance(params[0], tuple) else pyformat(sql), params))

    def batch(self, queries: Sequence[Query]) -> list[list[Row]]:
        with self._connection.pipeline():
            self.send_queued()
            cursors = [self._connection.execute(pyformat(sql), params) for sql, params in queries]
        return [cursor.fetchall() for cursor in cursors]

    def notify(self, topic: str, key: str = "") -> None:
        self.notifications.append((topic, key))

    def publish_local(self, notices: Notices) -> None:
        self.published.append(notices)

    def flush(self) -> None:
        """Sends what has waited; after it all statements have succeeded."""
        if self._queued:
            with self._connection.pipeline():
                self.send_queued()

    @property
    def is_waiting(self) -> bool:
        """Whether statements have not been sent."""
        return bool(self._queued)

    def identify(self) -> str | None:
        """The id of the transaction, None where it did nothing. A COMMIT without it could not be looked up."""
        if self._id is None:
            self.flush()
        row = self._id.fetchone() if self._id is not None else None
        return row[0] if row else None

    def _execute(self, sql: str, params: Params | None) -> psycopg.Cursor[Row]:
        if self._begin is None and not self._queued:
            return self._connection.execute(pyformat(sql), params or {})
        with self._connection.pipeline():
            self.send_queued()
            return self._connection.execute(pyformat(sql), params or {})

    def send_queued(self) -> None:
        """Within a pipeline."""
        if self._begin is not None:
            begin, identify = self._begin
            self._connection.execute(begin, prepare=False)
            if identify:
                self._id = self._connection.execute(identify)
            self._begin = None
        queued, self._queued = self._queued, []
        for sql, params in queued:
            with self._connection.cursor() as cursor:
                cursor.executemany(sql, params)


class PostgresWrite(PostgresTx):
    """A transaction that waits for a lock for `lock_ms` at most. It begins with its first statement."""

    def __init__(self, connection: psycopg.Connection[Row], lock_ms: int) -> None:
        super().__init__(connection)
        self._begin = (_BEGIN, _ID % lock_ms)


class PostgresSnapshot(PostgresTx):
    """A transaction that reads; all queries see one moment."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        super().__init__(connection)
        self._begin = (_BEGIN_READING, b"")


class PostgresRead(PostgresTx):
    """One statement that reads, without a transaction around it."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        super().__init__(connection)
        self._read = False

    def _execute(self, sql: str, params: Params | None) -> psycopg.Cursor[Row]:
        read_once(self._read)
        self._read = True
        return super()._execute(sql, params)
