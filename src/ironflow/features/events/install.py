"""Puts the feature into a server."""

from ironflow.features.events.emitting import Emitter
from ironflow.features.events.loops import ForgetKeys, PurgeEvents
from ironflow.features.events.measures import EventMeasures
from ironflow.features.events.service import Events
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.parts import Metric, Parts, Samples
from ironflow.features.runs.in_tx import Inheritance, RunRepository
from ironflow.features.runs.service import Runs
from ironflow.features.schemas.in_tx import SchemaGuard
from ironflow.log.read import head
from ironflow.storage.port import Tx


def install(parts: Parts) -> None:
    emitter = parts.provide(
        Emitter(
            parts.need(FunctionIndex),
            parts.need(RunRepository),
            parts.ids,
            parts.need(SchemaGuard),
            parts.need(Inheritance),
        )
    )
    events = Events(parts.db, emitter, parts.need(Runs), parts.ids, parts.settings.event_bytes_max)
    parts.bind(events.handlers())
    parts.provide(events.stream_ends)
    # Features that read the log add theirs: nothing is removed before it was read.
    parts.loops += [ForgetKeys(parts.db), PurgeEvents(parts.db, parts.settings.event_retention_days, parts.holds)]
    measures = EventMeasures()
    parts.db.on_published(measures.receive)
    parts.metrics += measures.metrics()
    parts.metrics.append(
        Metric("ironflow_log_position", "Events recorded since the beginning.", "counter", look=_position)
    )


def _position(tx: Tx) -> Samples:
    return {(): head(tx)}
