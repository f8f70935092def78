"""What can be asked of the log-in by OpenID Connect. Source: https://openid.net/specs/openid-connect-core-1_0.html"""

from typing import Annotated

from ironflow.base.errors import FailedPrecondition, PermissionDenied, Unauthenticated, Unavailable
from ironflow.base.fields import Message, field
from ironflow.base.operation import RequestHead, operation


class OidcNotConfigured(FailedPrecondition):
    """This server has no provider of OpenID Connect. Set oidc_issuer and oidc_client_id."""

    code = "OIDC_NOT_CONFIGURED"


class OidcRefused(Unauthenticated):
    """The log-in at the provider did not succeed. Begin again."""

    code = "OIDC_REFUSED"


class OidcUnknownUser(PermissionDenied):
    """There is no user with the e-mail address that the provider confirmed."""

    code = "OIDC_UNKNOWN_USER"


class OidcUnavailable(Unavailable):
    """The provider of OpenID Connect does not answer."""

    code = "OIDC_UNAVAILABLE"


class BeginLogIn(Message, kw_only=True):
    """A request without fields."""

    head: RequestHead | None = None


class EndLogIn(Message, kw_only=True):
    """code, state: from the provider. error: its reason where it refused."""

    code: str = ""
    state: str = ""
    error: str = ""
    head: RequestHead | None = None


class Redirect(Message, kw_only=True):
    location: str
    set_cookie: Annotated[str | None, field(only="rpc")] = None


_PATH = "/api/v1/auth/oidc"
_HEADERS = {"Location": "location", "Set-Cookie": "set_cookie"}

begin = operation(
    "oidc.begin", BeginLogIn, Redirect,
    rest=f"GET {_PATH}/login", success=302, scope="public", head="head", response_headers=_HEADERS,
    errors=(OidcNotConfigured, OidcUnavailable),
    doc="Sends a browser to the provider of OpenID Connect.",
)  # fmt: skip
end = operation(
    "oidc.end", EndLogIn, Redirect,
    rest=f"GET {_PATH}/callback", success=302, scope="public", head="head", response_headers=_HEADERS,
    errors=(OidcNotConfigured, OidcRefused, OidcUnknownUser, OidcUnavailable),
    doc="Takes a browser back from the provider, begins a session as a cookie, and opens the dashboard.",
)  # fmt: skip
