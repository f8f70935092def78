"""The ASGI application: reads a request, hands it to a wire, sends the answer. CORS and body limits live here."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from ironflow.base.errors import Canceled, DeadlineExceeded, IronflowError, MethodNotAllowed, PayloadTooLarge
from ironflow.transports.peers import Peer

logger = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

JSON = b"application/json"
# A client that sends nothing for this long while it owes us a body is given up.
BODY_IDLE_S = 30.0


class RequestTimeout(DeadlineExceeded):
    """The request's body did not arrive in time."""

    code, status = "REQUEST_TIMEOUT", 408


@dataclass(slots=True)
class Request:
    """One HTTP request. headers: lower-case names; path: percent-encoding undone.

    body: read before a wire sees the request, but for streams, which receive it as it comes.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    receive: Receive
    peer: Peer | None = None
    is_http1: bool = True

    def query_pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True) if self.query else []

    async def until_gone(self) -> None:
        """Returns when the client has closed the connection."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


Wire = Callable[[Request], Awaitable[Response]]
SocketWire = Callable[[Scope, Receive, Send], Awaitable[None]]


class StreamWire(Protocol):
    """A wire whose body and answer go on together: it receives and sends by itself."""

    def takes(self, request: Request) -> bool: ...

    async def __call__(self, request: Request, send: Send) -> None: ...


_PREFLIGHT = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        (
            b"Authorization, Content-Type, Connect-Protocol-Version, Connect-Timeout-Ms, Connect-Content-Encoding, "
            b"Connect-Accept-Encoding, X-Ironflow-Environment, X-Ironflow-Environment-ID, X-Ironflow-Run-ID, "
            b"X-Ironflow-SDK, X-Ironflow-Api-Key, If-Match, If-None-Match, Idempotency-Key, X-User-Agent"
        ),
    ),
    (b"access-control-max-age", b"7200"),
]
CORS = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*")]


class App:
    """Routes a request to the first wire whose prefix its path has; the last wire takes what is left.

    pages: paths that are only read, each with what answers it.
    streams: asked first, before the body is read.
    sockets: what serves WebSockets, all of them.
    """

    def __init__(
        self,
        wires: list[tuple[str, Wire]],
        pages: Mapping[str, Wire],
        body_bytes_max: int,
        streams: Sequence[StreamWire] = (),
        sockets: SocketWire | None = None,
    ) -> None:
        self._sockets = sockets
        self._wires = wires
        self._pages = pages
        self._body_bytes_max = body_bytes_max
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "websocket" and self._sockets is not None:
            await self._sockets(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] == "OPTIONS":
            await send_response(send, Response(204, headers=list(_PREFLIGHT)))
            return
        path: str = scope["path"]
        client = scope.get("client")
        peer = (client[0], client[1]) if client else None
        query = scope["query_string"].decode("latin-1")
        is_http1 = scope.get("http_version", "1.1").startswith("1")
        request = Request(scope["method"], path, query, headers, b"", receive, peer, is_http1)
        for stream in self._streams:
            if stream.takes(request):
                await stream(request, send)
                return
        try:
            request.body = await self._body(receive)
            response = await self._wire(request)(request)
        except IronflowError as error:
            from ironflow.transports.rest import error_response

            response = error_response(error)
        await send_response(send, response, request)

    def _wire(self, request: Request) -> Wire:
        page = self._pages.get(request.path)
        if page is None:
            return next(wire for prefix, wire in self._wires if request.path.startswith(prefix))
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{request.path} is only read, with GET.", allowed=("GET", "HEAD"))
        return page

    async def _body(self, receive: Receive) -> bytes:
        """The whole body. Raises PayloadTooLarge, RequestTimeout for a stalled sender, Canceled for one that left."""
        message = await _within(BODY_IDLE_S, receive)
        if message["type"] == "http.request" and not message.get("more_body"):
            return message.get("body", b"")
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                # It may still listen; a server that can tell it gets something to tell.
                raise Canceled("The client went away before its body had arrived.")
            part = message.get("body", b"")
            size += len(part)
            if size > self._body_bytes_max:
                raise PayloadTooLarge(f"The request body is larger than {self._body_bytes_max} bytes.")
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await _within(BODY_IDLE_S, receive)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


class _Begun:
    """A receive that waits already, for `first`: awaited, it goes on from there."""

    def __init__(self, first: Any, rest: Generator[Any, Any, Mapping[str, Any]]) -> None:
        self._first, self._rest = first, rest

    def __await__(self) -> Generator[Any, Any, Mapping[str, Any]]:
        yield self._first
        return (yield from self._rest)


async def _within(seconds: float, receive: Receive) -> Mapping[str, Any]:
    """What comes next. Only what is still to come gets a timer; nearly always the body is there with the head."""
    receiving = receive().__await__()
    try:
        first = next(receiving)
    except StopIteration as there:
        return there.value
    try:
        async with asyncio.timeout(seconds):
            return await _Begun(first, receiving)
    except TimeoutError:
        raise RequestTimeout(f"The request body did not arrive: nothing came for {seconds:g} s.") from None


async def send_response(send: Send, response: Response, request: Request | None = None) -> None:
    """A whole answer. request: what it answers; a HEAD gets no body, a browser may read it from anywhere."""
    headers = [*response.headers]
    if request is not None and "origin" in request.headers:
        headers += CORS
    if response.body or response.status not in (204, 304):
        headers.append((b"content-type", response.content_type))
        headers.append((b"content-length", str(len(response.body)).encode()))
    with_body = request is None or request.method != "HEAD"
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body if with_body else b""})
