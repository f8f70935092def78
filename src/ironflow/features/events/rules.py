"""What is decided about events; pure."""

import re

from ironflow.base.errors import InvalidArgument
from ironflow.base.json import Json, check_payload, json_text
from ironflow.base.time import Millis
from ironflow.features.events.contract import EventTooLarge, InvalidEvent
from ironflow.log.record import Record

NAME_CHARS_MAX = 256
KEY_BYTES_MAX = 255
NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,128}")

_FORBIDDEN_IN_NAME = re.compile(r"[\s\x00-\x1f\x7f*>]")
_FORBIDDEN_IN_KEY = re.compile(r"[\s\x00-\x1f\x7f]")


class InvalidIdempotencyKey(InvalidArgument):
    """An idempotency key is at most 255 bytes without spaces or control characters."""

    code = "INVALID_IDEMPOTENCY_KEY"


def check_event_name(name: str) -> None:
    """Raises InvalidEvent."""
    if not name or len(name) > NAME_CHARS_MAX or _FORBIDDEN_IN_NAME.search(name):
        raise InvalidEvent(
            f"{name[:60]!r} is no event name: write 1 to {NAME_CHARS_MAX} characters without spaces, `*` or `>`."
        )


def check_idempotency_key(key: str) -> None:
    """Raises InvalidIdempotencyKey."""
    if len(key.encode()) > KEY_BYTES_MAX or _FORBIDDEN_IN_KEY.search(key):
        raise InvalidIdempotencyKey(
            f"{key[:40]!r} is no idempotency key: write at most {KEY_BYTES_MAX} bytes without spaces."
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
) -> Record:
    """The event to append. Raises InvalidEvent, EventTooLarge, InvalidIdempotencyKey."""
    check_event_name(name)
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
        kind="event",
        name=name,
        data=json_text(data) or "null",
        metadata=metadata_text(metadata),
        version=version,
        source="api",
        namespace=namespace,
        idempotency_key=idempotency_key or None,
        run_id=run_id or None,
        emitted_by=emitted_by or None,
        created_at=now,
    )


def metadata_text(metadata: Json | None) -> str | None:
    """Metadata as it is kept. Raises InvalidEvent when it is not an object."""
    if metadata is None:
        return None
    check_payload(metadata, "the metadata", 64 * 1024)
    text = json_text(metadata) or ""
    if not text.lstrip().startswith("{"):
        raise InvalidEvent("The event's metadata is not a JSON object.")
    return text
