"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.users.service import Passwords, Users


def install(parts: Parts) -> None:
    passwords = parts.provide(Passwords())
    parts.bind(parts.provide(Users(parts.db, parts.ids, passwords)).handlers())
