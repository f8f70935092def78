"""Users' SQL on SQLite: a file for each place, opened by threads of their own, behind SQLite's authorizer.

The main file is never open for writing here. SQLite calls the authorizer for each table, column and function that it
finds while it compiles a statement, so this check does not depend on a second SQL parser.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from ironflow.base.sqltext import DialectName
from ironflow.storage.port import StorageFailed
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
    Source,
    TooManyQueries,
    Work,
)
from ironflow.storage.sqlite_answer import answer_to
from ironflow.storage.sqlite_state import PASSING, StateFile, Watch, function_allowed, harden

T = TypeVar("T")

OPEN_MAX = 32


class SqliteSandbox:
    """The `Sandbox` port beside one SQLite file. Files of places are in the folder `<file>.projections`."""

    dialect: DialectName = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.with_name(path.name + ".projections")
        self._open: dict[str, StateFile] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._writers = ThreadPoolExecutor(2, thread_name_prefix="sandbox-write")
        self._askers = ThreadPoolExecutor(ASKING_MAX, thread_name_prefix="sandbox-ask")
        self._asking = 0

    async def make(self, place: str, tables: Sequence[str], handlers: Sequence[tuple[str, int]]) -> None:
        await self._with(place, lambda: self._make(place, tables, handlers))

    async def cursor(self, place: str) -> Cursor | None:
        def look() -> Cursor | None:
            found = self._opened(place)
            return found.cursor() if found else None

        return await self._with(place, look)

    async def apply(self, place: str, after: int, work: Sequence[Work], to: Cursor, statement_ms: int) -> Applied:
        return await self._with(place, lambda: self._apply(place, after, work, to, statement_ms))

    async def drop(self, place: str) -> None:
        await self._with(place, lambda: self._drop(place))
        self._locks.pop(place, None)

    async def places(self) -> list[str]:
        return sorted(each.stem for each in self._folder.glob("*.db"))

    async def ask(self, question: Question) -> list[Answer]:
        if self._asking >= ASKING_MAX + WAITING_MAX:
            raise TooManyQueries()
        self._asking += 1
        watch = Watch()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._askers, self._ask, question, watch)
        finally:
            # Also when the caller was cancelled.
            watch.stop()
            self._asking -= 1

    async def close(self) -> None:
        for each in self._open.values():
            each.watch.stop()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._writers.shutdown)
        await loop.run_in_executor(None, self._askers.shutdown)
        for each in self._open.values():
            each.connection.close()
        self._open.clear()

    async def _with(self, place: str, work: Callable[[], T]) -> T:
        async with self._locks.setdefault(place, asyncio.Lock()):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._writers, work)
            except PASSING as fault:
                raise StorageFailed(f"The projection's file could not be used: {fault}. Try again.") from fault

    # In a writer thread

    def _file(self, place: str) -> Path:
        return self._folder / f"{place}.db"

    def _opened(self, place: str) -> StateFile | None:
        found = self._open.get(place)
        if found is None:
            if not self._file(place).exists():
                return None
            try:
                found = StateFile(self._file(place), make=False)
                found.cursor()
            except (apsw.NotADBError, apsw.CorruptError, apsw.SQLError):
                # Not a place that was finished; it can be made again from the log.
                return None
            self._keep(place, found)
        return found

    def _keep(self, place: str, opened: StateFile) -> None:
        self._open[place] = opened
        # Each has its lock: only an idle one may be closed.
        idle = [name for name in list(self._open) if name != place and not self._locks[name].locked()]
        for name in idle[: max(0, len(self._open) - OPEN_MAX)]:
            self._open.pop(name).connection.close()

    def _drop(self, place: str) -> None:
        opened = self._open.pop(place, None)
        if opened is not None:
            opened.connection.close()
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._file(place)}{suffix}").unlink()

    def _make(self, place: str, tables: Sequence[str], handlers: Sequence[tuple[str, int]]) -> None:
        if self._opened(place) is not None:
            return
        self._drop(place)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        made = StateFile(self._file(place), make=True)
        try:
            made.ours("BEGIN IMMEDIATE")
            for sql in tables:
                made.theirs("tables", sql, {}, 1000)
            for sql, count in handlers:
                made.theirs("rows", f"EXPLAIN {sql}", {f"p{number}": None for number in range(count)}, 1000)
            made.ours("CREATE TABLE ironflow_cursor (position INTEGER NOT NULL, event_id TEXT NOT NULL)")
            made.ours("INSERT INTO ironflow_cursor VALUES (0, '')")
            made.ours("COMMIT")
        except BaseException as fault:
            made.connection.close()
            self._drop(place)
            if isinstance(fault, apsw.Error) and not isinstance(fault, PASSING):
                raise QueryRefused(f"SQLite does not accept this SQL: {fault}.") from None
            raise
        self._keep(place, made)

    def _apply(self, place: str, after: int, work: Sequence[Work], to: Cursor, statement_ms: int) -> Applied:
        opened = self._opened(place)
        if opened is None:
            return Applied(position=0, stale=True)
        failure: Failure | None = None
        while True:
            opened.ours("BEGIN IMMEDIATE")
            try:
                at = opened.cursor()
                if at.position != after:
                    opened.ours("ROLLBACK")
                    return Applied(position=at.position, stale=True)
                done, error = self._run(opened, work, statement_ms)
                if error is not None:
                    # What came before it is applied without it: SQLite may have undone all of it by now.
                    failure = Failure(work[done].cursor, error)
                    work, to = work[:done], work[done - 1].cursor if done else at
                    self._undo(opened)
                    continue
                to = to if done == len(work) else work[done - 1].cursor
                opened.ours("UPDATE ironflow_cursor SET position = ?, event_id = ?", tuple(to))
                opened.ours("COMMIT")
            except BaseException:
                self._undo(opened)
                raise
            return Applied(position=to.position, applied=done, failure=failure)

    def _run(self, opened: StateFile, work: Sequence[Work], statement_ms: int) -> tuple[int, str | None]:
        """The number of statements that ran, and the error of the next one."""
        ends_at = time.monotonic() + SLICE_MS / 1000
        for number, each in enumerate(work):
            try:
                opened.theirs("rows", each.sql, each.values, statement_ms)
            except apsw.InterruptError:
                return number, f"it took longer than {statement_ms} ms"
            except PASSING:
                raise
            except (apsw.Error, OverflowError, UnicodeEncodeError) as fault:
                return number, str(fault)
            if opened.connection.changes() > CHANGES_MAX:
                return number, f"it changed {opened.connection.changes()} rows; {CHANGES_MAX} are allowed"
            if time.monotonic() > ends_at:
                return number + 1, None
        return len(work), None

    def _undo(self, opened: StateFile) -> None:
        if opened.connection.in_transaction:
            opened.ours("ROLLBACK")

    # In an asking thread

    def _ask(self, question: Question, watch: Watch) -> list[Answer]:
        if watch.ends_at == 0.0:
            return []
        watch.start(question.timeout_ms)
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
        connection = apsw.Connection(":memory:", flags=flags, statementcachesize=0)
        try:
            harden(connection, watch)
            self._attach(connection, question.sources)
            connection.execute("BEGIN")
            return [answer_to(connection, sql, question) for sql in question.queries]
        except apsw.InterruptError:
            raise QueryTooSlow(
                f"The query took longer than {question.timeout_ms} ms. Narrow it, or give it more time."
            ) from None
        except apsw.TooBigError:
            raise QueryTooLarge("A value in the query is larger than 16 MiB.") from None
        except PASSING as fault:
            raise StorageFailed(f"The database could not be read: {fault}. Try again.") from fault
        except apsw.Error as fault:
            raise QueryRefused(f"SQLite does not accept this query: {fault}.") from None
        finally:
            connection.close()

    def _attach(self, connection: apsw.Connection, sources: Mapping[str, Source]) -> None:
        """Names of the question as views, each over another one whose name cannot be guessed.

        A WITH of the question may take any name, and SQLite reports it as it reports a view; so only reads on behalf of
        the hidden names reach a table.
        """
        token = secrets.token_hex(8)
        hidden = {f"view_{token}_{name}" for name in sources}
        schemas: dict[str, str] = {}
        for source in sources.values():
            if source.place and not self._file(source.place).exists():
                raise PlaceMissing()
            path = self._file(source.place) if source.place else self._path
            if source.place not in schemas:
                schemas[source.place] = schema = f"of{len(schemas)}_{token}"
                connection.execute(f"ATTACH ? AS {schema}", (f"{path.absolute().as_uri()}?mode=ro",))
        for name, source in sources.items():
            schema = schemas[source.place]
            select = f"SELECT * FROM {schema}.{source.sql}" if source.place else source.sql.format(main=f"{schema}.")
            connection.execute(f"CREATE TEMP VIEW view_{token}_{name} AS {select}")
            connection.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM view_{token}_{name}")
        connection.pragma("query_only", 1)
        tables = {
            each[0]
            for schema in schemas.values()
            for each in connection.execute(f"SELECT name FROM {schema}.sqlite_master")
        } - set(sources)
        views = hidden | set(sources)

        def allows(action: int, first: str | None, second: str | None, schema: str | None, by: str | None) -> int:
            if action in (apsw.SQLITE_SELECT, apsw.SQLITE_RECURSIVE):
                return apsw.SQLITE_OK
            if action == apsw.SQLITE_FUNCTION:
                # Our own views may use more than users may.
                return apsw.SQLITE_OK if by in hidden else function_allowed(second)
            if action == apsw.SQLITE_TRANSACTION:
                return apsw.SQLITE_OK
            if action != apsw.SQLITE_READ or first is None:
                return apsw.SQLITE_DENY
            allowed = by in hidden or (schema == "temp" and first in views) or first in ("json_each", "json_tree")
            if not second:
                # Nothing but the number of rows, as in count(*): of a view whose inside was merged into the question
                # (its schema's name has the token), or of a WITH or subquery, which is no table.
                allowed = allowed or schema in schemas.values() or (schema is None and first not in tables)
            return apsw.SQLITE_OK if allowed else apsw.SQLITE_DENY

        connection.authorizer = allows
