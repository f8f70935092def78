"""The ASGI application: reads a request, hands it to a wire, sends the answer; CORS and body limits."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from ironflow.base.errors import Canceled, IronflowError, MethodNotAllowed, PayloadTooLarge
from ironflow.base.started import resumed
from ironflow.transports import http
from ironflow.transports.http import (
    Receive,
    Request,
    RequestTimeout,
    Response,
    Scope,
    Send,
    headers_of,
    link_of,
    send_response,
)
from ironflow.transports.measures import HttpMeasures
from ironflow.transports.origins import Origins
from ironflow.transports.rest import error_response

Wire = Callable[[Request], Awaitable[Response]]
SocketWire = Callable[[Scope, Receive, Send], Awaitable[None]]


class StreamWire(Protocol):
    """A wire whose body and answer go on together: it receives and sends by itself.

    kind: what the content type of its requests begins with, empty for any. takes: whether one of this kind is its own.
    """

    kind: str

    def takes(self, request: Request) -> bool: ...

    async def __call__(self, request: Request, send: Send) -> None: ...


class SiteWire(Protocol):
    """Files and pages for browsers, beside the operations."""

    def takes(self, request: Request) -> bool: ...

    async def __call__(self, request: Request) -> Response: ...


_PREFLIGHT = [
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


class App:
    """Routes a request to the first wire whose prefix its path has; the last wire takes what is left.

    pages: paths that are only read, each with what answers it.
    streams: asked first, before the body is read.
    sockets: what serves WebSockets, all of them.
    origins: which names the server is called by, and which web pages may use it.
    site: takes a path that is no operation's, when a browser opens it. has_route: whether a path is an operation's.
    """

    def __init__(
        self,
        wires: list[tuple[str, Wire]],
        pages: Mapping[str, Wire],
        body_bytes_max: int,
        streams: Sequence[StreamWire] = (),
        sockets: SocketWire | None = None,
        site: SiteWire | None = None,
        has_route: Callable[[str], bool] = lambda path: False,
        measures: HttpMeasures | None = None,
        origins: Origins | None = None,
    ) -> None:
        self._measures = measures
        self._origins = origins or Origins()
        self._site = site
        self._has_route = has_route
        self._sockets = sockets
        *self._wires, (_, self._last) = wires
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
        began = time.perf_counter()
        headers = headers_of(scope)
        link, cors = link_of(scope), self._origins.cors(headers)
        try:
            self._origins.check(headers, link)
        except IronflowError as error:
            refusal = error_response(error)
            refusal.headers += cors
            await send_response(send, refusal)
            return
        if scope["method"] == "OPTIONS":
            allowed = _PREFLIGHT if len(cors) > 1 else []
            await send_response(send, Response(204, headers=[*cors, *allowed]))
            return
        path: str = scope["path"]
        query = scope["query_string"].decode("latin-1")
        is_http1 = scope.get("http_version", "1.1").startswith("1")
        request = Request(
            scope["method"], path, query, headers, b"", receive, link, is_http1, scope.get("extensions"), cors
        )
        measures = self._measures
        content_type = headers.get("content-type", "")
        for stream in self._streams:
            if content_type.startswith(stream.kind) and stream.takes(request):
                await stream(request, send if measures is None else measures.measured(request, send, began))
                return
        try:
            # A GET of HTTP/1.1 without either has no body (RFC 9112, 6.3): saves a `receive` that would only say so.
            bare = request.method == "GET" and is_http1
            if not bare or "content-length" in headers or "transfer-encoding" in headers:
                request.body = await self._body(receive)
            response = await self._wire(request)(request)
        except IronflowError as error:
            response = error_response(error)
        if measures is not None:
            measures.add(request, response.status, began)
        await send_response(send, response, request)

    def _wire(self, request: Request) -> Wire:
        page = self._pages.get(request.path)
        if page is None:
            if self._site is not None and self._site.takes(request) and not self._has_route(request.path):
                request.route = "dashboard"
                return self._site
            for prefix, wire in self._wires:
                if request.path.startswith(prefix):
                    return wire
            return self._last
        request.route = request.path
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{request.path} is only read, with GET.", allowed=("GET", "HEAD"))
        return page

    async def _body(self, receive: Receive) -> bytes:
        """The whole body. Raises PayloadTooLarge, RequestTimeout for a stalled sender, Canceled for one that left."""
        message = await _within(http.BODY_IDLE_S, receive)
        if message["type"] == "http.request" and not message.get("more_body"):
            return message.get("body", b"")
        parts: list[bytes] = []
        size = 0
        began = asyncio.get_running_loop().time()
        while True:
            if message["type"] == "http.disconnect":
                # The client may have closed its sending half only and still read the answer.
                raise Canceled("The client went away before its body had arrived.")
            part = message.get("body", b"")
            size += len(part)
            if size > self._body_bytes_max:
                raise PayloadTooLarge(f"The request body is larger than {self._body_bytes_max} bytes.")
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)
            late_s = asyncio.get_running_loop().time() - began - size / http.BODY_BYTES_PER_S_LEAST
            message = await _within(max(min(http.BODY_IDLE_S, http.BODY_IDLE_S - late_s), 0), receive)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


async def _within(seconds: float, receive: Receive) -> Mapping[str, Any]:
    """The next message. Raises RequestTimeout when it does not arrive in time."""
    receiving = _received(receive)
    # Saves the timer of a request whose body has arrived with its head, as nearly always: driven by hand, the receive
    # returns at once.
    try:
        awaited = receiving.send(None)
    except StopIteration as ended:
        return ended.value
    try:
        async with asyncio.timeout(seconds):
            return await resumed(receiving, awaited)
    except TimeoutError:
        raise RequestTimeout(f"The request body came too slowly: nothing for {seconds:.3g} s.") from None


async def _received(receive: Receive) -> Mapping[str, Any]:
    """A coroutine of our own: what a server's `receive` returns may be any awaitable."""
    return await receive()
