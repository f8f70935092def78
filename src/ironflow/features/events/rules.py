"""What is decided about events; pure."""

import re
from collections.abc import Sequence, Set
from functools import lru_cache
from typing import NamedTuple

from ironflow.base.errors import InvalidArgument, VersionConflict
from ironflow.base.json import Json, check_payload, json_text, read_json, write_json_text
from ironflow.base.pattern import has_empty_token, without_empty_tokens
from ironflow.base.redacted import is_redacted
from ironflow.base.time import Millis
from ironflow.base.trace_context import TraceContext, with_trace
from ironflow.features.events.contract import (
    NAME_CHARS_MAX,
    EntityTypeConflict,
    EventTooLarge,
    InvalidEntity,
    InvalidEvent,
    StreamDeleted,
)
from ironflow.log.heads import Head
from ironflow.log.record import Record

KEY_BYTES_MAX = 255
ID_CHARS_MAX = 128
ENTITY_CHARS_MAX = 256
# Valid names that are remembered.
NAMES_KNOWN_MAX = 1_000
# What an append expects that does not care.
ANY_VERSION = -1
# The source of events that a webhook brought.
WEBHOOK = "webhook"
# The last event of a deleted stream. Source: behaviour.md 9.
TOMBSTONE = "$stream.deleted"
NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,128}")

_FORBIDDEN_IN_NAME = re.compile(r"[\s\x00-\x1f\x7f*>]")
_FORBIDDEN_IN_KEY = re.compile(r"[\s\x00-\x1f\x7f]")


class InvalidIdempotencyKey(InvalidArgument):
    """An idempotency key is at most 255 bytes without spaces or control characters."""

    code = "INVALID_IDEMPOTENCY_KEY"


# Names repeat: saves searching each again.
@lru_cache(maxsize=NAMES_KNOWN_MAX)
def check_event_name(name: str, *, imported: bool = False) -> None:
    """imported: it has been in a log, which may be older than the rule about empty parts.

    Raises InvalidEvent. Source: protocol/errors-and-defaults.md 8, for names beginning with `$`.
    """
    if name.startswith("$"):
        raise InvalidEvent(f"{name[:60]!r} is no event name: names that begin with `$` are reserved.")
    if not name or len(name) > NAME_CHARS_MAX or _FORBIDDEN_IN_NAME.search(name):
        raise InvalidEvent(
            f"{name[:60]!r} is no event name: write 1 to {NAME_CHARS_MAX} characters without spaces, `*` or `>`."
        )
    if has_empty_token(name) and not imported:
        raise InvalidEvent(
            f"{name[:60]!r} is no event name: a part between its dots is empty, which no pattern may have. "
            f"Write {without_empty_tokens(name)[:60]!r}."
        )


class Mark(NamedTuple):
    """A record of the log without what it says. recorded_at: here, also when it was imported."""

    position: int
    id: str
    kind: str
    recorded_at: Millis


def is_old(mark: Mark, oldest: Millis) -> bool:
    """Whether the record's time is over; `oldest` is the first moment that is kept."""
    return mark.recorded_at < oldest


def old_prefix(marks: Sequence[Mark], oldest: Millis, read_to: int | None) -> list[Mark]:
    """The records before the first one that is young enough, or that some reader has not read.

    marks: in the order of the log. read_to: the last position that every reader has read, None without readers.
    Retention cuts the log from its beginning: a hole in the middle would be none that a reader could know of.
    """
    old: list[Mark] = []
    for mark in marks:
        if not is_old(mark, oldest) or (read_to is not None and mark.position > read_to):
            break
        old.append(mark)
    return old


def decide_purge(mark: Mark, needed: Set[str]) -> bool:
    """Whether an old record is removed. needed: ids of records that something still refers to.

    Streams' events are what their entities are; they have no age. Source: decision 0019.
    """
    return mark.kind != "entity" and mark.id not in needed


def check_event_id(event_id: str) -> None:
    """Of an event that brings its own. Raises InvalidEvent."""
    if not event_id or len(event_id) > ID_CHARS_MAX or _FORBIDDEN_IN_NAME.search(event_id) or "/" in event_id:
        raise InvalidEvent(
            f"{event_id[:60]!r} is no event id: write 1 to {ID_CHARS_MAX} characters without spaces or slashes."
        )


def check_idempotency_key(key: str) -> None:
    """Raises InvalidIdempotencyKey."""
    if len(key.encode()) > KEY_BYTES_MAX or _FORBIDDEN_IN_KEY.search(key):
        raise InvalidIdempotencyKey(
            f"{key[:40]!r} is no idempotency key: write at most {KEY_BYTES_MAX} bytes without spaces."
        )


def check_entity(entity_id: str, entity_type: str, expected_version: int) -> None:
    """entity_type: empty for whatever the stream's is. Raises InvalidEntity."""
    for what, text in (("id", entity_id), ("type", entity_type or "any")):
        if not text or len(text) > ENTITY_CHARS_MAX or _FORBIDDEN_IN_NAME.search(text):
            raise InvalidEntity(
                f"{text[:60]!r} is no entity {what}: "
                f"write 1 to {ENTITY_CHARS_MAX} characters without spaces, `*` or `>`."
            )
    if expected_version < ANY_VERSION:
        raise InvalidEntity(
            f"expected_version is {expected_version}; write -1 for any, 0 for a new stream, or the version it is at."
        )


