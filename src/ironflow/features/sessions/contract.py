"""What can be asked of sessions. Source: protocol/rest.md 1.1 and 1.2, protocol/errors-and-defaults.md 5."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import PermissionDenied, ResourceExhausted
from ironflow.base.fields import Message, field
from ironflow.base.operation import RequestHead, operation
from ironflow.features.users.contract import User, WrongPassword


class LogInBlocked(ResourceExhausted):
    """There were too many wrong passwords for this user from this address."""

    code = "LOG_IN_BLOCKED"


class CrossSiteRequest(PermissionDenied):
    """A cookie counts only for requests of the server's own pages."""

    code = "CROSS_SITE_REQUEST"


class LogIn(Message, kw_only=True):
    """cookie: the session is a cookie that scripts cannot read; otherwise the answer has it as a JWT."""

    email: Annotated[str, field(max_length=320)]
    password: Annotated[str, field(max_length=1000)]
    cookie: bool = False
    head: RequestHead | None = None


class LoggedIn(Message, kw_only=True):
    """token: a JWT, to be sent as `Authorization: Bearer`; absent where the session is a cookie."""

    token: str | None = None
    expires_at: datetime
    user: User
    set_cookie: Annotated[str | None, field(only="rpc")] = None


class LogOut(Message, kw_only=True):
    """everywhere: all sessions of the user end, not this one alone."""

    everywhere: bool = False
    head: RequestHead | None = None


class LoggedOut(Message, kw_only=True):
    """ended: whether the request presented a session that was valid."""

    ended: bool
    set_cookie: Annotated[str | None, field(only="rpc")] = None


class GetCaller(Message, kw_only=True):
    """A request without fields."""


class Session(Message, kw_only=True):
    """principal: what audit notes record, such as `user:ID` or `key:ID`; empty without authentication.

    user, expires_at: of a session; absent for an API key. environment: the only one; absent for all.
    """

    principal: str
    roles: list[str]
    user: User | None = None
    expires_at: datetime | None = None
    environment: str | None = None


_PATH = "/api/v1/auth"

log_in = operation(
    "sessions.log_in", LogIn, LoggedIn,
    rest=f"POST {_PATH}/login", spelling="both", scope="public", head="head",
    response_headers={"Set-Cookie": "set_cookie"}, errors=(WrongPassword, LogInBlocked, CrossSiteRequest),
    doc="Logs a user in with an e-mail address and a password.",
)  # fmt: skip
log_out = operation(
    "sessions.log_out", LogOut, LoggedOut,
    rest=f"POST {_PATH}/logout", scope="public", head="head", response_headers={"Set-Cookie": "set_cookie"},
    errors=(CrossSiteRequest,),
    doc="Ends the session that the request presents, or all of its user, and closes what is open with it.",
)  # fmt: skip
current = operation(
    "sessions.current", GetCaller, Session,
    rest=f"GET {_PATH}/session", spelling="both", scope="account:read",
    doc="Who the caller is.",
)  # fmt: skip
