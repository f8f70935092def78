"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.statistics.service import Statistics


def install(parts: Parts) -> None:
    parts.bind(Statistics(parts.db).handlers())
