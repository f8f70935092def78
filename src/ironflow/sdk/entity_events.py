"""What subscribers of entities are given: events out of what is received of `entity:` topics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ironflow.sdk.subscription import Delivered


@dataclass(frozen=True, slots=True)
class EntityEvent:
    """One event of an entity's stream. entity_version: its place there, from 1; version: of its schema.

    sequence: its place in the log, which `after=` goes on behind.
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


def entity_event(received: Delivered, entity_type: str) -> EntityEvent:
    """The event within what was received. Source: protocol/connectrpc.md 7."""
    told: Mapping[str, Any] = received.data
    return EntityEvent(
        id=received.id,
        name=told["name"],
        data=told["data"],
        # Ids and names may have dots in them: what stands before and behind is known.
        entity_id=received.name.removeprefix(f"{entity_type}.").removesuffix(f".{told['name']}"),
        entity_type=entity_type,
        entity_version=told["entityVersion"],
        version=told["version"],
        timestamp=received.timestamp,
        sequence=received.sequence,
        source=received.source,
        metadata=received.metadata,
    )
