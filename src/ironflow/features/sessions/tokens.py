"""JWTs for clients: a session's secret, signed, with what clients read of its user.

The signature alone opens nothing: the secret in it has to be that of a session, whose hash is all that is stored.
"""

from typing import Any

from ironflow.base.errors import Unauthenticated
from ironflow.base.ids import Ids
from ironflow.base.time import Clock
from ironflow.features.sessions import store
from ironflow.features.sessions.rules import SessionRow
from ironflow.features.users.in_tx import UserRow
from ironflow.storage.port import Database

ISSUER = "ironflow"
ALGORITHM = "HS256"
SEALED = "ironflow-cookie"


class Tokens:
    """Signs and reads JWTs, with a key that all nodes of a database share."""

    def __init__(self, db: Database, clock: Clock, ids: Ids) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._key = ""

    async def signed(self, session: SessionRow, user: UserRow, secret: str) -> str:
        # Imported when the first token is made: most servers make none.
        from joserfc import jwt
        from joserfc.jwk import OctKey

        claims = {
            "iss": ISSUER,
            "sub": user.id,
            "sid": session.id,
            "jti": secret,
            "iat": session.created_at // 1000,
            "exp": session.expires_at // 1000,
            "email": user.email,
            "name": user.name,
            "roles": list(user.roles),
            "org_id": user.org_id,
        }
        return jwt.encode({"alg": ALGORITHM, "typ": "JWT"}, claims, OctKey.import_key(await self._signing_key()))

    async def secret_in(self, text: str) -> str:
        """The session's secret in a JWT. When it expires is the session's matter. Raises Unauthenticated."""
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import OctKey

        try:
            claims = jwt.decode(text, OctKey.import_key(await self._signing_key()), algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError):
            raise Unauthenticated("The token is not one of this server.") from None
        secret = claims.get("jti")
        if claims.get("iss") != ISSUER or not isinstance(secret, str):
            raise Unauthenticated("The token is not one of this server.")
        return secret

    async def sealed(self, claims: dict[str, str], expires_at_s: int) -> str:
        """A signed text for a cookie, which is not a session."""
        from joserfc import jwt
        from joserfc.jwk import OctKey

        key = OctKey.import_key(await self._signing_key())
        return jwt.encode({"alg": ALGORITHM}, {**claims, "aud": SEALED, "exp": expires_at_s}, key)

    async def opened(self, text: str, now_s: int) -> dict[str, Any]:
        """What was sealed. Raises Unauthenticated."""
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import OctKey

        try:
            claims = jwt.decode(text, OctKey.import_key(await self._signing_key()), algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError):
            claims = {}
        if claims.get("aud") != SEALED or claims.get("exp", 0) <= now_s:
            raise Unauthenticated("The text is not one of this server, or too old.")
        return claims

    async def _signing_key(self) -> str:
        if not self._key:
            fresh = self._ids.token() + self._ids.token()
            self._key = await self._db.write(lambda tx: store.signing_key(tx, fresh, self._clock.now()))
        return self._key
