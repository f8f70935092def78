"""WebSockets: handshakes, refusals, size limits and closing, for the socket routes of features (base/socket.py).

A server stream that is read with GET is a socket too: each of its answers is a text frame.

Credentials come in the headers of rest.md 1.1 or, for browsers, as `?token=` and `?env=`.
Source: protocol/websocket.md 1.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError, NotFound, PermissionDenied, ServerStopping, Unauthenticated
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.operation import Operation
from ironflow.base.socket import FAILED, NORMAL, REFUSED, RESTARTING, TOO_BIG, SocketClosed, SocketRoute
from ironflow.dispatch import Dispatch
from ironflow.transports.context import CallContext
from ironflow.transports.http import Receive, Response, Scope, Send, headers_of, link_of
from ironflow.transports.origins import Origins
from ironflow.transports.rest import error_response
from ironflow.transports.router import Router
from ironflow.transports.socket_streams import send_stream

# Frames of clients are small: a subscription, an ack. The HTTP server refuses larger messages where it can.
MESSAGE_BYTES_MAX = 1024 * 1024
# How long a client that does not read is given to take the close frame.
CLOSE_TIMEOUT_S = 2.0


class SocketNotFound(NotFound):
    """There is no socket at that path."""

    code = "ROUTE_NOT_FOUND"


class Sockets(Lifecycle):
    """Serves every socket that features declare."""

    def __init__(
        self,
        dispatch: Dispatch,
        context: CallContext,
        bytes_max: int = MESSAGE_BYTES_MAX,
        origins: Origins | None = None,
    ) -> None:
        self._origins = origins or Origins()
        self._dispatch = dispatch
        self._context = context
        self._bytes_max = bytes_max
        self._router: Router[SocketRoute | Operation[Any, Any]] = Router()
        for route in dispatch.sockets:
            self._router.add("GET", route.path, route)
        for operation in dispatch.operations:
            for route in operation.rest if operation.streaming == "server" else ():
                if route.method == "GET":
                    self._router.add("GET", route.path, operation)
        # Each with the task that serves it.
        self._open: dict[_AsgiSocket, asyncio.Task[Any]] = {}
        self._stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            route, socket = await self._handshake(scope, receive, send)
        except IronflowError as error:
            await _refuse(scope, send, error)
            return
        task = asyncio.current_task()
        assert task is not None
        self._open[socket] = task

        def close(error: IronflowError) -> None:
            socket.ended_by = error
            task.cancel()

        try:
            with self._dispatch.connections.opened("websocket", socket.call.principal, close):
                await self._serve(route, socket)
        finally:
            del self._open[socket]

    def drain(self) -> None:
        """Closes every socket with 1012, so that its client reconnects, and refuses new ones."""
        self._stopping = True
        for socket, task in self._open.items():
            socket.ended_by = ServerStopping()
            task.cancel()

    async def drained(self) -> None:
        """After `drain`: returns when all are closed, or after 2 * CLOSE_TIMEOUT_S when a client does not read."""
        if self._open:
            await asyncio.wait(list(self._open.values()), timeout=2 * CLOSE_TIMEOUT_S)

    async def _handshake(
        self, scope: Scope, receive: Receive, send: Send
    ) -> tuple[SocketRoute | Operation[Any, Any], "_AsgiSocket"]:
        """The route of a handshake, and its socket. Raises the error that refuses it."""
        if self._stopping:
            raise ServerStopping
        # Browsers let every page open a WebSocket anywhere.
        self._origins.check(headers_of(scope), link_of(scope))
        path: str = scope["path"]
        found = self._router.find("GET", path)
        if found is None:
            raise SocketNotFound(f"There is no socket at {path!r}. Subscriptions are at /ws.")
        route, values = found
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        call = await self._context.call_of(_credentials(scope, query), route.scope, link_of(scope))
        return route, _AsgiSocket(scope, receive, send, call, {**query, **values}, self._bytes_max)

    async def _serve(self, route: SocketRoute | Operation[Any, Any], socket: "_AsgiSocket") -> None:
        try:
            if isinstance(route, SocketRoute):
                await self._dispatch.socket(route, socket)
            else:
                await send_stream(self._dispatch, route, socket)
        except SocketClosed:
            return
        except IronflowError as error:
            await socket.end(error)
        except asyncio.CancelledError:
            error = socket.ended_by
            if error is None:
                # The HTTP server cancelled it: the connection broke.
                raise
            await socket.end(error, RESTARTING if isinstance(error, ServerStopping) else None)
        else:
            await socket.end(None)


def _credentials(scope: Scope, query: Mapping[str, str]) -> dict[str, str]:
    """The request's headers, with the values that browsers can send only in the query."""
    headers = headers_of(scope)
    if query.get("env"):
        headers.setdefault("x-ironflow-environment", query["env"])
    if query.get("token"):
        headers.setdefault("authorization", f"Bearer {query['token']}")
    return headers


