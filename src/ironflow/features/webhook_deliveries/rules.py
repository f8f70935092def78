"""What is decided about kept deliveries; pure."""

import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from ironflow.base.time import Millis, to_datetime
from ironflow.features.webhook_deliveries.contract import InvalidDeliveryFilter, WebhookDelivery

STATUSES = ("accepted", "failed", "rejected")
_CREDENTIAL = re.compile(r"authorization|cookie|secret|passw|token|api[-_]?key|credential", re.IGNORECASE)
# Names of ids, whatever they look like.
_NO_CREDENTIALS = frozenset({"i-twilio-idempotency-token", "idempotency-key"})
REMOVED = "[removed]"
HEADERS_MAX = 100
HEADER_CHARS_MAX = 4096


class DeliveryRow(msgspec.Struct, frozen=True):
    """A delivery as it is kept. headers: JSON. duplicate: 0 or 1."""

    id: str
    environment: str
    source_id: str
    external_id: str
    status: str
    event_id: str
    event_name: str
    error: str
    signature_key: str
    duplicate: int
    headers: str
    body: bytes
    body_bytes: int
    created_at: Millis
    replay_of: str = ""
    replayed_as: str = ""


def kept_headers(headers: Iterable[tuple[str, str]]) -> str:
    """The headers as JSON, without the values of credentials. Signatures stay: a replay verifies them again."""
    kept: dict[str, str] = {}
    for name, value in headers:
        if len(kept) == HEADERS_MAX:
            break
        kept[name.replace("\0", "")] = REMOVED if _is_credential(name) else value[:HEADER_CHARS_MAX].replace("\0", "")
    return msgspec.json.encode(kept).decode()


@lru_cache(maxsize=1024)
def _is_credential(name: str) -> bool:
    return _CREDENTIAL.search(name) is not None and name not in _NO_CREDENTIALS


def statuses_of(status: str) -> tuple[str, ...]:
    """The statuses that a filter means. Raises InvalidDeliveryFilter."""
    if status and status not in STATUSES:
        raise InvalidDeliveryFilter(f"{status[:40]!r} is no status of a delivery; there are {', '.join(STATUSES)}.")
    return (status,) if status else STATUSES


def message_of(row: DeliveryRow) -> WebhookDelivery:
    return WebhookDelivery(
        id=row.id,
        source_id=row.source_id,
        external_id=row.external_id,
        status=row.status,
        event_id=row.event_id,
        error=row.error,
        created_at=to_datetime(row.created_at),
        # A part of an empty blob is NULL to SQLite.
        request_body=(row.body or b"").decode("utf-8", "replace"),
        request_headers=msgspec.Raw(row.headers.encode()),
        signature_key=row.signature_key,
        event_name=row.event_name,
        duplicate=bool(row.duplicate),
        body_bytes=row.body_bytes,
        replay_of=row.replay_of,
        replayed_as=row.replayed_as,
    )
