"""A transaction on a connection to PostgreSQL, in few round trips.

What needs no answer before it goes on waits: BEGIN and the statements of `many` are sent with the next statement that
is asked for rows, as one pipeline, the last of them before COMMIT.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ironflow.base.notice import Notices
from ironflow.notify.port import Notification
from ironflow.storage.dialect import POSTGRES
from ironflow.storage.port import CommitFailed, Params, Query, Row, read_once
from ironflow.storage.postgres_pipeline import PGresult, Pipeline, Statement

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_BEGIN = b"BEGIN"
_BEGIN_READING = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# The id of the transaction, by which the outcome of a lost COMMIT is looked up.
_ID = b"SELECT pg_current_xact_id()::text, set_config('lock_timeout', '%d', true)"
# Rows are found by their keys. A plan is kept until its tables are analysed, and of those that were almost
# empty when it was made, PostgreSQL would read all. Without the compiler, for which such plans look expensive.
_BY_KEY = b"".join(
    b", set_config('%s', 'off', true)" % each
    for each in (b"enable_seqscan", b"enable_hashjoin", b"enable_mergejoin", b"jit")
)


@lru_cache(maxsize=2048)
def numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """Fragments filled in and `:name` turned into `$1`, and the names in the order of their numbers."""
    filled = POSTGRES.fill(sql)
    names = tuple(dict.fromkeys(_PARAMETER.findall(filled)))
    numbers = {name: f"${number}" for number, name in enumerate(names, 1)}
    return _PARAMETER.sub(lambda found: numbers[found[1]], filled).encode(), names


@lru_cache(maxsize=256)
def in_order(sql: str) -> bytes:
    """As it is sent, for parameters that are given in their order. Raises ValueError where one is named twice."""
    text, names = numbered(sql)
    if len(_PARAMETER.findall(POSTGRES.fill(sql))) > len(names):
        raise ValueError(f"a parameter is named twice: {sql}")
    return text


def statement(sql: str, params: Params) -> Statement:
    text, names = numbered(sql)
    return text, [params[name] for name in names]


class PostgresTx:
    """A transaction on one connection; collects what to notify and publish after the commit."""

    alone = False

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.notifications: list[Notification] = []
        self.published: list[Notices] = []
        # Sent with the next statement. None begins the transaction.
        self._queued: list[Statement] = []
        self._begin: tuple[bytes, ...] = ()
        self._id: str | None = None

    def rows(self, sql: str, params: Params | None = None) -> list[Row]:
        return self._pipeline.rows(self._execute(sql, params))

    def row(self, sql: str, params: Params | None = None) -> Row | None:
        rows = self._pipeline.rows(self._execute(sql, params))
        return rows[0] if rows else None

    def run(self, sql: str, params: Params | None = None) -> int:
        return self._execute(sql, params).command_tuples or 0

    def many(self, sql: str, params: Sequence[Params] | Sequence[Row]) -> None:
        if not params:
            return
        for each in params:
            self._queued.append((in_order(sql), each) if isinstance(each, tuple) else statement(sql, each))

    def batch(self, queries: Sequence[Query]) -> list[list[Row]]:
        results = self._run([statement(sql, params) for sql, params in queries])
        return [self._pipeline.rows(result) for result in results]

    def notify(self, topic: str, key: str = "") -> None:
        self.notifications.append((topic, key))

    def publish_local(self, notices: Notices) -> None:
        self.published.append(notices)

    def flush(self) -> None:
        """Sends what has waited; after it all statements have succeeded."""
        if self._queued:
            self._run(())

    def identify(self) -> str | None:
        """The id of the transaction, None where it did nothing. A COMMIT without it could not be looked up.

        Raises CommitFailed where a statement failed before the id came.
        """
        if self._id is None:
            self.flush()
        if self._id is None and not self._begin:
            raise CommitFailed("A statement of the transaction had failed. Nothing was changed.")
        return self._id

    def commit(self) -> bytes:
        """Sends what has waited, and the COMMIT, which PostgreSQL skips where one of them fails. Returns its answer."""
        if self._begin and not self._queued:
            return b"COMMIT"
        (result,) = self._run([(b"COMMIT", ())])
        return result.command_status or b""

    def _execute(self, sql: str, params: Params | None) -> PGresult:
        return self._run([statement(sql, params or {})])[0]

    def _run(self, statements: Iterable[Statement]) -> list[PGresult]:
        """The results of these statements, which go after what has waited."""
        begin, queued = self._begin, self._queued
        # Where a value is refused nothing is sent, and what has waited goes on waiting.
        ready = self._pipeline.ready([*((each, ()) for each in begin), *queued, *statements])
        self._begin, self._queued = (), []
        results = self._pipeline.send(ready)
        if len(begin) > 1:
            ((self._id, *_),) = self._pipeline.rows(results[1])
        return results[len(begin) + len(queued) :]


class PostgresWrite(PostgresTx):
    """A transaction that waits for a lock for `lock_ms` at most. It begins with its first statement."""

    def __init__(self, pipeline: Pipeline, lock_ms: int) -> None:
        super().__init__(pipeline)
        self._begin = (_BEGIN, _ID % lock_ms + _BY_KEY)


class PostgresSnapshot(PostgresTx):
    """A transaction that reads; all queries see one moment."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline)
        self._begin = (_BEGIN_READING,)


class PostgresRead(PostgresTx):
    """One statement that reads, without a transaction around it."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline)
        self._read = False

    def _execute(self, sql: str, params: Params | None) -> PGresult:
        read_once(self._read)
        self._read = True
        return super()._execute(sql, params)
