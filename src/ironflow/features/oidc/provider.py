"""The provider of OpenID Connect, by authlib: its addresses, the exchange of a code, and ID tokens."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from ironflow.base.errors import IronflowError
from ironflow.base.settings import Settings
from ironflow.base.time import Clock, Millis
from ironflow.features.oidc import rules
from ironflow.features.oidc.contract import OidcRefused, OidcUnavailable

if TYPE_CHECKING:
    from joserfc.jwk import KeySetSerialization

# Addresses and keys are read again after this time; keys also for a token that none of them signed.
READ_EVERY_MS = 3_600_000
# A provider that did not answer is asked again after this time; log-ins in between are refused at once.
ASK_AGAIN_MS = 2_000
TIMEOUT_S = 10.0
LEEWAY_S = 60

# From an address, the form to post or None to read, and the client's id and secret or None: status and JSON.
# Raises OSError or ValueError.
Fetch = Callable[[str, Mapping[str, str] | None, tuple[str, str] | None], Awaitable[tuple[int, Any]]]


class OidcMissing(IronflowError):
    """Log-in by OpenID Connect needs `pip install ironflow[oidc]`."""

    code = "OIDC_MISSING"


async def fetch(url: str, form: Mapping[str, str] | None, client: tuple[str, str] | None) -> tuple[int, Any]:
    """Over the network."""
    import aiohttp

    auth = aiohttp.BasicAuth(*client) if client else None
    timeout = aiohttp.ClientTimeout(TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auth=auth) as session,
            session.request("GET" if form is None else "POST", url, data=form, allow_redirects=False) as answer,
        ):
            return answer.status, await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError) as fault:
        raise OSError(str(fault) or type(fault).__name__) from None


class Provider:
    """One provider. fetch: how it is asked; tests replace it."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        if find_spec("authlib") is None:
            raise OidcMissing
        self._settings, self._clock = settings, clock
        self.fetch: Fetch = fetch
        self._addresses: dict[str, Any] = {}
        self._keys: dict[str, Any] = {}
        self._read_at: Millis = 0
        # Counts the times that they were read.
        self._reads = 0
        self._reading = asyncio.Lock()
        # When the provider was last asked without an answer, and the reason.
        self._failed_at: Millis = -ASK_AGAIN_MS
        self._failure = ""

    async def address_of_log_in(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where a browser is sent. Raises OidcUnavailable."""
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        await self._read()
        return prepare_grant_uri(
            self._addresses["authorization_endpoint"],
            self._settings.oidc_client_id,
            "code",
            redirect_uri=redirect_uri,
            scope=self._settings.oidc_scopes,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )

    async def claims(self, redirect_uri: str, code: str, nonce: str, verifier: str) -> Mapping[str, Any]:
        """What the provider states of the user that it gave this code for. Raises OidcRefused, OidcUnavailable."""
        await self._read()
        client_id, secret = self._settings.oidc_client_id, self._settings.oidc_client_secret
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        if not secret:
            form["client_id"] = client_id
        try:
            status, answer = await self.fetch(
                self._addresses["token_endpoint"], form, (client_id, secret) if secret else None
            )
        except (OSError, ValueError) as fault:
            raise OidcUnavailable(f"The provider does not answer: {str(fault)[:200]}.") from None
        if status >= 500:
            raise OidcUnavailable(f"The provider answers with status {status}.")
        if status != 200 or not isinstance(answer, dict):
            reason = answer.get("error", status) if isinstance(answer, dict) else status
            raise OidcRefused(f"The provider refuses the code: {str(reason)[:200]}.")
        return await self._verified(str(answer.get("id_token", "")), nonce)

    async def _verified(self, id_token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that is genuine, for this client, of now. Raises OidcRefused, OidcUnavailable."""
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, JoseError
        from joserfc.jwk import KeySet

        try:
            try:
                token = jwt.decode(
                    id_token,
                    KeySet.import_key_set(cast("KeySetSerialization", self._keys)),
                    algorithms=rules.ALGORITHMS,
                )
            except InvalidKeyIdError:
                # The provider has changed its keys.
                await self._read(again=True)
                token = jwt.decode(
                    id_token,
                    KeySet.import_key_set(cast("KeySetSerialization", self._keys)),
                    algorithms=rules.ALGORITHMS,
                )
            expected = {
                "iss": {"essential": True, "value": self._addresses["issuer"]},
                "aud": {"essential": True, "value": self._settings.oidc_client_id},
            }
            params = {"nonce": nonce, "client_id": self._settings.oidc_client_id}
            claims = CodeIDToken(token.claims, token.header, expected, params)
            claims.validate(now=self._clock.now() // 1000, leeway=LEEWAY_S)
        except (JoseError, ValueError) as fault:
            raise OidcRefused(f"The provider's ID token is not valid: {str(fault)[:200]}.") from None
        if token.claims.get("nonce") != nonce:
            raise OidcRefused("The provider's ID token is of another log-in.")
        return token.claims

    async def _read(self, *, again: bool = False) -> None:
        """The provider's addresses and keys, read once for all log-ins that wait for them. Raises OidcUnavailable."""
        if self._keys and not again and self._clock.now() - self._read_at < READ_EVERY_MS:
            return
        reads = self._reads
        async with self._reading:
            if self._reads != reads:
                return
            if 0 <= self._clock.now() - self._failed_at < ASK_AGAIN_MS:
                raise OidcUnavailable(self._failure)
            try:
                await self._ask()
            except OidcUnavailable as fault:
                self._failed_at, self._failure = self._clock.now(), fault.message
                raise

    async def _ask(self) -> None:
        """Raises OidcUnavailable."""
        issuer = self._settings.oidc_issuer.rstrip("/")
        try:
            _, addresses = await self.fetch(f"{issuer}/.well-known/openid-configuration", None, None)
            named = str(addresses["issuer"])
            _, keys = await self.fetch(addresses["jwks_uri"], None, None)
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise OidcUnavailable(f"The provider {issuer} does not answer as one: {str(fault)[:200]}.") from None
        if named.rstrip("/") != issuer:
            raise OidcUnavailable(f"The provider {issuer} names itself {named[:100]!r}.")
        self._addresses, self._keys, self._read_at = addresses, keys, self._clock.now()
        self._reads += 1
