"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.values.service import Values


def install(parts: Parts) -> None:
    parts.bind(Values(parts.db, parts.notifier).handlers())
