"""Puts the feature into a server."""

from ironflow.features.parts import Metric, Parts
from ironflow.features.schemas.enforcing import SchemaGuard
from ironflow.features.schemas.service import EventSchemas


def install(parts: Parts) -> None:
    guard = parts.provide(SchemaGuard(parts.settings.event_schema_enforcement))
    parts.bind(EventSchemas(parts.db).handlers())
    parts.metrics.append(
        Metric(
            "ironflow_event_schema_misfits",
            "Events that do not fit their schema.",
            "counter",
            ("event_name", "outcome"),
            read=lambda: guard.counts,
        )
    )
