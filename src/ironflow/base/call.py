"""What a handler knows of a request besides its fields: where it comes from, and when it arrived."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import msgspec

from ironflow.base.time import Millis
from ironflow.base.trace_context import TraceContext


class Access(Protocol):
    """What a principal may do."""

    @property
    def roles(self) -> tuple[str, ...]: ...

    @property
    def org_id(self) -> str:
        """The organisation that the principal belongs to."""
        ...

    @property
    def has_denials(self) -> bool:
        """Whether a rule denies anything."""
        ...

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is refused to it."""
        ...

    def check_scope(self, call: "Call", scope: str) -> None:
        """Raises PermissionDenied where no request that needs `scope` is allowed, whatever its fields."""
        ...

    def check(self, call: "Call", scope: str, request: Any) -> None:
        """Raises PermissionDenied. request: the operation's message; None where there is none yet."""
        ...

    def rule_of(self, call: "Call", scope: str, request: Any) -> str:
        """The policy or built-in role that allows it; empty when none does."""
        ...


class Principal(msgspec.Struct, frozen=True):
    """The key or user that a request is made with.

    name: what audit and `emitted_by` record, such as `key:apikey_…`; empty when authentication is off.
    environment: the only environment it may use; None for all. access: None when authentication is off.
    session: the id of a user's session, empty for a key.
    """

    name: str = ""
    environment: str | None = None
    access: Access | None = None
    session: str = ""

    @property
    def holder(self) -> str:
        """Whose connections end together: those of a key, or of one session of a user."""
        return f"{self.name}#{self.session}" if self.session else self.name


ANYONE = Principal()

# The message of the cancellation of a handler whose caller has disconnected; others have none.
CALLER_LEFT = "the caller disconnected"


class Browser(msgspec.Struct, frozen=True):
    """What a browser says of the page that makes a request: the headers Origin, Host and Sec-Fetch-Site, empty when
    absent; is_marked: whether X-Ironflow-CSRF is there."""

    origin: str
    host: str
    fetch_site: str
    is_marked: bool


class Credentials(msgspec.Struct, frozen=True):
    """What a request presents to be authenticated. A transport copies it and interprets nothing.

    authorization, api_key, cookie: the headers Authorization, X-Ironflow-Api-Key and Cookie, empty when absent.
    environment: the environment that the request names, empty when it names none. environment_too: the one that it
    names in its other header, where both are there and differ; it has to be the same.
    remote_address: the peer's address, empty when it is not known. browser: None without a cookie.
    """

    authorization: str = ""
    api_key: str = ""
    cookie: str = ""
    environment: str = ""
    remote_address: str = ""
    browser: Browser | None = None
    environment_too: str = ""


# Raises Unauthenticated or PermissionDenied; given the call, the scope that is needed, and the operation's message, if
# it has one.
Authorise: TypeAlias = Callable[["Call", str, Any], None]


def allow_all(call: "Call", scope: str, request: Any = None) -> None:
    """Authorisation is not enforced; operations declare their scopes all the same."""


class Call(msgspec.Struct, frozen=True):
    """One request. Authentication makes it; a handler reads it.

    now: when it arrived, in milliseconds; handlers use it instead of a clock.
    run_id: the run inside which the caller works (X-Ironflow-Run-ID), empty otherwise.
    runtime: the caller's X-Ironflow-SDK, empty when it is not sent.
    is_there: whether the caller is still connected; for answers that are held back.
    remote_address: the peer's, empty when it is not known.
    trace: the span that what the call does is below; None outside of traces.
    """

    environment: str
    now: Millis
    principal: Principal = ANYONE
    run_id: str = ""
    runtime: str = ""
    is_there: Callable[[], bool] = lambda: True
    authorise: Authorise = allow_all
    remote_address: str = ""
    trace: TraceContext | None = None

    def require(self, scope: str) -> None:
        """Raises PermissionDenied when the caller may not do what needs `scope`.

        An operation's own scope is checked before its handler is called. A handler that goes on to do what belongs to
        another operation requires that operation's scope first, and its declaration lists it in `asks`.
        """
        self.authorise(self, scope, None)
