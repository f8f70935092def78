"""What is decided about SQL projections; pure. Source: docs/reference/sql.md, protocol/connectrpc.md 5.5."""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

import msgspec

from ironflow.base.pattern import compiled, is_pattern, literal_prefix, matches
from ironflow.base.sql import Statement, check_handler, check_tables
from ironflow.base.sqltext import DialectName
from ironflow.base.time import Millis
from ironflow.features.sql_projections.contract import NAME, CreateSqlProjection, InvalidSqlProjection

Status = Literal["active", "rebuilding", "paused", "error"]
Created = Literal["created", "updated", "rebuilding", "unchanged"]

HANDLERS_MAX = 200
# Before a statement that failed is run again; after the last of them the projection stops.
RETRY_DELAYS_MS = (1_000, 5_000, 15_000)

_SIMPLE = {
    "data", "metadata", "event_id", "event_name", "event_version", "seq", "timestamp", "timestamp_ms", "source",
    "namespace", "environment", "run_id", "entity_type", "entity_id", "entity_version",
}  # fmt: skip
_PATHS = ("data.", "event.data.", "metadata.")


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A projection as it was given and as it is run.

    tables: CREATE statements. table_names: in order of creation; the first one answers queries.
    handlers: event name or pattern to the statement as given; statements: the same, checked, for the driver.
    """

    table_sql: str
    tables: tuple[str, ...]
    table_names: tuple[str, ...]
    events: tuple[str, ...]
    handlers: dict[str, str]
    statements: dict[str, tuple[str, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Generation:
    """One version of a projection's tables.

    position: how far its place was when that was last noted. target: where the log was when its rebuild began, 0 when
    it is none. failures: of the statement at failed_position, in a row. retry_at: when to go on; error: why it stands.
    """

    environment: str
    name: str
    generation: int
    place: str
    definition: Definition
    position: int
    target: int
    started_at: Millis
    updated_at: Millis
    failures: int = 0
    retry_at: Millis = 0
    failed_position: int = 0
    error: str = ""

    @property
    def stopped(self) -> bool:
        """It does not go on by itself."""
        return bool(self.error) and self.retry_at == 0


@dataclass(frozen=True, slots=True)
class Projection:
    """serving: the generation that is read. building: the one that will take its place, None when there is none."""

    environment: str
    name: str
    description: str
    serving: Generation
    building: Generation | None
    last_generation: int
    paused: bool
    created_at: Millis
    updated_at: Millis


def is_parameter(name: str) -> bool:
    """Whether a statement may have `:name`."""
    return name in _SIMPLE or any(name.startswith(path) and len(name) > len(path) for path in _PATHS)


def check_name(name: str) -> None:
    """Raises InvalidSqlProjection."""
    if not re.match(NAME, name):
        raise InvalidSqlProjection(
            f"{name[:60]!r} is no name of a projection: write 1 to 64 letters, digits, `_` or `-`, a letter first."
        )


def check_definition(request: CreateSqlProjection, dialect: DialectName) -> Definition:
    """What the request defines. Raises InvalidSqlProjection, InvalidSql, InvalidPattern."""
    check_name(request.name)
    handlers = request.event_handlers
    if len(handlers) > HANDLERS_MAX or len(request.events) > HANDLERS_MAX:
        raise InvalidSqlProjection(f"event_handlers has {len(handlers)} entries; {HANDLERS_MAX} is the limit.")
    events = tuple(dict.fromkeys(request.events or sorted(handlers)))
    for event in (*events, *handlers):
        if not event.strip() or len(event) > 255:
            raise InvalidSqlProjection(f"{event[:60]!r} is no event name or pattern.")
        if is_pattern(event):
            compiled(event)
    for event in handlers:
        if event not in events and not any(matches(pattern, event) for pattern in events):
            raise InvalidSqlProjection(
                f"There is a handler for {event!r}, which `events` does not follow. Add it there."
            )
    tables, names = check_tables(request.table_sql, dialect)
    statements: dict[str, tuple[str, tuple[str, ...]]] = {}
    for event, sql in handlers.items():
        found: Statement = check_handler(sql, event, dialect, frozenset(names), is_parameter)
        statements[event] = (found.sql, found.params)
    return Definition(
        table_sql=request.table_sql,
        tables=tables,
        table_names=names,
        events=events,
        handlers=dict(handlers),
        statements=statements,
    )


def handler_of(definition: Definition, event: str) -> tuple[str, tuple[str, ...]] | None:
    """The statement for an event of this name: its own handler, else that of the most exact pattern, or None."""
    if not any(matches(pattern, event) for pattern in definition.events):
        return None
    exact = definition.statements.get(event)
    if exact is not None:
        return exact
    fitting = [pattern for pattern in definition.statements if is_pattern(pattern) and matches(pattern, event)]
    return definition.statements[max(fitting, key=_exactness)] if fitting else None


def _exactness(pattern: str) -> tuple[int, bool, str]:
    return len(literal_prefix(pattern)), not pattern.endswith(">"), pattern


def decide_creation(before: Definition | None, after: Definition, same_description: bool) -> Created:
    """What a creation does to the projection that there is."""
    if before is None:
        return "created"
    if before.tables != after.tables:
        return "rebuilding"
    if before.handlers != after.handlers or before.events != after.events or not same_description:
        return "updated"
    return "unchanged"


def decide_retry_at(failures: int, now: Millis) -> Millis | None:
    """When the statement that failed for the `failures`th time in a row is run again; None to stop at it."""
    return now + RETRY_DELAYS_MS[failures - 1] if failures <= len(RETRY_DELAYS_MS) else None


def decide_swap(projection: Projection, head: int) -> bool:
    """Whether the generation that is being built takes over: it has all that readers have seen, and has caught up."""
    building = projection.building
    if building is None or building.error or projection.paused:
        return False
    return building.position >= min(max(building.target, projection.serving.position), head)


def status_of(projection: Projection) -> Status:
    """What people see. A projection that tries a failed statement again is not in error yet."""
    if projection.paused:
        return "paused"
    if any(each is not None and each.stopped for each in (projection.serving, projection.building)):
        return "error"
    if projection.building is not None or projection.serving.position < projection.serving.target:
        return "rebuilding"
    return "active"


def place_of(environment: str, name: str, generation: int) -> str:
    """The name of a generation's place: a file's or schema's name, so short and in lower case."""
    readable = re.sub(r"[^a-z0-9]", "_", name.lower())[:20]
    unique = hashlib.sha256(f"{environment}\0{name}".encode()).hexdigest()[:12]
    return f"{readable}_{unique}_{generation}"
