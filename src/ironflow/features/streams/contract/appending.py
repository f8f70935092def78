"""Appending events: one, or several to several streams in one commit."""

from typing import Annotated

import msgspec

from ironflow.base.errors import InvalidArgument, VersionConflict
from ironflow.base.fields import Message, field
from ironflow.base.json import Json, null
from ironflow.base.operation import operation
from ironflow.features.events.contract import (
    EntityTypeConflict,
    EventTooLarge,
    IdempotencyKeyReused,
    InvalidEntity,
    InvalidEvent,
    StreamDeleted,
)
from ironflow.features.schemas.contract import SchemaViolation


class InvalidAppends(InvalidArgument):
    """One request appends 1 to 1000 events, whose data have at most 16 MiB together."""

    code = "INVALID_APPENDS"


class AppendEvent(Message, kw_only=True):
    """One event for an entity's stream. Data is any JSON; version is that of the event's schema.

    entity_type: may be left out where the stream exists. expected_version: -1 any, 0 the stream must be new, n it must
    be at n. The same idempotency_key on this stream within 7 days answers the first append again, when
    name and data are the same.
    """

    entity_id: Annotated[str, field(1)]
    entity_type: Annotated[str, field(2)] = ""
    event_name: Annotated[str, field(3, also=("name",))]
    data: Annotated[Json, field(4, twin=9)] = msgspec.field(default_factory=null)
    expected_version: Annotated[int, field(5, int64=True, absent_is_zero=True)] = -1
    idempotency_key: Annotated[str, field(6)] = ""
    version: Annotated[int, field(7)] = 1
    metadata: Annotated[Json, field(8)] | None = None


class Appended(Message, kw_only=True):
    """entity_version: of the event in its stream, from 1. sequence: its position in the log.

    Waits for projections count by sequence. run_ids: the runs that it started. duplicate: the idempotency key was used
    before, with the same name and data.
    """

    entity_version: Annotated[int, field(1, int64=True)]
    event_id: Annotated[str, field(2)]
    sequence: Annotated[int, field(3, int64=True)] = 0
    run_ids: Annotated[list[str], field(None, only="rest")] = []
    duplicate: Annotated[bool, field(None, only="rest")] | None = None


class StreamAppend(Message, kw_only=True):
    """One event of AppendMany; its fields are as of AppendEvent.

    expected_version: of its stream at its turn, after the events before it in the request.
    """

    entity_id: str
    entity_type: str = ""
    event_name: Annotated[str, field(None, also=("name",))]
    data: Json = msgspec.field(default_factory=null)
    expected_version: int = -1
    version: int = 1
    metadata: Json | None = None


class AppendMany(Message, kw_only=True):
    """appends: in the order of their positions. All are recorded in one commit, or none.

    The same idempotency_key within 7 days answers the first request again, when it has the same events.
    """

    appends: list[StreamAppend]
    idempotency_key: str = ""


class AppendedMany(Message, kw_only=True):
    """appended: one for each event of the request, in its order."""

    appended: list[Appended]


_STREAM = "/api/v1/streams/{entity_id...}"

append = operation(
    "streams.append", AppendEvent, Appended,
    rest=f"POST {_STREAM}/events", rpc="EntityStreamService/AppendEvent", spelling="camel", success=201,
    scope="entities:append", adds="events",
    errors=(
        VersionConflict, EntityTypeConflict, InvalidEntity, InvalidEvent, EventTooLarge, SchemaViolation,
        IdempotencyKeyReused, StreamDeleted,
    ),
    doc="Appends an event to an entity's stream at its next version, and starts runs as events.emit does.",
)  # fmt: skip
append_many = operation(
    "streams.append_many", AppendMany, AppendedMany,
    rest="POST /api/v1/streams/append", spelling="both", success=201,
    scope="entities:append", adds="events",
    errors=(
        InvalidAppends, VersionConflict, EntityTypeConflict, InvalidEntity, InvalidEvent, EventTooLarge,
        SchemaViolation, IdempotencyKeyReused, StreamDeleted,
    ),
    doc="Appends events to several streams in one commit, all or none; a refusal names its event and stream.",
)  # fmt: skip
