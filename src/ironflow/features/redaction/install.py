"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.redaction.service import Redaction


def install(parts: Parts) -> None:
    parts.bind(Redaction(parts.db, parts.ids).handlers())
