"""Puts the feature into a server."""

from ironflow.features.consumer_groups import in_tx
from ironflow.features.consumer_groups.loops import KeepMembers, Redeliver
from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.features.nodes.service import Nodes
from ironflow.features.parts import Parts


def install(parts: Parts) -> None:
    groups = parts.provide(ConsumerGroups(parts.db, parts.notifier, parts.ids, parts.clock, parts.node))
    parts.bind(groups.handlers())
    parts.follow(groups.matcher)
    parts.need(Nodes).on_ended(groups.take_over)
    parts.holds.append(in_tx.slowest)
    parts.loops += [Redeliver(parts.db, groups), KeepMembers(parts.db, groups, parts.node)]
