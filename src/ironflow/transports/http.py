"""HTTP requests and responses over ASGI."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ironflow.base.errors import DeadlineExceeded
from ironflow.transports.peers import Link

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

JSON = b"application/json"
# A client that sends nothing for this long while it owes us a body is given up.
BODY_IDLE_S = 30.0
# So is one whose body comes more slowly than this, after the first BODY_IDLE_S.
BODY_BYTES_PER_S_LEAST = 1024


class RequestTimeout(DeadlineExceeded):
    """The request's body did not arrive in time."""

    code, status = "REQUEST_TIMEOUT", 408


class Request(msgspec.Struct):
    """One HTTP request. headers: lower-case names; path: percent-encoding undone.

    extensions: what the HTTP server offers beyond ASGI's core. cors: headers of the answer, for a page in a browser.
    route: the template of its path, once a wire has found what serves it.
    body: read before a wire sees the request, but for streams, which receive it as it comes.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    receive: Receive
    link: Link | None = None
    is_http1: bool = True
    extensions: Mapping[str, Any] | None = None
    cors: list[tuple[bytes, bytes]] = []
    route: str = ""

    def query_pairs(self) -> list[tuple[str, str]]:
        if "%" in self.query or "+" in self.query:
            return parse_qsl(self.query, keep_blank_values=True)
        # Saves two thirds where there is nothing to decode, as nearly always.
        parts = [part.partition("=") for part in self.query.split("&") if part]
        return [(name, value) for name, _, value in parts]

    async def until_closed(self) -> None:
        """Returns when the client has closed the connection."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


def link_of(scope: Scope) -> Link | None:
    """Both ends of the connection that a request came by; None when the HTTP server does not say it."""
    client, server = scope.get("client"), scope.get("server")
    if not client:
        return None
    return Link((client[0], client[1]), (server[0], server[1] or 0) if server else None)


class Response(msgspec.Struct):
    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: list[tuple[bytes, bytes]] = []


# Headers that decide who the caller is, and where. One that is sent twice must not be read two ways.
_DECISIVE = frozenset(
    ("authorization", "x-ironflow-api-key", "x-ironflow-environment", "x-ironflow-environment-id", "host", "origin")
)


def headers_of(scope: Scope) -> dict[str, str]:
    """The headers by lower-case name; a repeated decisive one joined with commas, of others the last."""
    pairs: list[tuple[bytes, bytes]] = scope["headers"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
    if len(headers) != len(pairs):
        if "cookie" in headers:
            # HTTP/2 may send each cookie by itself.
            headers["cookie"] = "; ".join(value.decode("latin-1") for key, value in pairs if key.lower() == b"cookie")
        for name in _DECISIVE & headers.keys():
            headers[name] = ", ".join(value.decode("latin-1") for key, value in pairs if key.decode("latin-1") == name)
    return headers


async def send_response(send: Send, response: Response, request: Request | None = None) -> None:
    """A whole answer. request: what it answers; a HEAD gets no body."""
    headers = [*response.headers]
    if request is not None:
        headers += request.cors
    if response.body or response.status not in (204, 304):
        headers.append((b"content-type", response.content_type))
        headers.append((b"content-length", str(len(response.body)).encode()))
    with_body = request is None or request.method != "HEAD"
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body if with_body else b""})
