"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.projects.service import CountEnvironments, Projects


def install(parts: Parts, count_environments: CountEnvironments) -> None:
    parts.bind(Projects(parts.db, parts.ids, count_environments).handlers())
