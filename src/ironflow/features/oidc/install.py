"""Puts the feature into a server."""

from ironflow.features.oidc.service import Oidc, Provider
from ironflow.features.parts import Parts
from ironflow.features.sessions.service import LogIns, Tokens
from ironflow.features.users.service import Users


def install(parts: Parts) -> None:
    provider = parts.provide(Provider(parts.settings, parts.clock)) if parts.settings.oidc_issuer else None
    oidc = Oidc(parts.db, parts.settings, provider, parts.need(Users), parts.need(LogIns), parts.need(Tokens))
    parts.bind(oidc.handlers())
