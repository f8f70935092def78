"""Puts the feature into a server."""

from ironflow.features.events.in_tx import Emitter
from ironflow.features.messages import store
from ironflow.features.messages.loops import PurgeMessages
from ironflow.features.messages.service import Messages
from ironflow.features.parts import Parts
from ironflow.features.runs.in_tx import RunDeletion, RunRepository


def install(parts: Parts) -> None:
    settings = parts.settings
    messages = Messages(
        parts.db,
        parts.notifier,
        parts.need(RunRepository),
        parts.need(Emitter),
        parts.ids,
        lease_ms=settings.lease_ms,
        data_bytes_max=settings.event_bytes_max,
        answer_bytes_max=settings.output_bytes_max,
        unread_max=settings.messages_unread_max,
    )
    parts.need(RunDeletion).others.append(store.drop)
    parts.bind(messages.handlers())
    parts.loops.append(PurgeMessages(parts.db, settings.message_retention_days))
