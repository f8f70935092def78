"""Puts the feature into a server."""

from ironflow.features.api_keys.service import Authenticator
from ironflow.features.environments.service import EnvironmentNames
from ironflow.features.parts import Parts
from ironflow.features.sessions.loops import Forget, LookAgain
from ironflow.features.sessions.service import LogIns, Sessions
from ironflow.features.sessions.tokens import Tokens
from ironflow.features.users.service import Passwords


def install(parts: Parts) -> None:
    tokens = parts.provide(Tokens(parts.db, parts.clock, parts.ids))
    sessions = parts.provide(
        Sessions(
            parts.db,
            parts.clock,
            parts.notifier,
            parts.need(EnvironmentNames),
            parts.need(Authenticator),
            tokens,
            parts.settings.public_url,
        )
    )
    log_ins = parts.provide(LogIns(parts.db, parts.ids, parts.settings, parts.need(Passwords), tokens, sessions))
    parts.bind(log_ins.handlers())
    parts.loops.append(LookAgain(sessions))
    parts.loops.append(Forget(parts.db))
