"""Puts the feature into a server."""

from ironflow.features.config.service import ConfigDocuments
from ironflow.features.parts import Parts


def install(parts: Parts) -> None:
    parts.bind(ConfigDocuments(parts.db, parts.notifier).handlers())
