"""Puts the feature into a server."""

from collections.abc import Mapping

from ironflow.features.environment_deletions.loops import DeleteRows, DeleteSome
from ironflow.features.environment_deletions.service import EnvironmentDeletions
from ironflow.features.parts import Parts


def install(parts: Parts, by_feature: Mapping[str, DeleteSome]) -> None:
    parts.bind(EnvironmentDeletions(parts.db).handlers())
    parts.loops.append(DeleteRows(parts.db, by_feature))
