"""What is decided of a log-in by OpenID Connect: whose it is, and the cookie that keeps it meanwhile."""

import hmac
from collections.abc import Mapping
from typing import Any

from ironflow.features.oidc.contract import OidcRefused

COOKIE = "ironflow_oidc"
PATH = "/api/v1/auth/oidc"
CALLBACK = f"{PATH}/callback"
# For so long a person may take at the provider.
WITHIN_S = 600
# Signatures of ID tokens by asymmetric keys alone: with others, a holder of the client secret could sign.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


def state_cookie(text: str, *, is_secure: bool) -> str:
    """The value of Set-Cookie. Lax: the provider sends the browser back from another site."""
    secure = "; Secure" if is_secure else ""
    return f"{COOKIE}={text}; Path={PATH}; Max-Age={WITHIN_S}; HttpOnly; SameSite=Lax{secure}"


def cookie_in(header: str) -> str:
    """The log-in that a browser began; empty when there is none."""
    for each in header.split(";"):
        name, _, value = each.partition("=")
        if name.strip() == COOKIE:
            return value.strip()
    return ""


def check_state(begun: Mapping[str, Any], state: str) -> None:
    """Whether this browser began the log-in. Raises OidcRefused."""
    if not state or not hmac.compare_digest(str(begun.get("state", "")).encode(), state.encode()):
        raise OidcRefused("This browser did not begin this log-in, or too long ago. Begin again.")


def confirmed_email(claims: Mapping[str, Any]) -> str:
    """The e-mail address that the provider confirms. Raises OidcRefused."""
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified") is not True:
        raise OidcRefused("The provider does not confirm an e-mail address of this user.")
    return email
