"""Connect streams over the operations table: server streams on HTTP/1.1 and HTTP/2, bidirectional ones on HTTP/2.

The answer is always 200 and begins at once; what goes wrong is said in its last frame. Only what is no stream at all
has a status of its own: 404 for a method that is not served (clients poll instead), 405, 415, and 505 for a
bidirectional stream on HTTP/1.1.
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
    Unavailable,
    UnsupportedMediaType,
)
from ironflow.base.operation import Operation
from ironflow.dispatch import Dispatch
from ironflow.transports import http
from ironflow.transports.compression import accepts_gzip, is_gzip
from ironflow.transports.connect_codecs import Codec, Codecs
from ironflow.transports.connect_errors import NeedsHttp2, StreamNotServed, end_metadata, said
from ironflow.transports.connectrpc import PREFIX, deadline_of, rpc_error_response
from ironflow.transports.context import CallContext
from ironflow.transports.envelope import BadFrame, FrameReader, end_frame, frame
from ironflow.transports.exchange import Exchange
from ironflow.transports.http import Request, RequestTimeout, Send

KIND = "application/connect+"
# How long a client that does not read may hold up its last frame when the server stops.
FAREWELL_S = 2.0
# Answers that are given together are sent together, about so much at a time.
PIECE_BYTES = 64 * 1024


class Stopping(Unavailable):
    """The server is stopping; connect again."""

    code = "SERVER_STOPPING"


class ConnectStreams:
    """Serves every bound streaming operation that has an RPC name."""

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

    @property
    def open(self) -> int:
        """How many streams there are."""
        return len(self._open)

    def takes(self, request: Request) -> bool:
        return request.headers.get("content-type", "").startswith(KIND) and request.path.startswith(PREFIX)

    async def __call__(self, request: Request, send: Send) -> None:
        try:
            operation, spoken = self._asked(request)
        except IronflowError as error:
            await http.send_response(send, rpc_error_response(error), request)
            return
        stream = _Stream(request, send, operation, spoken, self._dispatch, self._context, self._message_bytes_max)
        self._open.add(stream)
        try:
            await stream.run(self._stopping)
        finally:
            self._open.discard(stream)

    def let_go(self, *, all_of_them: bool = False) -> None:
        """Ends the streams, so that the server can stop: those that do not end by themselves, or all."""
        self._stopping = True
        for stream in self._open:
            if all_of_them or not stream.operation.drains:
                stream.stop()

    def _asked(self, request: Request) -> tuple[Operation[Any, Any], Codec]:
        """The stream that is meant. Raises what has an HTTP status of its own."""
        if request.method != "POST":
            raise MethodNotAllowed(f"{request.path} is called with POST, not {request.method}.", allowed=("POST",))
        operation = self._operations.get(request.path)
        if operation is None:
            raise StreamNotServed(f"This server does not offer {request.path.removeprefix('/')}.")
        if operation.streaming == "unary":
            raise UnsupportedMediaType(f"{request.path} is no stream; send application/json or application/proto.")
        name = request.headers["content-type"].partition(";")[0].strip().removeprefix(KIND)
        spoken = self._codecs.find(operation, request.path.removeprefix(PREFIX), name)
        if spoken is None:
            raise UnsupportedMediaType(
                f"{request.path} does not take {KIND}{name[:40]}; send {KIND}json or {KIND}proto."
            )
        if operation.streaming == "bidi" and request.is_http1:
            raise NeedsHttp2(f"{request.path} is a bidirectional stream: call it with HTTP/2.")
        return operation, spoken


class _Stream:
    """One stream, from its first byte to its last."""

    def __init__(
        self,
        request: Request,
        send: Send,
        operation: Operation[Any, Any],
        spoken: Codec,
        dispatch: Dispatch,
        context: CallContext,
        message_bytes_max: int,
    ) -> None:
        self.operation = operation
        self._request, self._codec = request, spoken
        self._dispatch, self._context = dispatch, context
        self._message_bytes_max = message_bytes_max
        self._exchange = Exchange(request, send, context.is_there(request.peer))
        self._packed = accepts_gzip(request.headers.get("connect-accept-encoding"))
        self._error: IronflowError | None = None

    async def run(self, stopping: bool) -> None:
        encoding = [(b"connect-content-encoding", b"gzip")] if self._packed else []
        await self._exchange.start(f"{KIND}{self._codec.name}".encode(), encoding)
        ended = "stopped" if stopping else await self._exchange.run(self._answer())
        if ended == "stopped":
            self._error = Stopping()
        # A client that has gone or reads nothing gets none; without an end the HTTP server would log a failed request.
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(None if ended == "done" else FAREWELL_S):
                await self._exchange.end(self._last_frame())

    async def _send(self, answers: list[Any]) -> None:
        """Sends answers in as few pieces as keep the memory small."""
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
        return end_frame() if self._error is None else end_frame(said(self._error), end_metadata(self._error))

    async def _answer(self) -> None:
        """Sends every answer, and keeps the error that ended them."""
        try:
            headers = self._request.headers
            deadline_s = deadline_of(headers)
            gzipped = is_gzip(headers.get("connect-content-encoding"), "Connect-Content-Encoding")
            call = self._context.call_of(headers, self._request.peer)
            asked = _Asked(self._exchange, FrameReader(self._message_bytes_max, gzipped), self._codec)
            ends = _Deadline(deadline_s)
            what = asked if self.operation.streaming == "bidi" else await ends.within(asked.only())
            async with aclosing(self._dispatch.batches(self.operation, call, what, ends.left_s())) as batches:
                async for answers in batches:
                    await self._send(answers)
        except IronflowError as error:
            self._error = error


class _Asked:
    """The client's messages as they come: an async iterator."""

    def __init__(self, exchange: Exchange, frames: FrameReader, spoken: Codec) -> None:
        self._exchange, self._frames, self._codec = exchange, frames, spoken

    def __aiter__(self) -> "_Asked":
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
            idle_s = None if patient and not frames.within else http.BODY_IDLE_S
            try:
                async with asyncio.timeout(idle_s):
                    chunk = await self._exchange.chunk()
            except TimeoutError:
                raise RequestTimeout(f"The message did not arrive: nothing came for {idle_s:g} s.") from None
            if chunk is None:
                frames.end()
                return None
            frames.feed(chunk)
        return message


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
