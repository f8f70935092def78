"""Users' SQL on PostgreSQL: a schema for each place, connections of their own, time limits, and where the operator has
given one, a role that may do nothing else.

One statement travels as one message of the extended protocol, which takes no second one. The search path holds the
place (or the question's temporary views) and pg_catalog, so no other table has a name.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, Final, LiteralString, TypeVar

import msgspec
import psycopg
from psycopg import sql as quoting
from psycopg_pool import ConnectionPool, PoolTimeout

from ironflow.base.sqltext import DialectName
from ironflow.notify.pooler import SESSION, is_pooled
from ironflow.storage.port import Row, StorageFailed
from ironflow.storage.sandbox import (
    ASKING_MAX,
    CHANGES_MAX,
    SLICE_MS,
    WAITING_MAX,
    Answer,
    Applied,
    Cursor,
    Failure,
    PlaceMissing,
    QueryRefused,
    QueryTooLarge,
    QueryTooSlow,
    Question,
    TooManyQueries,
    Work,
)

T = TypeVar("T")

APPLYING_MAX = 2
CONNECT_S = 10
INT8, NUMERIC = 20, 1700
INT53 = 2**53 - 1
# A function takes at most 100 arguments, and a row is made by one.
COLUMNS_MAX = 100
# Kept between batches and rounds, so that statements are prepared once.
PREPARED_AFTER = 2
# Classes of SQLSTATE for faults of the connection, the disk or other transactions, not of the statement.
_PASSING = ("08", "53", "57P", "40", "55P", "58")
_SETTINGS = """SELECT set_config('search_path', %(path)s, true), set_config('statement_timeout', %(ms)s, true),
 set_config('lock_timeout', '5000', true), set_config('idle_in_transaction_session_timeout', '60000', true),
 set_config('standard_conforming_strings', 'on', true)"""
_CURSOR: Final = "SELECT position, event_id FROM {}.ironflow_cursor {}"
_read_row = msgspec.json.Decoder(list[msgspec.Raw]).decode


class PostgresSandbox:
    """The `Sandbox` port on one PostgreSQL database. role: what statements of users are run as; empty for the server's
    own."""

    dialect: DialectName = "postgres"

    def __init__(self, url: str, role: str) -> None:
        self._role = role
        self._options: dict[str, Any] = {"prepare_threshold": PREPARED_AFTER, "application_name": "ironflow-sandbox"}
        size = APPLYING_MAX + ASKING_MAX
        self._pool: ConnectionPool[psycopg.Connection[Row]] = ConnectionPool(
            url, min_size=0, max_size=size, open=False, timeout=CONNECT_S, kwargs=self._options
        )
        self._writers = ThreadPoolExecutor(APPLYING_MAX, thread_name_prefix="sandbox-write")
        self._askers = ThreadPoolExecutor(ASKING_MAX, thread_name_prefix="sandbox-ask")
        self._locks: dict[str, asyncio.Lock] = {}
        self._asking = 0
        self._prefix = ""
        self._own = ""

    async def open(self) -> None:
        """Learns which schema the server's own tables are in: schemas of places are named after it."""

        def look() -> None:
            self._pool.open()
            with self._pool.connection() as connection:
                row = connection.execute("SELECT current_schema()").fetchone()
                if is_pooled(connection, connection.execute(SESSION).fetchone()):
                    self._options["prepare_threshold"] = connection.prepare_threshold = None
            self._own = own = str(row[0]) if row else "public"
            self._prefix = f"ironflow_{hashlib.sha256(own.encode()).hexdigest()[:6]}_"

        await asyncio.get_running_loop().run_in_executor(self._writers, look)

    async def make(self, place: str, tables: Sequence[str], handlers: Sequence[tuple[str, int]]) -> None:
        await self._with(place, lambda: self._make(place, tables, handlers))

    async def cursor(self, place: str) -> Cursor | None:
        def look() -> Cursor | None:
            with self._pool.connection() as connection:
                return self._cursor(connection, place, "")

        return await self._with(place, look)

    async def apply(self, place: str, after: int, work: Sequence[Work], to: Cursor, statement_ms: int) -> Applied:
        return await self._with(place, lambda: self._apply(place, after, work, to, statement_ms))

    async def drop(self, place: str) -> None:
        def drop() -> None:
            with self._pool.connection() as connection:
                connection.execute(quoting.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(self._schema(place)))

        await self._with(place, drop)
        self._locks.pop(place, None)

    async def places(self) -> list[str]:
        def look() -> list[str]:
            with self._pool.connection() as connection:
                found = connection.execute(
                    "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s) ORDER BY 1", (self._prefix,)
                ).fetchall()
            return [str(name).removeprefix(self._prefix) for (name,) in found]

        return await asyncio.get_running_loop().run_in_executor(self._writers, look)

    async def ask(self, question: Question) -> list[Answer]:
        if self._asking >= ASKING_MAX + WAITING_MAX:
            raise TooManyQueries()
        self._asking += 1
        asking = _Asking()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._askers, self._ask, question, asking)
        except asyncio.CancelledError:
            # The caller was cancelled.
            asking.give_up()
            raise
        finally:
            self._asking -= 1

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._writers.shutdown)
        await loop.run_in_executor(None, self._askers.shutdown)
        await loop.run_in_executor(None, self._pool.close)

    async def _with(self, place: str, work: Callable[[], T]) -> T:
        async with self._locks.setdefault(place, asyncio.Lock()):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._writers, work)
            except (psycopg.Error, PoolTimeout) as fault:
                raise _storage_failed(fault) from fault

    # In a writer thread

    def _schema(self, place: str) -> quoting.Identifier:
        return quoting.Identifier(self._prefix + place)

    def _set(self, connection: psycopg.Connection[Row], path: str, ms: int) -> None:
        connection.execute(_SETTINGS, {"path": path, "ms": str(ms)})

    def _become(self, connection: psycopg.Connection[Row], theirs: bool) -> None:
        """Takes on the role that users' statements run as, or gives it back."""
        if self._role:
            role = quoting.Identifier(self._role) if theirs else quoting.SQL("NONE")
            connection.execute(quoting.SQL("SET LOCAL ROLE {}").format(role))

    def _cursor(self, connection: psycopg.Connection[Row], place: str, lock: LiteralString) -> Cursor | None:
        try:
            row = connection.execute(quoting.SQL(_CURSOR).format(self._schema(place), quoting.SQL(lock))).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            connection.rollback()
            return None
        return Cursor(*row) if row else None

    def _make(self, place: str, tables: Sequence[str], handlers: Sequence[tuple[str, int]]) -> None:
        schema = self._schema(place)
        path = f'"{self._prefix}{place}", pg_catalog'
        try:
            with self._pool.connection() as connection:
                # Nodes that make the same place come one after another.
                connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (self._prefix + place,))
                if connection.execute(
                    "SELECT 1 FROM pg_namespace WHERE nspname = %s", (self._prefix + place,)
                ).fetchone():
                    return
                connection.execute(quoting.SQL("CREATE SCHEMA {}").format(schema))
                self._set(connection, path, 5000)
                for sql in tables:
                    connection.execute(_text(sql), {}, prepare=True)
                if self._role:
                    role = quoting.Identifier(self._role)
                    for grant in (
                        "GRANT USAGE ON SCHEMA {} TO {}",
                        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {} TO {}",
                        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO {}",
                    ):
                        connection.execute(quoting.SQL(grant).format(schema, role))
                self._become(connection, theirs=True)
                for sql, count in handlers:
                    values = {f"p{number}": None for number in range(count)}
                    connection.execute(_text(f"EXPLAIN {sql}"), values, prepare=True)
                self._become(connection, theirs=False)
                for own in (
                    "CREATE TABLE {}.ironflow_cursor (position BIGINT NOT NULL, event_id TEXT NOT NULL)",
                    "INSERT INTO {}.ironflow_cursor VALUES (0, '')",
                ):
                    connection.execute(quoting.SQL(own).format(schema))
        except psycopg.Error as fault:
            if _is_passing(fault):
                raise
            raise QueryRefused(f"PostgreSQL does not accept this SQL: {_error_text(fault)}.") from None

    def _apply(self, place: str, after: int, work: Sequence[Work], to: Cursor, statement_ms: int) -> Applied:
        failure: Failure | None = None
        one_by_one = False
        while True:
            with self._pool.connection() as connection:
                self._set(connection, f'"{self._prefix}{place}", pg_catalog', statement_ms)
                at = self._cursor(connection, place, "FOR UPDATE SKIP LOCKED")
                if at is None or at.position != after:
                    # Another node is at it, or has been.
                    connection.rollback()
                    return Applied(position=at.position if at else after, stale=True)
                self._become(connection, theirs=True)
                done, error = self._run(connection, work, statement_ms, one_by_one)
                if error is None:
                    self._become(connection, theirs=False)
                    to = to if done == len(work) else work[done - 1].cursor
                    save = "UPDATE {}.ironflow_cursor SET position = %s, event_id = %s"
                    connection.execute(quoting.SQL(save).format(self._schema(place)), tuple(to))
                else:
                    connection.rollback()
            if error is None:
                return Applied(position=to.position, applied=done, failure=failure)
            if not one_by_one:
                # Which of them it was is seen when they run one after another.
                one_by_one = True
                continue
            failure = Failure(work[done].cursor, error)
            work, to, one_by_one = work[:done], work[done - 1].cursor if done else at, False

    def _run(
        self, connection: psycopg.Connection[Row], work: Sequence[Work], statement_ms: int, one_by_one: bool
    ) -> tuple[int, str | None]:
        """The number of statements that ran, and the error of the rest (or, one by one, of the next one)."""
        ends_at = time.monotonic() + SLICE_MS / 1000
        done = 0
        same_sql = ((each,) for each in work) if one_by_one else _runs(work)
        with connection.cursor() as cursor:
            for group in same_sql:
                sql = _text(group[0].sql)
                try:
                    if len(group) == 1:
                        cursor.execute(sql, group[0].values, prepare=True)
                    else:
                        cursor.executemany(sql, [each.values for each in group])
                except psycopg.errors.QueryCanceled:
                    return done, f"it took longer than {statement_ms} ms"
                except (psycopg.Error, ValueError, OverflowError) as fault:
                    if isinstance(fault, psycopg.Error) and _is_passing(fault):
                        raise
                    return done, _error_text(fault)
                if cursor.rowcount > CHANGES_MAX + len(group) - 1:
                    return done, f"it changed {cursor.rowcount} rows; {CHANGES_MAX} are allowed"
                done += len(group)
                if time.monotonic() > ends_at and not one_by_one:
                    break
        return done, None

    # In an asking thread

    def _ask(self, question: Question, asking: "_Asking") -> list[Answer]:
        try:
            with self._pool.connection() as connection:
                # Temporary views and everything else end with the transaction.
                try:
                    self._prepare(connection, question)
                    asking.connection = connection
                    return [] if asking.given_up else [_answer(connection, sql, question) for sql in question.queries]
                finally:
                    connection.rollback()
        except psycopg.errors.QueryCanceled:
            raise QueryTooSlow(
                f"The query took longer than {question.timeout_ms} ms. Narrow it, or give it more time."
            ) from None
        except (psycopg.Error, PoolTimeout) as fault:
            if isinstance(fault, PoolTimeout) or _is_passing(fault):
                raise _storage_failed(fault) from fault
            raise QueryRefused(f"PostgreSQL does not accept this query: {_error_text(fault)}.") from None
        finally:
            asking.connection = None

    def _prepare(self, connection: psycopg.Connection[Row], question: Question) -> None:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for name, source in question.sources.items():
            view = quoting.Identifier("pg_temp", name)
            if source.place:
                there = connection.execute(
                    "SELECT 1 FROM pg_namespace WHERE nspname = %s", (self._prefix + source.place,)
                ).fetchone()
                if not there:
                    raise PlaceMissing()
                select = quoting.SQL("SELECT * FROM {}.{}").format(
                    self._schema(source.place), quoting.Identifier(source.sql)
                )
            else:
                select = quoting.SQL(
                    _text(source.sql.format(main=f"{quoting.Identifier(self._own).as_string(connection)}."))
                )
            connection.execute(quoting.SQL("CREATE TEMP VIEW {} AS {}").format(quoting.Identifier(name), select))
            if self._role:
                connection.execute(quoting.SQL("GRANT SELECT ON {} TO {}").format(view, quoting.Identifier(self._role)))
        self._set(connection, "pg_temp, pg_catalog", question.timeout_ms)
        self._become(connection, theirs=True)
        connection.execute("SET TRANSACTION READ ONLY")


