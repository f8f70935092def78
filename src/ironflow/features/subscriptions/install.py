"""Puts the feature into a server."""

from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.features.parts import Metric, Parts
from ironflow.features.subscriptions.log_feed import LogFeed
from ironflow.features.subscriptions.presence import TopicPresence
from ironflow.features.subscriptions.relay import Relay
from ironflow.features.subscriptions.service import Subscriptions
from ironflow.features.subscriptions.system import SystemFeed
from ironflow.log.tail import Tail


def install(parts: Parts) -> None:
    tail = Tail(parts.db)
    system = SystemFeed(parts.settings.system_events_kept, parts.started_at)
    log = LogFeed(parts.db, tail)
    subscriptions = parts.provide(Subscriptions(parts.db, log, system, parts.need(ConsumerGroups), parts.node))
    parts.bind(subscriptions.handlers())
    parts.follow(subscriptions)
    parts.loops.append(tail)
    if parts.notifier.spans_nodes:
        parts.loops.append(Relay(parts.db, parts.notifier, system, parts.clock, parts.node))
        parts.loops.append(TopicPresence(parts.db, log, parts.node))
    tally = subscriptions.tally
    parts.metrics += [
        Metric("ironflow_subscriptions", "Subscriptions that are followed.", "gauge", read=lambda: {(): tally.open}),
        Metric(
            "ironflow_subscription_drops",
            "Events passed over for slow subscribers.",
            "counter",
            read=lambda: {(): tally.dropped},
        ),
    ]
