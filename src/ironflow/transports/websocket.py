"""WebSockets: the handshake, refusals, sizes and ends of sockets whose meaning rooms declare (base/socket.py).

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
from ironflow.base.errors import IronflowError, NotFound, PermissionDenied, Unauthenticated, Unavailable
from ironflow.base.operation import Operation
from ironflow.base.socket import FAILED, NORMAL, REFUSED, RESTARTING, TOO_BIG, SocketGone, SocketRoute
from ironflow.dispatch import Dispatch
from ironflow.transports.context import CallContext
from ironflow.transports.http import Receive, Response, Scope, Send
from ironflow.transports.rest import error_response
from ironflow.transports.router import Router
from ironflow.transports.socket_streams import send_stream

# A client says little: which pattern, which event is done. The HTTP server refuses larger messages where it can.
MESSAGE_BYTES_MAX = 1024 * 1024
# How long a client that does not read is given to take the last word.
GOODBYE_S = 2.0


class SocketNotFound(NotFound):
    """There is no socket at that path."""

    code = "ROUTE_NOT_FOUND"


class ServerStopping(Unavailable):
    """The server is stopping; connect again in a moment."""

    code = "SERVER_STOPPING"


class Sockets:
    """Serves every socket that rooms declare."""

    def __init__(self, dispatch: Dispatch, context: CallContext, bytes_max: int = MESSAGE_BYTES_MAX) -> None:
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

    @property
    def open(self) -> int:
        """How many sockets are connected."""
        return len(self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            route, socket = self._meet(scope, receive, send)
        except IronflowError as error:
            await _refuse(scope, send, error)
            return
        task = asyncio.current_task()
        assert task is not None
        self._open[socket] = task
        try:
            await self._converse(route, socket)
        finally:
            del self._open[socket]

    def let_go(self) -> None:
        """Tells every client that the server stops, so that it comes back, and takes no new ones."""
        self._stopping = True
        for socket, task in self._open.items():
            socket.let_go = True
            task.cancel()

    async def until_closed(self) -> None:
        """After `let_go`: returns when all are closed; a client that does not listen is waited for a moment only."""
        if self._open:
            await asyncio.wait(list(self._open.values()), timeout=2 * GOODBYE_S)

    def _meet(
        self, scope: Scope, receive: Receive, send: Send
    ) -> tuple[SocketRoute | Operation[Any, Any], "_AsgiSocket"]:
        """Which conversation is wanted, by whom. Raises the error that refuses it."""
        if self._stopping:
            raise ServerStopping
        path: str = scope["path"]
        found = self._router.find("GET", path)
        if found is None:
            raise SocketNotFound(f"There is no socket at {path!r}. Subscriptions are at /ws.")
        route, values = found
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        client = scope.get("client")
        call = self._context.call_of(_credentials(scope, query), (client[0], client[1]) if client else None)
        return route, _AsgiSocket(scope, receive, send, call, {**query, **values}, self._bytes_max)

    async def _converse(self, route: SocketRoute | Operation[Any, Any], socket: "_AsgiSocket") -> None:
        try:
            if isinstance(route, SocketRoute):
                await self._dispatch.socket(route, socket)
            else:
                await send_stream(self._dispatch, route, socket)
        except SocketGone:
            return
        except IronflowError as error:
            await socket.end(error)
        except asyncio.CancelledError:
            if not socket.let_go:
                # The HTTP server's own word: the connection broke.
                raise
            await socket.end(ServerStopping(), RESTARTING)
        else:
            await socket.end(None)


def _credentials(scope: Scope, query: Mapping[str, str]) -> dict[str, str]:
    """The request's headers, with what browsers can say in the query only."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if query.get("env"):
        headers.setdefault("x-ironflow-environment", query["env"])
    if query.get("token"):
        headers.setdefault("authorization", f"Bearer {query['token']}")
    return headers


class _AsgiSocket:
    """A `Socket` over ASGI. let_go: the server has asked it to end."""

    __slots__ = ("_accepted", "_bytes_max", "_closed", "_receive", "_scope", "_send", "call", "let_go", "values")

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, call: Call, values: Mapping[str, str], bytes_max: int
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._bytes_max = bytes_max
        self._accepted = self._closed = self.let_go = False
        self.call = call
        self.values = values

    async def accept(self) -> None:
        await self._say({"type": "websocket.accept"})
        self._accepted = True
        # Only a refusal needs it; there may be thousands of sockets.
        self._scope = {}

    async def receive(self) -> str | bytes:
        if self._closed:
            raise SocketGone
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._closed = True
            raise SocketGone
        text: str | None = message.get("text")
        content: str | bytes = text if text is not None else message.get("bytes") or b""
        if len(content) > self._bytes_max:
            await self.close(TOO_BIG, f"A message has at most {self._bytes_max} bytes.")
            raise SocketGone
        return content

    def send(self, text: str) -> Awaitable[None]:
        return self._say({"type": "websocket.send", "text": text})

    async def until_gone(self) -> None:
        with contextlib.suppress(SocketGone):
            while True:
                await self.receive()

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        if self._closed:
            return
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._say({"type": "websocket.close", "code": code, "reason": reason})
        except (SocketGone, TimeoutError):
            # Gone without hearing it.
            pass
        self._closed = True

    async def end(self, error: IronflowError | None, code: int | None = None) -> None:
        """The last word: the handshake's refusal, an error frame with a close, or just a close."""
        if not self._accepted:
            await _refuse(self._scope, self._send, error or SocketNotFound())
            return
        if error is None:
            await self.close(NORMAL)
            return
        if code is None:
            code = REFUSED if isinstance(error, Unauthenticated | PermissionDenied) else FAILED
            with contextlib.suppress(SocketGone, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self.send(error_frame(error))
        await self.close(code, error.code)

    async def _say(self, message: Mapping[str, Any]) -> None:
        if self._closed:
            raise SocketGone
        try:
            await self._send(message)
        except (OSError, RuntimeError) as fault:
            # What the servers raise when there is nobody to send to.
            self._closed = True
            raise SocketGone from fault


def error_frame(error: IronflowError) -> str:
    """The frame that says what went wrong, before the socket closes."""
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
