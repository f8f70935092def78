"""What can be asked of SQL projections. Source: protocol/connectrpc.md 5.5; the REST routes are ours."""

from datetime import datetime
from typing import Annotated, Literal

from ironflow.base.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.base.sqltext import InvalidSql
from ironflow.features.projections.contract import RebuildUnderWay

ROWS_MAX = 10_000
NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"


class SqlProjectionNotFound(NotFound):
    """projection not found: there is no SQL projection of that name in this environment."""

    code = "SQL_PROJECTION_NOT_FOUND"


class InvalidSqlProjection(InvalidArgument):
    """A SQL projection has a name, tables named proj_… and a statement for each event name it handles."""

    code = "INVALID_SQL_PROJECTION"


class ProjectionNameTaken(AlreadyExists):
    """There is a projection of another kind with that name in this environment."""

    code = "PROJECTION_NAME_TAKEN"


class TableTaken(AlreadyExists):
    """Another SQL projection of this environment has a table of that name."""

    code = "PROJECTION_TABLE_TAKEN"


class NoRebuild(FailedPrecondition):
    """The projection is not being rebuilt."""

    code = "NO_REBUILD"


class CreateSqlProjection(Message, kw_only=True):
    """event_handlers: an event name or pattern to one INSERT, UPDATE or DELETE. events: what is followed, by name or
    pattern; empty for the names that have handlers."""

    name: Annotated[str, field(1)]
    table_sql: Annotated[str, field(2)]
    event_handlers: Annotated[dict[str, str], field(3)] = {}
    events: Annotated[list[str], field(4)] = []
    description: Annotated[str, field(5)] = ""


class SqlProjectionCreated(Message, kw_only=True):
    """status: `created` is new; `updated` has other handlers from now on; `rebuilding` has other tables, which are
    filled anew; `unchanged` was so before."""

    name: Annotated[str, field(1)]
    status: Annotated[str, field(2)]


class QuerySqlProjection(Message, kw_only=True):
    """where, order_by: SQL over the columns of the projection's first table. limit: 0 means 100."""

    name: Annotated[str, field(1)]
    where: Annotated[str, field(2)] = ""
    order_by: Annotated[str, field(3)] = ""
    limit: Annotated[int, field(4, ge=0, le=ROWS_MAX)] = 0
    offset: Annotated[int, field(5, ge=0)] = 0


class SqlRow(Message, kw_only=True):
    """values: each cell as text, nothing for NULL.

    typed_values: each cell as JSON; exact decimals and integers above 2^53 are texts.
    """

    values: Annotated[list[str], field(1)]
    typed_values: Annotated[list[Json], field(2)]


class SqlRows(Message, kw_only=True):
    """total_count: rows that the condition holds for, whatever limit and offset."""

    columns: Annotated[list[str], field(1)]
    rows: Annotated[list[SqlRow], field(2)]
    total_count: Annotated[int, field(3)] = 0


class SqlRebuild(Message, kw_only=True):
    """A rebuild under way. progress: 0 to 1. eta_ms: an estimate, absent while there is nothing to judge from."""

    progress: float
    position: int
    target: int
    started_at: datetime
    eta_ms: int | None = None


class SqlProjection(Message, kw_only=True):
    """last_event_seq: the place in the log up to which it is applied. lag: places that are left.

    generation: how often its tables were made; a rebuild under way counts. failed_seq: the place of the event whose
    statement failed; error_message says how.
    """

    name: str
    description: str | None = None
    status: Literal["active", "rebuilding", "paused", "error"]
    tables: list[str]
    events: list[str]
    last_event_seq: int
    lag: int
    generation: int
    error_message: str | None = None
    failed_seq: int | None = None
    rebuild: SqlRebuild | None = None
    created_at: datetime
    updated_at: datetime


class SqlProjectionDetails(SqlProjection, kw_only=True):
    """With what it was created from."""

    table_sql: str
    event_handlers: dict[str, str]


