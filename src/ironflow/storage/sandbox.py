"""The port for SQL that users wrote: places of their own to write in, and questions that only read.

A **place** holds the tables of one projection beside the cursor of what was applied to them: a file of its own on
SQLite, a schema of its own on PostgreSQL. What is applied and the cursor are one transaction. Nothing here runs on the
event loop or on the connections that the rest of the server uses (decision 0020). The SQL was checked by `base/sql.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ironflow.base.errors import ResourceExhausted, Unavailable
from ironflow.base.json import Json
from ironflow.base.sqltext import DialectName, InvalidSql

# Rows that one statement of a handler may change.
CHANGES_MAX = 10_000
# A batch ends after this time with what it has done; the rest follows in the next.
SLICE_MS = 500
# Questions that are answered at a time, and that may wait for it.
ASKING_MAX = 2
WAITING_MAX = 16


class QueryRefused(InvalidSql):
    """The database refused the SQL."""

    code = "QUERY_REFUSED"


class QueryTooSlow(ResourceExhausted):
    """The query took longer than it may. Narrow it, or give it more time."""

    code, retryable = "QUERY_TOO_SLOW", False


class QueryTooLarge(ResourceExhausted):
    """A row of the answer is larger than an answer may be."""

    code, retryable = "QUERY_TOO_LARGE", False


class TooManyQueries(ResourceExhausted):
    """As many queries as this server answers at a time are under way; try again."""

    code = "TOO_MANY_QUERIES"


class PlaceMissing(Unavailable):
    """The projection's tables are being made; try again in a moment."""

    code = "PROJECTION_TABLES_MISSING"


class Cursor(NamedTuple):
    """How far a place has followed the log. event_id: of the event there, empty when it was none of the followed."""

    position: int
    event_id: str


class Work(NamedTuple):
    """One event's statement. sql: for this database's driver, values by the names of its parameters."""

    cursor: Cursor
    sql: str
    values: Mapping[str, Any]


class Failure(NamedTuple):
    """A statement that cannot be applied: the event that it is for, and the database's error text."""

    cursor: Cursor
    message: str


@dataclass(frozen=True, slots=True)
class Applied:
    """Where the place stands now. stale: it did not stand where it was thought to, and nothing was applied."""

    position: int
    applied: int = 0
    failure: Failure | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """What a name in a question stands for: a table of a place, or (without a place) a SELECT over the server's tables.

    sql: the table's name, or the SELECT with `{main}` before each table.
    """

    sql: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """SELECTs answered from one snapshot. bytes_max: of all rows of one answer, as JSON."""

    queries: Sequence[str]
    sources: Mapping[str, Source]
    timeout_ms: int
    rows_max: int
    bytes_max: int


@dataclass(slots=True)
class Answer:
    """columns, types: one for each column. rows: cells as JSON. truncated: there are more rows."""

    columns: list[str]
    types: list[str]
    rows: list[list[Json]] = field(default_factory=list[list[Json]])
    truncated: bool = False


class Sandbox(Protocol):
    """Where users' SQL runs."""

    dialect: DialectName

    async def make(self, place: str, tables: Sequence[str], handlers: Sequence[tuple[str, int]]) -> None:
        """Makes a place with its tables, at position 0, and prepares the handlers without running them.

        handlers: (sql, number of parameters). A place that is there is left as it is. Raises QueryRefused, and then
        there is no such place.
        """
        ...

    async def cursor(self, place: str) -> Cursor | None:
        """How far the place is; None when there is no such place."""
        ...

    async def apply(self, place: str, after: int, work: Sequence[Work], to: Cursor, statement_ms: int) -> Applied:
        """Runs the statements in order and moves the cursor from `after`, in one transaction; to `to` if all were run.

        Stops before a statement that fails, and after SLICE_MS. Raises StorageFailed for what may pass by itself.
        """
        ...

    async def drop(self, place: str) -> None:
        """Removes a place; no error when there is none."""
        ...

    async def places(self) -> list[str]:
        """All places there are."""
        ...

    async def ask(self, question: Question) -> list[Answer]:
        """One answer for each query.

        Raises QueryRefused, QueryTooSlow, QueryTooLarge, TooManyQueries; PlaceMissing while a place is not made yet.
        """
        ...

    async def close(self) -> None: ...
