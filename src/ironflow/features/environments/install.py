"""Puts the feature into a server."""

from ironflow.features.environments.service import EnvironmentNames, Environments, RevokeKeys
from ironflow.features.parts import Parts


def install(parts: Parts, revoke_keys: RevokeKeys) -> None:
    """revoke_keys: revokes every API key of an environment."""
    parts.provide(EnvironmentNames(parts.db, parts.clock, parts.notifier))
    parts.bind(Environments(parts.db, parts.ids, revoke_keys).handlers())
