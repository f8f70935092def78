"""Server-sent events: every server stream that has a REST route, as `text/event-stream` for curl and browsers.

An answer is one event: `data:` its JSON and `id:` the field that the operation names; what the client sends back as
`Last-Event-ID` after a break is a request header like any other. Comments are sent when there is no event, so that
proxies and clients do not take the stream for broken. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ironflow.base.errors import IronflowError, MethodNotAllowed
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.operation import Operation
from ironflow.base.spelling import message_to_json
from ironflow.dispatch import Dispatch
from ironflow.transports import http
from ironflow.transports.context import CallContext
from ironflow.transports.exchange import Exchange
from ironflow.transports.http import Request, Send
from ironflow.transports.rest import error_response, read_request
from ironflow.transports.router import Router

KEEPALIVE_S = 15.0
# How long a client that does not read may hold up its last bytes when the server stops.
CLOSE_TIMEOUT_S = 2.0
_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


class EventStreams(Lifecycle):
    """Serves every bound operation that streams answers and has a REST route."""

    kind = ""

    def __init__(self, dispatch: Dispatch, context: CallContext) -> None:
        self._dispatch = dispatch
        self._context = context
        self._router: Router[tuple[Operation[Any, Any], str]] = Router()
        for operation in dispatch.operations:
            if operation.streaming == "server":
                for route in operation.rest:
                    self._router.add(route.method, route.path, (operation, route.path))
        self._open: set[Exchange] = set()
        self._stopping = False

    def takes(self, request: Request) -> bool:
        return self._router.has(request.path)

    async def __call__(self, request: Request, send: Send) -> None:
        try:
            operation, path_values = self._route_of(request)
            call = await self._context.call_of(request.headers, operation.scope, request.link)
            message = read_request(operation, path_values, request)
            answers = self._dispatch.stream(operation, call, message)
        except IronflowError as error:
            await http.send_response(send, error_response(error), request)
            return
        exchange = Exchange(request, send, self._context.is_there(request.link))
        self._open.add(exchange)
        if self._stopping:
            exchange.stop()
        try:
            with self._dispatch.connections.opened("event_stream", call.principal, exchange.stop):
                await _Stream(operation, exchange, answers).run(request, send)
        finally:
            self._open.discard(exchange)

    def drain(self) -> None:
        """Ends the streams, so that the server can stop; browsers connect again by themselves."""
        self._stopping = True
        for exchange in self._open:
            exchange.stop()

    def _route_of(self, request: Request) -> tuple[Operation[Any, Any], dict[str, str]]:
        found = self._router.find(request.method, request.path)
        if found is None:
            allowed = self._router.methods_of(request.path)
            raise MethodNotAllowed(
                f"{request.path} does not take {request.method}; it takes {', '.join(allowed)}.", allowed=allowed
            )
        (operation, request.route), path_values = found
        return operation, path_values


class _Stream:
    """One stream, from its head to its end."""

    def __init__(self, operation: Operation[Any, Any], exchange: Exchange, answers: AsyncGenerator[Any, None]) -> None:
        self._operation = operation
        self._exchange = exchange
        self._answers = answers

    async def run(self, request: Request, send: Send) -> None:
        async with aclosing(self._answers) as answers:
            try:
                # The first answer, or None when it has begun without one: until then it can be refused.
                first = await anext(answers, None)
            except IronflowError as error:
                await http.send_response(send, error_response(error), request)
                return
            await self._exchange.start(b"text/event-stream", _HEADERS)
            ended = await self._exchange.run(self._write(first))
        if ended == "left":
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S if ended == "stopped" else None):
                error = self._exchange.stopped_by
                await self._exchange.end(b"" if error is None else _error_text(error))

    async def _write(self, first: Any) -> None:
        # At once: to the client, the first byte means that the stream has begun.
        await self._exchange.write(b": subscribed\n\n")
        if first is not None:
            await self._exchange.write(event_text(self._operation, first))
        waiting = asyncio.ensure_future(anext(self._answers))
        try:
            while True:
                await asyncio.wait((waiting,), timeout=KEEPALIVE_S)
                if not waiting.done():
                    await self._exchange.write(b": still here\n\n")
                    continue
                try:
                    answer = waiting.result()
                except StopAsyncIteration:
                    return
                except IronflowError as error:
                    await self._exchange.write(_error_text(error))
                    return
                # None means that it has begun, and nothing else.
                if answer is not None:
                    await self._exchange.write(event_text(self._operation, answer))
                waiting = asyncio.ensure_future(anext(self._answers))
        finally:
            # The generator cannot be closed while its next answer is awaited.
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


def _error_text(error: IronflowError) -> bytes:
    return b"event: error\ndata: " + error_response(error).body + b"\n\n"


def event_text(operation: Operation[Any, Any], answer: Any) -> bytes:
    """One answer as an event. A payload may have line breaks between its tokens; each line gets its own `data:`."""
    lines = b"\ndata: ".join(message_to_json(answer, operation.spelling).splitlines())
    head = f"id: {getattr(answer, operation.event_id)}\n".encode() if operation.event_id is not None else b""
    return head + b"data: " + lines + b"\n\n"
