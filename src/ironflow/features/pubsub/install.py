"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.pubsub.service import PubSub
from ironflow.features.runs.in_tx import Inheritance
from ironflow.features.subscriptions.service import Subscriptions


def install(parts: Parts) -> None:
    settings, subscriptions = parts.settings, parts.need(Subscriptions)
    pubsub = PubSub(parts.db, parts.ids, settings.event_bytes_max, subscriptions, parts.need(Inheritance))
    parts.bind(pubsub.handlers())