class _AsgiSocket:
    """A `Socket` over ASGI. ended_by: why the server ends it, None while it does not."""

    __slots__ = ("_accepted", "_bytes_max", "_closed", "_receive", "_scope", "_send", "call", "ended_by", "values")

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, call: Call, values: Mapping[str, str], bytes_max: int
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._bytes_max = bytes_max
        self._accepted = self._closed = False
        self.ended_by: IronflowError | None = None
        self.call = call
        self.values = values

    async def accept(self) -> None:
        await self._send_message({"type": "websocket.accept"})
        self._accepted = True
        # Only a refusal needs it; there may be thousands of sockets.
        self._scope = {}

    async def receive(self) -> str | bytes:
        if self._closed:
            raise SocketClosed
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._closed = True
            raise SocketClosed
        text: str | None = message.get("text")
        content: str | bytes = text if text is not None else message.get("bytes") or b""
        if len(content) > self._bytes_max:
            await self.close(TOO_BIG, f"A message has at most {self._bytes_max} bytes.")
            raise SocketClosed
        return content

    def send(self, text: str) -> Awaitable[None]:
        return self._send_message({"type": "websocket.send", "text": text})

    async def until_closed(self) -> None:
        with contextlib.suppress(SocketClosed):
            while True:
                await self.receive()

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        if self._closed:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._send_message({"type": "websocket.close", "code": code, "reason": reason})
        except (SocketClosed, TimeoutError):
            # Disconnected before the close frame was read.
            pass
        self._closed = True

    async def end(self, error: IronflowError | None, code: int | None = None) -> None:
        """Ends the socket: with a refused handshake, an error frame and a close frame, or a close frame alone."""
        if not self._accepted:
            await _refuse(self._scope, self._send, error or SocketNotFound())
            return
        if error is None:
            await self.close(NORMAL)
            return
        if code is None:
            code = REFUSED if isinstance(error, Unauthenticated | PermissionDenied) else FAILED
            with contextlib.suppress(SocketClosed, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self.send(error_frame(error))
        await self.close(code, error.code)

    async def _send_message(self, message: Mapping[str, Any]) -> None:
        if self._closed:
            raise SocketClosed
        try:
            await self._send(message)
        except (OSError, RuntimeError) as fault:
            # What the HTTP servers raise when the client has disconnected.
            self._closed = True
            raise SocketClosed from fault


def error_frame(error: IronflowError) -> str:
    """The frame with the error, sent before the socket closes."""
    return msgspec.json.encode({"type": "error", "code": error.code, "message": error.message}).decode()


async def _refuse(scope: Scope, send: Send, error: IronflowError) -> None:
    """Answers the handshake with the error's status, where the server can; else with its own refusal."""
    answer: Response = error_response(error)
    with contextlib.suppress(OSError, RuntimeError):
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": REFUSED, "reason": error.code})
            return
        headers = [
            *answer.headers,
            (b"content-type", answer.content_type),
            (b"content-length", str(len(answer.body)).encode()),
        ]
        await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": answer.body})
