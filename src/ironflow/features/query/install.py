"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.query.service import Query


def install(parts: Parts) -> None:
    parts.bind(Query(parts.db, parts.sandbox).handlers())
