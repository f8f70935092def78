"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.tenants.service import Tenants


def install(parts: Parts) -> None:
    parts.bind(Tenants(parts.db, parts.ids).handlers())
