"""Puts the feature into a server."""

from ironflow.features.environment_deletions.loops import DeleteRows
from ironflow.features.environment_deletions.service import EnvironmentDeletions
from ironflow.features.parts import Parts


def install(parts: Parts) -> None:
    parts.bind(EnvironmentDeletions(parts.db).handlers())
    parts.loops.append(DeleteRows(parts.db))