def decide_append(head: Head, entity_type: str, expected_version: int, now: Millis, *, tombstone: bool = False) -> Head:
    """The head after one more event. tombstone: it is the stream's last one.

    head: of version 0 for a new stream. entity_type: empty for whatever the stream's is.
    expected_version: -1 any, 0 the stream must be new, n it must be at n.
    Raises VersionConflict, EntityTypeConflict, InvalidEntity, StreamDeleted.
    Source: protocol/connectrpc.md 5.4; behaviour.md 9; decision 0017.
    """
    check_not_deleted(head)
    if head.version and entity_type and entity_type != head.entity_type:
        raise EntityTypeConflict(
            f"Entity {head.entity_id!r} has the type {head.entity_type!r}, the append says {entity_type!r}. "
            "An id is one entity within its environment: take another id, or the stream's own type."
        )
    if expected_version not in (ANY_VERSION, head.version):
        details = {"current_version": head.version, "expected_version": expected_version}
        raise VersionConflict(_conflict_text(head, expected_version), details=details)
    if not head.version and not entity_type:
        raise InvalidEntity(f"Entity {head.entity_id!r} has no events yet; say its entity_type with the first one.")
    return Head(
        environment=head.environment,
        entity_id=head.entity_id,
        entity_type=head.entity_type or entity_type,
        version=head.version + 1,
        event_count=head.event_count + 1,
        created_at=head.created_at if head.version else now,
        # Nodes may differ by a moment about the time.
        updated_at=max(head.updated_at, now) if head.version else now,
        deleted_at=now if tombstone else None,
    )


def check_not_deleted(head: Head) -> None:
    """Raises StreamDeleted."""
    if head.deleted_at is not None:
        raise StreamDeleted(
            f"The stream of entity {head.entity_id!r} was deleted at version {head.version}; nothing is appended to it "
            "any more. Give a new entity another id."
        )


def tombstone(event_id: str, environment: str, entity_id: str, reason: str, deleted_by: str, now: Millis) -> Record:
    """The last event of a stream, which says that it was deleted. Source: behaviour.md 9."""
    return Record(
        id=event_id,
        environment=environment,
        kind="entity",
        name=TOMBSTONE,
        data=write_json_text({"reason": reason} if reason else {}),
        metadata=None,
        version=1,
        source="api",
        namespace="default",
        idempotency_key=None,
        run_id=None,
        emitted_by=deleted_by or None,
        entity_id=entity_id,
        entity_type="",
        created_at=now,
    )


def difference_from_first(first: Record, repeated: Record) -> str:
    """What a repetition of an idempotency key has changed: `stream`, `name`, `data`, or empty for nothing.

    first: as it is recorded. Its data cannot be compared once it is redacted: it counts as equal.
    """
    if repeated.entity_id != first.entity_id:
        return "stream"
    if repeated.name != first.name:
        return "name"
    if repeated.data == first.data:
        return ""
    if is_redacted(first.data) or read_json(first.data or "null") == read_json(repeated.data or "null"):
        return ""
    return "data"


def _conflict_text(head: Head, expected_version: int) -> str:
    expects = f"version {expected_version}" if expected_version else "a new stream"
    if not head.version:
        return f"version conflict: entity {head.entity_id!r} has no events yet, the append expects {expects}."
    return (
        f"version conflict: entity {head.entity_id!r} is at version {head.version}, the append expects {expects}. "
        "Read the stream again and decide again, or send -1 to append whatever its version."
    )


def record_of(
    *,
    event_id: str,
    environment: str,
    name: str,
    data: Json,
    metadata: Json | None,
    version: int,
    namespace: str,
    idempotency_key: str,
    run_id: str,
    emitted_by: str,
    data_bytes_max: int,
    now: Millis,
    entity: tuple[str, str] | None = None,
    imported: bool = False,
    tombstone_of_import: bool = False,
    trace: TraceContext | None = None,
    source: str = "api",
) -> Record:
    """The event to append. entity: (id, type) for one of its stream. imported: it comes from
    another log. tombstone_of_import: it may end a stream.

    trace: the span that emits it, kept in the metadata where that names none itself.

    Raises InvalidEvent, EventTooLarge, InvalidIdempotencyKey.
    """
    if not (tombstone_of_import and name == TOMBSTONE):
        check_event_name(name, imported=imported)
    check_idempotency_key(idempotency_key)
    if version < 1:
        # 0 is what a client sends that does not set it; anything below is a mistake.
        if version < 0:
            raise InvalidEvent(f"The event's version is {version}; versions start at 1.")
        version = 1
    if not NAMESPACE.fullmatch(namespace):
        raise InvalidEvent(f"{namespace[:60]!r} is no namespace: write letters, digits, `_`, `-` or `.`.")
    size = len(bytes(data))
    if size > data_bytes_max:
        raise EventTooLarge(
            f"The data of event {name!r} is {size} bytes; this server accepts {data_bytes_max}. "
            "Store it elsewhere and send a reference, or raise the server's limit."
        )
    return Record(
        id=event_id,
        environment=environment,
        kind="event" if entity is None else "entity",
        name=name,
        data=json_text(data) or "null",
        metadata=with_trace(metadata_text(metadata), trace),
        version=version,
        source=source,
        namespace=namespace,
        idempotency_key=idempotency_key or None,
        run_id=run_id or None,
        emitted_by=emitted_by or None,
        entity_id=entity[0] if entity is not None else None,
        entity_type=entity[1] if entity is not None else None,
        created_at=now,
    )


def metadata_text(metadata: Json | None) -> str | None:
    """Metadata as it is stored. Raises InvalidEvent when it is not an object."""
    if metadata is None:
        return None
    check_payload(metadata, "the metadata", 64 * 1024)
    text = json_text(metadata) or ""
    if not text.lstrip().startswith("{"):
        raise InvalidEvent("The event's metadata is not a JSON object.")
    return text
