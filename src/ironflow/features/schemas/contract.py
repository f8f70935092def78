"""What can be asked of event schemas.

Source: protocol/rest.md 3, protocol/connectrpc.md 5.6, protocol/connectrpc.json.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from ironflow.base.errors import InvalidArgument, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.json import Json, null
from ironflow.base.operation import operation

VERSION_MAX = 2**31 - 1


class SchemaNotFound(NotFound):
    """There is no schema of that event and version in this environment."""

    code = "SCHEMA_NOT_FOUND"


class InvalidSchema(InvalidArgument):
    """The text is not a JSON Schema (2020-12) that this server can hold events to."""

    code = "INVALID_SCHEMA"


class SchemaViolation(InvalidArgument):
    """The event's data does not fit the schema that is registered for its name and version."""

    code = "SCHEMA_VIOLATION"


class RegisterSchema(Message, kw_only=True):
    """schema_json: the schema as a JSON text; the schema itself is taken too. version: of the event, from 1."""

    event_name: Annotated[str, field(1, also=("name", "event"))]
    version: Annotated[int, field(2, ge=1, le=VERSION_MAX)] = 1
    schema_json: Annotated[str, field(3, also=("schema",), json_text=True)]
    description: Annotated[str, field(4)] = ""
    change_reason: Annotated[str, field(5)] = ""


class Registered(Message, kw_only=True):
    """status: `created`, or `updated` when there was a schema of that event and version, also the same."""

    status: Annotated[str, field(1)]
    event_name: Annotated[str, field(None, only="rest")] = ""
    version: Annotated[int, field(None, only="rest")] = 0
    schema: Annotated[Json, field(None, only="rest")] = msgspec.field(default_factory=null)
    schema_json: Annotated[str, field(None, only="rest")] = ""
    description: Annotated[str, field(None, only="rest")] = ""
    created_at: Annotated[datetime, field(None, only="rest")] | None = None
    updated_at: Annotated[datetime, field(None, only="rest")] | None = None


class SchemaInfo(Message, kw_only=True):
    """A schema. schema_json: the text as it was registered; schema: the same as JSON."""

    event_name: Annotated[str, field(1)]
    version: Annotated[int, field(2)]
    description: Annotated[str, field(3)] = ""
    created_at: Annotated[datetime, field(4)]
    schema_json: Annotated[str, field(5)]
    environment_id: Annotated[str, field(6)] = "default"
    schema: Annotated[Json, field(None, only="rest")] = msgspec.field(default_factory=null)
    updated_at: Annotated[datetime, field(None, only="rest")] | None = None


class Schema(Message, kw_only=True):
    """As SchemaInfo; the protocol numbers the fields of a single schema differently."""

    event_name: Annotated[str, field(1)]
    version: Annotated[int, field(2)]
    schema_json: Annotated[str, field(3)]
    description: Annotated[str, field(4)] = ""
    created_at: Annotated[datetime, field(5)]
    environment_id: Annotated[str, field(6)] = "default"
    schema: Annotated[Json, field(None, only="rest")] = msgspec.field(default_factory=null)
    updated_at: Annotated[datetime, field(None, only="rest")] | None = None


class GetSchema(Message, kw_only=True):
    """version: 0 for the latest."""

    event_name: Annotated[str, field(1)]
    version: Annotated[int, field(2, ge=0, le=VERSION_MAX)] = 0


class ListSchemas(Message, kw_only=True):
    """event_name: only this event's; may hold `*` and `>`. limit 0 means 100, 10,000 over REST; offset counts on."""

    event_name: Annotated[str, field(1, also=("name",))] = ""
    limit: Annotated[int, field(2, ge=0, le=10_000)] = 0
    offset: Annotated[int, field(3, ge=0, le=1_000_000)] = 0
    cursor: str = ""


class Schemas(Message, kw_only=True):
    """By event name, then version. total_count: of all that pass the filter."""

    schemas: Annotated[list[SchemaInfo], field(1)]
    total_count: Annotated[int, field(2)]
    next_cursor: str | None = None


class DeleteSchema(Message, kw_only=True):
    event_name: Annotated[str, field(1)]
    version: Annotated[int, field(2, ge=1, le=VERSION_MAX)]
    change_reason: Annotated[str, field(3)] = ""


