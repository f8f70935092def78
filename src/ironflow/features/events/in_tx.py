"""What other features do with events inside their own transactions."""

from ironflow.features.events.contract import InvalidEvent, StreamDeleted
from ironflow.features.events.emitting import Answer, Emission, Emitter
from ironflow.features.events.importing import StreamEnds
from ironflow.features.events.rules import (
    TOMBSTONE,
    WEBHOOK,
    check_entity,
    check_idempotency_key,
    check_not_deleted,
    record_of,
    tombstone,
)
from ironflow.features.events.searching import Found, search
from ironflow.features.events.unneeded import delete_unneeded

__all__ = [
    "TOMBSTONE",
    "WEBHOOK",
    "Answer",
    "Emission",
    "Emitter",
    "Found",
    "InvalidEvent",
    "StreamDeleted",
    "StreamEnds",
    "check_entity",
    "check_idempotency_key",
    "check_not_deleted",
    "delete_unneeded",
    "record_of",
    "search",
    "tombstone",
]
