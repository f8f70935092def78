"""Connect streams over the operations table: server streams on HTTP/1.1 and HTTP/2, bidirectional ones on HTTP/2.

The response is always 200 and begins at once; an error is in its last frame. Only a request that is not a stream at all
has a status of its own: 404 for a method that is not served (clients poll instead), 405, 415, and 505 for a
bidirectional stream on HTTP/1.1; and 501 for a stream that is not offered now, where the operation declares it.
Source: protocol/connectrpc.md 1, protocol/worker-stream.md 1.
"""

import asyncio
import contextlib
from contextlib import aclosing
from typing import Any

from ironflow.base.errors import (
    DeadlineExceeded,
    IronflowError,
    MethodNotAllowed,
    ServerStopping,
    Unimplemented,
    UnsupportedMediaType,
)
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.operation import Operation
from ironflow.dispatch import Dispatch
from ironflow.transports import http
from ironflow.transports.compression import accepts_gzip, is_gzip
from ironflow.transports.connect_codecs import Codec, Codecs, dialect_of
from ironflow.transports.connect_errors import NeedsHttp2, StreamNotServed, end_metadata, error_object
from ironflow.transports.connectrpc import PREFIX, check_protocol_version, deadline_of, rpc_error_response
from ironflow.transports.context import CallContext
from ironflow.transports.envelope import BadFrame, FrameReader, end_frame, frame
from ironflow.transports.exchange import Exchange
from ironflow.transports.http import Request, RequestTimeout, Send

KIND = "application/connect+"
# How long a client that does not read may hold up its last frame when the server stops.
CLOSE_TIMEOUT_S = 2.0
# Answers that are given together are sent together, about so much at a time.
PIECE_BYTES = 64 * 1024


class ConnectStreams(Lifecycle):
    """Serves every bound streaming operation that has an RPC name."""

    kind = KIND

    def __init__(
        self, dispatch: Dispatch, context: CallContext, message_bytes_max: int, codecs: Codecs | None = None
    ) -> None:
        self._dispatch = dispatch
        self._context = context
        self._message_bytes_max = message_bytes_max
        self._codecs = codecs or Codecs()
        self._operations = {PREFIX + name: operation for operation in dispatch.operations for name in operation.rpc}
        self._open: set[_Stream] = set()
        self._stopping = False

    def takes(self, request: Request) -> bool:
        return request.path.startswith(PREFIX)

    async def __call__(self, request: Request, send: Send) -> None:
        try:
            operation, codec = self._method_of(request)
        except IronflowError as error:
            await http.send_response(send, rpc_error_response(error), request)
            return
        stream = _Stream(request, send, operation, codec, self._dispatch, self._context, self._message_bytes_max)
        self._open.add(stream)
        try:
            await stream.run(self._stopping)
        finally:
            self._open.discard(stream)

    def drain(self) -> None:
        """Ends the streams, so that the server can stop, except those that end by themselves."""
        self._stopping = True
        for stream in self._open:
            if not stream.operation.drains:
                stream.stop()

    def _method_of(self, request: Request) -> tuple[Operation[Any, Any], Codec]:
        """The operation and the codec of a request. Raises the errors that have an HTTP status of their own."""
        if request.method != "POST":
            raise MethodNotAllowed(f"{request.path} is called with POST, not {request.method}.", allowed=("POST",))
        operation = self._operations.get(request.path)
        if operation is None:
            raise StreamNotServed(f"This server does not offer {request.path.removeprefix('/')}.")
        request.route = request.path
        if operation.streaming == "unary":
            raise UnsupportedMediaType(f"{request.path} is no stream; send application/json or application/proto.")
        name = request.headers["content-type"].partition(";")[0].strip().removeprefix(KIND)
        check_protocol_version(request.headers)
        rpc = request.path.removeprefix(PREFIX)
        codec = self._codecs.find(operation, rpc, name, dialect_of(request.headers))
        if codec is None:
            raise UnsupportedMediaType(
                f"{request.path} does not take {KIND}{name[:40]}; send {KIND}json or {KIND}proto."
            )
        if operation.streaming == "bidi" and request.is_http1:
            raise NeedsHttp2(f"{request.path} is a bidirectional stream: call it with HTTP/2.")
        return operation, codec


