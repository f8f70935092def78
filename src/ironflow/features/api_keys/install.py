"""Puts the feature into a server."""

from ironflow.features.api_keys.authenticator import Authenticator
from ironflow.features.api_keys.loops import LookAgain
from ironflow.features.api_keys.service import ApiKeys
from ironflow.features.environments.service import EnvironmentNames
from ironflow.features.parts import Parts


def install(parts: Parts) -> None:
    authenticator = parts.provide(Authenticator(parts.db, parts.clock, parts.notifier, parts.need(EnvironmentNames)))
    parts.bind(ApiKeys(parts.db, parts.ids).handlers())
    parts.loops.append(LookAgain(parts.db, authenticator))
