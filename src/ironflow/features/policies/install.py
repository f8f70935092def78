"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.policies.service import Policies


def install(parts: Parts) -> None:
    parts.bind(Policies(parts.db, parts.ids).handlers())
