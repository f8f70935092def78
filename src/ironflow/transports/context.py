"""From request headers to a Call, by way of dispatch: a transport hands over credentials and makes no Call itself.

Source: protocol/rest.md 1.1.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from ironflow.base.call import Browser, Call, Credentials
from ironflow.base.environment import DEFAULT_ENVIRONMENT
from ironflow.base.trace_context import TRACEPARENT, parsed
from ironflow.dispatch import Dispatch
from ironflow.transports.peers import Link, Peers


class CallContext:
    """Asks dispatch for the Call of a request, given its headers and its connection."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._peers = Peers()

    def call_of(self, headers: Mapping[str, str], scope: str, link: Link | None = None) -> Awaitable[Call]:
        """The Call of a request to what needs `scope`. Raises Unauthenticated, PermissionDenied, InvalidEnvironment."""
        header = headers.get
        cookie = header("cookie", "")
        named, by_id = header("x-ironflow-environment", ""), header("x-ironflow-environment-id", "")
        if by_id and named == DEFAULT_ENVIRONMENT:
            # Clients send it unasked.
            named = ""
        credentials = Credentials(
            header("authorization", ""),
            header("x-ironflow-api-key", ""),
            cookie,
            named or by_id,
            link.peer[0] if link else "",
            _browser(headers) if cookie else None,
            by_id if named and by_id != named else "",
        )
        return self._dispatch.authenticate(
            credentials,
            scope,
            run_id=header("x-ironflow-run-id", ""),
            runtime=header("x-ironflow-sdk", ""),
            is_there=partial(self._peers.is_connected, link),
            trace=parsed(headers[TRACEPARENT], header("tracestate", "")) if TRACEPARENT in headers else None,
        )

    def is_there(self, link: Link | None) -> Callable[[], bool]:
        """Returns a function that reports whether the peer is still connected."""
        return partial(self._peers.is_connected, link)


def _browser(headers: Mapping[str, str]) -> Browser:
    header = headers.get
    return Browser(header("origin", ""), header("host", ""), header("sec-fetch-site", ""), "x-ironflow-csrf" in headers)
