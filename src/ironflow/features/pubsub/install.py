"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.pubsub.service import PubSub
from ironflow.features.subscriptions.service import Subscriptions


def install(parts: Parts) -> None:
    parts.bind(PubSub(parts.db, parts.ids, parts.settings.event_bytes_max, parts.need(Subscriptions)).handlers())