class TestUpcast(Message, kw_only=True):
    event_name: Annotated[str, field(1)]
    from_version: Annotated[int, field(2, ge=1, le=VERSION_MAX)]
    to_version: Annotated[int, field(3, ge=1, le=VERSION_MAX)]
    data: Annotated[Json, field(4, twin=5)]


class UpcastStep(Message, kw_only=True):
    from_version: Annotated[int, field(1)]
    to_version: Annotated[int, field(2)]
    description: Annotated[str, field(3)] = ""


class Upcasted(Message, kw_only=True):
    """The data at to_version, and the steps that it took."""

    data: Annotated[Json, field(1, twin=3)]
    steps_applied: Annotated[list[UpcastStep], field(2)] = []


class UpcastTried(Message, kw_only=True):
    """data: as it was sent when it cannot be brought to the version; error says why then."""

    success: bool
    data: Json
    error: str | None = None


class CheckEvents(Message, kw_only=True):
    """schema_json: the schema as a JSON text, or itself; empty for the one that is registered for `version`, 0 for the
    latest. of_version: only events of this version, 0 for all, among the newest 10,000 of the name. limit: how many of
    the newest events are checked.
    """

    event_name: Annotated[str, field(None, also=("name", "event"))]
    schema_json: Annotated[str, field(None, also=("schema",), json_text=True)] = ""
    version: Annotated[int, field(ge=0, le=VERSION_MAX)] = 0
    of_version: Annotated[int, field(ge=0, le=VERSION_MAX)] = 0
    limit: Annotated[int, field(ge=1, le=1000)] = 200


class Departure(Message, kw_only=True):
    """An event that does not fit. path: a JSON pointer into its data. reason: without the data itself."""

    event_id: str
    version: int
    path: str
    reason: str


class EventsChecked(Message, kw_only=True):
    """departures: of the newest 20 events that do not fit, each with its first fault. more: there are older ones."""

    checked: int
    fit: int
    departures: list[Departure]
    more: bool


_ONE = "/api/v1/events/schemas/{event_name}/{version}"


def _status(answer: Any) -> int:
    return 201 if answer.status == "created" else 200


register = operation(
    "schemas.register", RegisterSchema, Registered,
    rest="POST /api/v1/events/schemas", rpc="EventSchemaService/RegisterSchema", status_from=_status,
    statuses=(200, 201),
    scope="schemas:write", errors=(InvalidSchema,),
    doc="Registers the schema of an event's version, in place of the one that it had.",
)  # fmt: skip
list_ = operation(
    "schemas.list", ListSchemas, Schemas,
    rest="GET /api/v1/events/schemas", rpc="EventSchemaService/ListSchemas", scope="schemas:read",
    rest_defaults={"limit": 10_000},
    doc="The schemas of this environment by event name and version.",
)  # fmt: skip
get = operation(
    "schemas.get", GetSchema, Schema,
    rest=("GET /api/v1/events/schemas/{event_name}", f"GET {_ONE}"), rpc="EventSchemaService/GetSchema",
    scope="schemas:read", errors=(SchemaNotFound,),
    doc="The schema of an event's version, or of its latest version.",
)  # fmt: skip
delete = operation(
    "schemas.delete", DeleteSchema, None,
    rest=f"DELETE {_ONE}", rpc="EventSchemaService/DeleteSchema", scope="schemas:write", errors=(SchemaNotFound,),
    doc="Deletes the schema of an event's version; events of that version are no longer looked at.",
)  # fmt: skip
test_upcast = operation(
    "schemas.test_upcast", TestUpcast, Upcasted,
    rpc="EventSchemaService/TestUpcast", scope="schemas:read",
    doc="The data unchanged when both versions are the same; to change it is the work of the SDK's upcasters.",
)  # fmt: skip
upcast = operation(
    "schemas.upcast", TestUpcast, UpcastTried,
    rest="POST /api/v1/events/upcast", scope="schemas:read",
    doc="As schemas.test_upcast, with a refusal as an answer.",
)  # fmt: skip
check_events = operation(
    "schemas.check_events", CheckEvents, EventsChecked,
    rest="POST /api/v1/events/schemas/check", scope="schemas:read", asks=("events:read",),
    errors=(SchemaNotFound, InvalidSchema),
    doc="Holds the newest recorded events of a name to a schema, before it is registered; nothing is changed.",
)  # fmt: skip
