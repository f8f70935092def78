"""Puts the feature into a server."""

from ironflow.features.events.in_tx import Emitter
from ironflow.features.parts import Parts
from ironflow.features.streams.service import Limits, Streams


def install(parts: Parts) -> None:
    settings = parts.settings
    limits = Limits(settings.event_bytes_max, settings.snapshot_bytes_max, settings.snapshots_kept)
    parts.bind(Streams(parts.db, parts.need(Emitter), parts.ids, limits, parts.holds).handlers())
