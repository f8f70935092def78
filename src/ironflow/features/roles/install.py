"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.roles.service import CountKeys, Roles


def install(parts: Parts, count_keys: CountKeys) -> None:
    """count_keys: how many API keys have each role."""
    parts.bind(Roles(parts.db, parts.ids, count_keys).handlers())