class _Asking:
    """A question under way in a thread; `give_up` ends it from the event loop."""

    def __init__(self) -> None:
        self.connection: psycopg.Connection[Row] | None = None
        self.given_up = False

    def give_up(self) -> None:
        self.given_up = True
        if self.connection is not None:
            self.connection.cancel()


def _answer(connection: psycopg.Connection[Row], sql: str, question: Question) -> Answer:
    described = connection.execute(_text(f"SELECT * FROM ({sql}\n) AS q LIMIT 0"), {}, prepare=True).description or []
    if not 0 < len(described) <= COLUMNS_MAX:
        raise QueryRefused(f"The query has {len(described)} columns; an answer has 1 to {COLUMNS_MAX}.")
    names = [f"c{number}" for number in range(len(described))]
    cells = ", ".join(_cell(name, column.type_code) for name, column in zip(names, described, strict=True))
    whole = f"""SELECT CASE WHEN octet_length(t.row) <= {question.bytes_max} THEN t.row END FROM (
 SELECT CAST(json_build_array({cells}) AS text) AS row FROM ({sql}
) AS q ({", ".join(names)}) LIMIT {question.rows_max + 1}) AS t"""
    answer = Answer([each.name for each in described], [_type_name(connection, each.type_code) for each in described])
    size = 0
    with connection.cursor() as cursor:
        for (row,) in cursor.stream(_text(whole), {}):
            if row is None and not answer.rows:
                raise QueryTooLarge(f"The first row is larger than the {question.bytes_max} bytes of an answer.")
            size += len(row or "")
            if row is None or size > question.bytes_max or len(answer.rows) == question.rows_max:
                answer.truncated = True
                break
            answer.rows.append(_read_row(row))
    return answer


