"""What can be asked in SQL. Source: behaviour.md 10, "Ad hoc read-only SQL"."""

from typing import Annotated

from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.base.sqltext import InvalidSql

TIMEOUT_MS, TIMEOUT_MS_MAX = 5_000, 30_000
ROWS, ROWS_MAX = 1_000, 10_000


class ExecuteSql(Message, kw_only=True):
    """query: one SELECT. timeout_ms: 0 means 5000. max_rows: 0 means 1000."""

    query: str
    timeout_ms: Annotated[int, field(ge=0, le=TIMEOUT_MS_MAX)] = 0
    max_rows: Annotated[int, field(ge=0, le=ROWS_MAX)] = 0


class SqlAnswer(Message, kw_only=True):
    """rows: a JSON list for each, a cell for each column; exact decimals and integers above 2^53 are texts.

    types: of each column, as the database names it. total_rows: rows of this answer. truncated: there are more.
    """

    columns: list[str]
    types: list[str]
    rows: list[Json]
    total_rows: int
    truncated: bool


class ListSqlTables(Message, kw_only=True):
    """Nothing is asked but the list."""


class SqlColumn(Message, kw_only=True):
    name: str
    type: str


class SqlTable(Message, kw_only=True):
    """A name that a query may use, with its columns."""

    name: str
    columns: list[SqlColumn]


class SqlTables(Message, kw_only=True):
    tables: list[SqlTable]
    count: int


execute = operation(
    "query.execute", ExecuteSql, SqlAnswer,
    rest="POST /api/v1/sql", scope="sql:query",
    asks=("events:read", "runs:read", "entities:read", "functions:read", "projections:read"),
    errors=(InvalidSql,), holds=True,
    doc="The answer to one SELECT over the events, runs, steps, streams and projections of this environment.",
)  # fmt: skip
tables = operation(
    "query.tables", ListSqlTables, SqlTables,
    rest="GET /api/v1/sql/tables", scope="sql:query",
    doc="What a query may read: views of this environment and tables of its SQL projections.",
)  # fmt: skip
