"""Puts the feature into a server."""

from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.features.conversations.service import Conversations
from ironflow.features.parts import Parts
from ironflow.features.subscriptions.service import Subscriptions


def install(parts: Parts) -> None:
    conversations = Conversations(parts.need(Subscriptions), parts.need(ConsumerGroups))
    parts.sockets.update(conversations.sockets())
