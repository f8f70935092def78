"""What is decided about schemas; pure. Source: docs/reference/schemas.md, protocol/connectrpc.md 5.6."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, cast

from ironflow.base.errors import InvalidArgument
from ironflow.base.json import DEPTH_MAX, InvalidJson, depth, read_json
from ironflow.base.time import Millis
from ironflow.features.schemas.contract import InvalidSchema, UpcastStep

# off: nothing is looked at. warn: what does not fit is logged, counted and accepted. reject: it is refused.
Enforcement = Literal["off", "warn", "reject"]

SCHEMA_BYTES_MAX = 256 * 1024
# What compiles schemas gives up at 255 levels; each level of properties is two of JSON.
SCHEMA_DEPTH_MAX = 100
NAME_CHARS_MAX = 256
DESCRIPTION_CHARS_MAX = 2_000
_2020_12 = ("https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft/2020-12/schema")


@dataclass(frozen=True, slots=True)
class SchemaRow:
    """A schema as it is stored. digest: of its text; what was compiled is kept under it."""

    environment: str
    event_name: str
    version: int
    schema_json: str
    digest: str
    description: str
    created_at: Millis
    updated_at: Millis


@dataclass(frozen=True, slots=True)
class Violation:
    """How data departs from its schema. path: a JSON pointer into the data, empty for the whole of it."""

    path: str
    reason: str


def digest_of(schema_json: str) -> str:
    return sha256(schema_json.encode()).hexdigest()


def check_schema_text(schema_json: str) -> Any:
    """The schema that the text holds, an object or a bool. Raises InvalidSchema."""
    size = len(schema_json.encode())
    if size > SCHEMA_BYTES_MAX:
        raise InvalidSchema(f"The schema is {size} bytes; this server accepts {SCHEMA_BYTES_MAX}.")
    nested = depth(schema_json.encode())
    if nested > min(SCHEMA_DEPTH_MAX, DEPTH_MAX):
        raise InvalidSchema(
            f"The schema is nested {nested} levels deep; this server accepts {SCHEMA_DEPTH_MAX}. "
            "Name its parts in $defs and refer to them."
        )
    try:
        schema = read_json(schema_json)
    except InvalidJson as fault:
        raise InvalidSchema(f"The schema is not JSON: {fault.message}") from None
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict):
        raise InvalidSchema("A schema is a JSON object, or true or false.")
    dialect = cast(dict[str, Any], schema).get("$schema", _2020_12[0])
    if not isinstance(dialect, str) or dialect.rstrip("#") not in _2020_12:
        raise InvalidSchema(
            f"The schema says $schema {str(dialect)[:80]!r}; this server holds events to {_2020_12[0]}."
        )
    return cast(Any, schema)


def check_schema_names(event_name: str, description: str) -> None:
    """Raises InvalidSchema for a name that no event has, or a description that is too long."""
    if not event_name or len(event_name) > NAME_CHARS_MAX or any(each.isspace() or each in "*>" for each in event_name):
        raise InvalidSchema(
            f"{event_name[:60]!r} is no event name: write 1 to {NAME_CHARS_MAX} characters without spaces, `*` or `>`."
        )
    if len(description) > DESCRIPTION_CHARS_MAX:
        raise InvalidSchema(
            f"The description has {len(description)} characters; this server accepts {DESCRIPTION_CHARS_MAX}."
        )


# Steps that one try of an upcast is described by.
UPCAST_STEPS_MAX = 100


def upcast_step(version: int, is_registered: bool) -> UpcastStep:
    """The step to a version. It changes no data: upcasters are code of the workers.

    Source: protocol/connectrpc.md 5.6, TestUpcast.
    """
    description = f"upcast to v{version}" if is_registered else f"no schema registered for version {version}"
    return UpcastStep(from_version=version - 1, to_version=version, description=description)


def cursor_of(text: str) -> tuple[str, int]:
    """Name and version after which a list goes on. Raises InvalidArgument."""
    if not text:
        return "", 0
    name, _, version = text.rpartition("@")
    if not version.isascii() or not version.isdigit() or len(version) > 10:
        raise InvalidArgument(f"{text[:40]!r} is not a cursor of this list. Pass next_cursor as it was given.")
    return name, int(version)


def cursor_text(event_name: str, version: int) -> str:
    return f"{event_name}@{version}"