class ListSqlProjections(Message, kw_only=True):
    limit: Annotated[int, field(ge=1, le=1000)] = 100
    cursor: str = ""


class SqlProjections(Message, kw_only=True):
    projections: list[SqlProjection]
    count: int
    next_cursor: str | None = None


class NamedSqlProjection(Message, kw_only=True):
    name: str


class RebuildSqlProjection(Message, kw_only=True):
    """dry_run: only say how much there would be to apply."""

    name: str
    dry_run: bool = False


class SqlRebuildStarted(Message, kw_only=True):
    """status: `rebuilding` or `dry_run_ok`. target: how much of the log there is to go through."""

    name: str
    status: str
    target: int


class SqlProjectionStatus(Message, kw_only=True):
    status: str


_PATH = "/api/v1/sql-projections"

create = operation(
    "sql_projections.create", CreateSqlProjection, SqlProjectionCreated,
    rest=f"POST {_PATH}", rpc="ProjectionService/CreateSQLProjection", scope="projections:manage",
    errors=(InvalidSqlProjection, InvalidSql, TableTaken, ProjectionNameTaken),
    doc="Makes a SQL projection, or changes it. The server applies it to the log by itself.",
)  # fmt: skip
query = operation(
    "sql_projections.query", QuerySqlProjection, SqlRows,
    rest=f"POST {_PATH}/{{name}}/query", rpc="ProjectionService/QuerySQLProjection", scope="projections:read",
    errors=(SqlProjectionNotFound, InvalidSql), holds=True,
    doc="Rows of a SQL projection's first table, with typed columns.",
)  # fmt: skip
list_ = operation(
    "sql_projections.list", ListSqlProjections, SqlProjections,
    rest=f"GET {_PATH}", scope="projections:read",
    doc="The SQL projections of this environment by name.",
)  # fmt: skip
get = operation(
    "sql_projections.get", NamedSqlProjection, SqlProjectionDetails,
    rest=f"GET {_PATH}/{{name}}", scope="projections:read", errors=(SqlProjectionNotFound,),
    doc="One SQL projection with its status and what it was created from.",
)  # fmt: skip
delete = operation(
    "sql_projections.delete", NamedSqlProjection, SqlProjectionStatus,
    rest=f"DELETE {_PATH}/{{name}}", scope="projections:manage", errors=(SqlProjectionNotFound,),
    doc="Deletes a SQL projection with its tables. The events stay.",
)  # fmt: skip
rebuild = operation(
    "sql_projections.rebuild", RebuildSqlProjection, SqlRebuildStarted,
    rest=f"POST {_PATH}/{{name}}/rebuild", scope="projections:manage", errors=(SqlProjectionNotFound, RebuildUnderWay),
    doc="Fills a new version of the tables from the whole log; readers keep the old one until it has caught up.",
)  # fmt: skip
cancel_rebuild = operation(
    "sql_projections.cancel_rebuild", NamedSqlProjection, SqlProjectionStatus,
    rest=f"POST {_PATH}/{{name}}/cancel", scope="projections:manage", errors=(SqlProjectionNotFound, NoRebuild),
    doc="Drops the new version that is being filled; the old one stays.",
)  # fmt: skip
pause = operation(
    "sql_projections.pause", NamedSqlProjection, SqlProjectionStatus,
    rest=f"POST {_PATH}/{{name}}/pause", scope="projections:manage", errors=(SqlProjectionNotFound,),
    doc="Applies nothing more until it is resumed; its rows can be read as they are.",
)  # fmt: skip
resume = operation(
    "sql_projections.resume", NamedSqlProjection, SqlProjectionStatus,
    rest=f"POST {_PATH}/{{name}}/resume", scope="projections:manage", errors=(SqlProjectionNotFound,),
    doc="Goes on after a pause or an error, from where it stopped.",
)  # fmt: skip
