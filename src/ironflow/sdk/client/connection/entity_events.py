"""Events of entities, from the messages of `entity:` topics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ironflow.sdk.client.connection.received import SubscriptionEventFields


@dataclass(frozen=True, slots=True)
class EntityEvent:
    """One event of an entity's stream. entity_version: its position there, from 1; version: of its schema.

    sequence: its position in the log, for `after=`.
    """

    id: str
    name: str
    data: Any
    entity_id: str
    entity_type: str
    entity_version: int
    version: int
    timestamp: datetime | None
    sequence: int
    source: str = ""
    metadata: Mapping[str, Any] | None = None


def entity_event(received: SubscriptionEventFields, entity_type: str) -> EntityEvent:
    """The event as one of a stream whose type is known: it may contain dots, which a topic does not show."""
    entity_id = f"{received.entity_type}.{received.entity_id}".removeprefix(f"{entity_type}.")
    return EntityEvent(
        id=received.id,
        name=received.name,
        data=received.data,
        entity_id=entity_id,
        entity_type=entity_type,
        entity_version=received.entity_version or 0,
        version=received.version,
        timestamp=received.timestamp,
        sequence=received.sequence,
        source=received.source,
        metadata=received.metadata,
    )