def _cell(name: str, type_code: int) -> str:
    """A value on its way to JSON: exact decimals and integers above 53 bits are texts."""
    if type_code == NUMERIC:
        return f"CAST({name} AS text)"
    if type_code == INT8:
        return (
            f"CASE WHEN {name} BETWEEN {-INT53} AND {INT53} THEN to_json({name}) ELSE to_json(CAST({name} AS text)) END"
        )
    return name


def _type_name(connection: psycopg.Connection[Row], type_code: int) -> str:
    found = connection.adapters.types.get(type_code)
    return found.name if found else "text"


def _runs(work: Sequence[Work]) -> list[tuple[Work, ...]]:
    """Neighbours with the same statement together, in order."""
    return [tuple(same) for _, same in groupby(work, key=lambda each: each.sql)]


def _text(sql: str) -> Any:
    """Checked text of a user, or a constant put together of ours, which the driver's types take for no constant."""
    return sql


def _is_passing(fault: psycopg.Error) -> bool:
    code = fault.sqlstate or "08"
    return code.startswith(_PASSING)


def _error_text(fault: BaseException) -> str:
    first = str(fault).strip().splitlines() or [type(fault).__name__]
    return first[0].rstrip(".")


def _storage_failed(fault: BaseException) -> StorageFailed:
    return StorageFailed(f"The database could not do this: {' '.join(str(fault).split())}. Try again.")
