"""Puts the feature into a server."""

from collections.abc import Callable

from ironflow.features.nodes.loops import KeepNodes
from ironflow.features.nodes.service import Nodes
from ironflow.features.parts import Parts
from ironflow.storage.presence import presence_for

# A lock's key is a positive number of 63 bits; 0 stands for no lock.
KEY_MAX = 2**63 - 1


def install(parts: Parts, chance: Callable[[int], bytes]) -> None:
    """chance: random bytes, for the key of the lock that shows this process as alive."""
    key = int.from_bytes(chance(8)) % KEY_MAX + 1
    presence = presence_for(parts.settings.db, key)
    nodes = parts.provide(Nodes(parts.db, parts.clock, presence, parts.node, parts.settings.node or parts.node))
    parts.follow(nodes)
    if parts.notifier.spans_nodes:
        parts.loops.append(KeepNodes(nodes))