class _Stream:
    """One stream, from its first byte to its last."""

    def __init__(
        self,
        request: Request,
        send: Send,
        operation: Operation[Any, Any],
        codec: Codec,
        dispatch: Dispatch,
        context: CallContext,
        message_bytes_max: int,
    ) -> None:
        self.operation = operation
        self._request, self._codec = request, codec
        self._dispatch, self._context = dispatch, context
        self._message_bytes_max = message_bytes_max
        self._exchange = Exchange(request, send, context.is_there(request.link))
        self._packed = accepts_gzip(request.headers.get("connect-accept-encoding"))
        self._error: IronflowError | None = None
        self._started = False
        self._write = send

    async def run(self, stopping: bool) -> None:
        if not self.operation.refused_by_status:
            await self._start()
        ended = "stopped" if stopping else await self._exchange.run(self._answer())
        if ended == "stopped":
            self._error = self._exchange.stopped_by or ServerStopping()
        # A disconnected or stalled client is not waited for; without an end the HTTP server would log a failed request.
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(None if ended == "done" else CLOSE_TIMEOUT_S):
                if not self._started and isinstance(self._error, Unimplemented):
                    await http.send_response(self._write, rpc_error_response(self._error), self._request)
                    return
                await self._start()
                await self._exchange.end(self._last_frame())

    async def _start(self) -> None:
        if not self._started:
            self._started = True
            encoding = [(b"connect-content-encoding", b"gzip")] if self._packed else []
            await self._exchange.start(f"{KIND}{self._codec.name}".encode(), encoding)

    async def _send(self, answers: list[Any]) -> None:
        """Sends answers in as few pieces as keep the memory small."""
        await self._start()
        piece = bytearray()
        for answer in answers:
            if answer is None:
                continue
            piece += frame(self._codec.write(answer), self._packed)
            if len(piece) >= PIECE_BYTES:
                await self._exchange.write(bytes(piece))
                piece.clear()
        if piece:
            await self._exchange.write(bytes(piece))

    def stop(self) -> None:
        self._exchange.stop()

    def _last_frame(self) -> bytes:
        return end_frame() if self._error is None else end_frame(error_object(self._error), end_metadata(self._error))

    async def _answer(self) -> None:
        """Sends every answer, and keeps the error that ended them."""
        try:
            headers = self._request.headers
            deadline_s = deadline_of(headers)
            gzipped = is_gzip(headers.get("connect-content-encoding"), "Connect-Content-Encoding")
            call = await self._context.call_of(headers, self.operation.scope, self._request.link)
            requests = _Requests(self._exchange, FrameReader(self._message_bytes_max, gzipped), self._codec)
            deadline = _Deadline(deadline_s)
            message = requests if self.operation.streaming == "bidi" else await deadline.within(requests.only())
            connections = self._dispatch.connections
            with connections.opened("stream", call.principal, self._exchange.stop):
                async with aclosing(
                    self._dispatch.batches(self.operation, call, message, deadline.left_s())
                ) as batches:
                    async for answers in batches:
                        await self._send(answers)
        except IronflowError as error:
            self._error = error


class _Requests:
    """The client's messages as they come: an async iterator."""

    def __init__(self, exchange: Exchange, frames: FrameReader, codec: Codec) -> None:
        self._exchange, self._frames, self._codec = exchange, frames, codec

    def __aiter__(self) -> "_Requests":
        return self

    async def __anext__(self) -> Any:
        message = await self._next(patient=True)
        if message is None:
            raise StopAsyncIteration
        return self._codec.read(message)

    async def only(self) -> Any:
        """The one message of a server stream. Raises BadFrame when there is none, or another."""
        message = await self._next()
        if message is None:
            raise BadFrame("The stream ends before its message.")
        if await self._next() is not None:
            raise BadFrame("The stream has more than one message; this method takes one.")
        return self._codec.read(message)

    async def _next(self, patient: bool = False) -> bytes | None:
        """patient: between two messages a client may be silent for as long as it likes, never within one."""
        frames = self._frames
        while (message := frames.message()) is None:
            if patient and not frames.within:
                chunk = await self._exchange.chunk()
            else:
                chunk = await self._promptly(http.BODY_IDLE_S)
            if chunk is None:
                frames.end()
                return None
            frames.feed(chunk)
        return message

    async def _promptly(self, idle_s: float) -> bytes | None:
        """As `chunk` of the exchange. Raises RequestTimeout after `idle_s` seconds."""
        try:
            async with asyncio.timeout(idle_s):
                return await self._exchange.chunk()
        except TimeoutError:
            raise RequestTimeout(f"The message did not arrive: nothing came for {idle_s:g} s.") from None


class _Deadline:
    """What Connect-Timeout-Ms leaves. seconds: None for no deadline."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._clock = asyncio.get_running_loop().time
        self._ends_at = None if seconds is None else self._clock() + seconds

    def left_s(self) -> float | None:
        return None if self._ends_at is None else max(0.0, self._ends_at - self._clock())

    async def within(self, work: Any) -> Any:
        """The result of `work`. Raises DeadlineExceeded."""
        within = asyncio.timeout_at(self._ends_at)
        try:
            async with within:
                return await work
        except TimeoutError:
            raise DeadlineExceeded(f"The request did not arrive within {self._seconds} s.") from None
