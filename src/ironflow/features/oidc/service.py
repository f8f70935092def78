"""What happens: a browser is sent to the provider, and comes back with a code."""

import secrets
from typing import Any

from ironflow.base.call import Call
from ironflow.base.errors import Unauthenticated
from ironflow.base.operation import RequestHead
from ironflow.base.settings import Settings
from ironflow.features.oidc import contract, rules
from ironflow.features.oidc.provider import Provider as Provider
from ironflow.features.sessions.service import LogIns, Tokens
from ironflow.features.users import in_tx as users
from ironflow.features.users.service import Users
from ironflow.storage.port import Database


class Oidc:
    """Log-in by OpenID Connect: authorization code with PKCE, state and nonce. provider: None where none is set."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        provider: Provider | None,
        users_: Users,
        log_ins: LogIns,
        tokens: Tokens,
    ) -> None:
        self._db, self._settings, self._provider = db, settings, provider
        self._users, self._log_ins, self._tokens = users_, log_ins, tokens

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.begin: self.begin, contract.end: self.end}

    async def begin(self, call: Call, request: contract.BeginLogIn) -> contract.Redirect:
        provider = self._configured()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        location = await provider.address_of_log_in(self._callback(request.head), state, nonce, verifier)
        begun = {"state": state, "nonce": nonce, "verifier": verifier}
        kept = await self._tokens.sealed(begun, call.now // 1000 + rules.WITHIN_S)
        return contract.Redirect(
            location=location, set_cookie=rules.state_cookie(kept, is_secure=self._log_ins.is_secure)
        )

    async def end(self, call: Call, request: contract.EndLogIn) -> contract.Redirect:
        provider = self._configured()
        cookies = request.head.headers.get("cookie", "") if request.head is not None else ""
        try:
            begun = await self._tokens.opened(rules.cookie_in(cookies), call.now // 1000)
        except Unauthenticated:
            begun = {}
        rules.check_state(begun, request.state)
        if request.error or not request.code:
            raise contract.OidcRefused(f"The provider refused the log-in: {request.error[:100] or 'no code'}.")
        claims = await provider.claims(
            self._callback(request.head), request.code, str(begun["nonce"]), str(begun["verifier"])
        )
        email = rules.confirmed_email(claims)
        user = await self._db.peek(lambda tx: users.user_by_email(tx, users.email_key(email)))
        if user is None and self._settings.oidc_new_user_role:
            name = claims.get("name")
            role = self._settings.oidc_new_user_role
            user = await self._users.add_without_password(call, email, name if isinstance(name, str) else "", role)
        if user is None:
            raise contract.OidcUnknownUser(f"There is no user {email[:100]!r}. Ask an administrator to create one.")
        if user.disabled_at:
            raise contract.OidcRefused(f"The user {email[:100]!r} is disabled. Ask an administrator.")
        cookie = await self._log_ins.begin_as_cookie(call, user, cookies)
        return contract.Redirect(location="/", set_cookie=cookie)

    def _configured(self) -> Provider:
        if self._provider is None:
            raise contract.OidcNotConfigured
        return self._provider

    def _callback(self, head: RequestHead | None) -> str:
        """Where the provider sends the browser back. By public_url where it is set; Host is what the caller says."""
        if self._settings.public_url:
            return self._settings.public_url.rstrip("/") + rules.CALLBACK
        host = head.headers.get("host", "") if head is not None else ""
        return f"{'https' if self._settings.tls_cert else 'http'}://{host}{rules.CALLBACK}"
