"""Puts the feature into a server."""

from ironflow.features.entities.service import Entities
from ironflow.features.entities.writing import StateWriter
from ironflow.features.events.in_tx import Emitter
from ironflow.features.parts import Parts
from ironflow.features.schemas.in_tx import SchemaGuard


def install(parts: Parts) -> None:
    settings = parts.settings
    bytes_max = min(settings.entity_state_bytes_max, settings.event_bytes_max)
    parts.provide(StateWriter(parts.need(Emitter), parts.need(SchemaGuard), parts.ids, bytes_max))
    parts.bind(Entities(parts.db).handlers())
