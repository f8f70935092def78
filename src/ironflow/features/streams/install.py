"""Puts the feature into a server."""

from ironflow.features.events.in_tx import Emitter, StreamEnds
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.parts import Parts
from ironflow.features.streams.service import Limits, Streams, drop_kept


def install(parts: Parts) -> None:
    settings = parts.settings
    limits = Limits(settings.event_bytes_max, settings.snapshot_bytes_max, settings.snapshots_kept)
    index, emitter = parts.need(FunctionIndex), parts.need(Emitter)
    parts.need(StreamEnds).others.append(drop_kept)
    parts.bind(Streams(parts.db, emitter, index, parts.ids, limits, parts.holds).handlers())
