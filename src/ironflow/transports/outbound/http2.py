"""One HTTP/2 connection that many requests share; the protocol is that of `h2`. Source: RFC 9113."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from ironflow.base.outgoing import AnswerTooLarge, Outgoing

# Bytes that an endpoint may send on one stream, and on all, before they are acknowledged.
STREAM_WINDOW_BYTES = 256 * 1024
WINDOW_BYTES = 16 * 1024 * 1024
HEADERS_BYTES_MAX = 64 * 1024
# What waits for an endpoint that asks, with pings and settings, and does not read the answers.
UNSENT_BYTES_MAX = 4 * 1024 * 1024
# What may arrive without a whole frame among it: the library waits for a frame's end, also of one that is too large.
UNFRAMED_BYTES_MAX = 1024 * 1024

Head = Sequence[tuple[str, str]]


class Unprocessed(ConnectionError):
    """The endpoint has not begun the request (RFC 9113, 8.7): it may be made again on another connection."""


class Broken(ConnectionError):
    """The stream or its connection ended; the endpoint may have executed the request."""


class _Request:
    """A request under way. unsent: the rest of its body, which waits for the endpoint's window. ended: the answer."""

    __slots__ = ("answered", "began_at", "bytes_max", "ended", "headers", "parts", "size", "status", "unsent")

    def __init__(self, answered: asyncio.Future[Outgoing], body: bytes, bytes_max: int, began_at: float) -> None:
        self.answered, self.unsent, self.bytes_max, self.began_at = answered, memoryview(body), bytes_max, began_at
        self.status, self.ended = 0, False
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.size = 0

    def end(self) -> None:
        self.ended = True
        if not self.answered.done():
            self.answered.set_result(Outgoing(self.status, self.headers, b"".join(self.parts)))

    def fail(self, fault: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(fault)


class _Http(H2Connection):
    """As the library's, except that streams under way end as usual after a GOAWAY without an error (RFC 9113, 6.8)."""

    def _receive_goaway_frame(self, frame: Any) -> tuple[list[Any], list[Event]]:
        if frame.error_code != ErrorCodes.NO_ERROR:
            return super()._receive_goaway_frame(frame)
        event = ConnectionTerminated()
        event.error_code, event.last_stream_id = ErrorCodes.NO_ERROR, frame.last_stream_id
        return [], [event]


class Connection(asyncio.Protocol):
    """keep_alive_s: how long it stays open without a request. on_lost: called once, when it is closed."""

    def __init__(self, keep_alive_s: float, on_lost: Callable[["Connection"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._keep_alive_s, self._on_lost = keep_alive_s, on_lost
        # Names and values come from this server, in the form that goes out.
        configuration = H2Configuration(client_side=True, header_encoding=None, normalize_outbound_headers=False)
        self._http = _Http(configuration)
        self._http.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: HEADERS_BYTES_MAX,
            },
        )
        self._transport: asyncio.Transport | None = None
        self._requests: dict[int, _Request] = {}
        self._retired = self._flushing = self._choked = False
        self._received_at = self._idle_since = 0.0
        self._unframed_bytes = 0
        self._idle_check: asyncio.TimerHandle | None = None
        # Done with the endpoint's first settings.
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._ready.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.chosen = ""
        self.lost = asyncio.Event()
        self.begun = 0

    # Requests.

    @property
    def has_capacity(self) -> bool:
        return not self._retired and len(self._requests) < self._http.remote_settings.max_concurrent_streams

    async def ready(self) -> None:
        """Waits for the endpoint's settings. Raises Broken."""
        await self._ready
        self._idle()

    async def post(self, head: Head, body: bytes, bytes_max: int) -> Outgoing:
        """The answer. A cancelled request resets its stream.

        Raises Unprocessed, Broken, and AnswerTooLarge.
        """
        answered: asyncio.Future[Outgoing] = self._loop.create_future()
        request = _Request(answered, body, bytes_max, self._loop.time())
        try:
            number = self._http.get_next_available_stream_id()
            self._http.send_headers(number, head, end_stream=not body)
        except ProtocolError as fault:
            self._retire()
            raise Unprocessed(str(fault)) from fault
        self.begun += 1
        self._requests[number] = request
        self._send_body(number, request)
        self._flush_soon()
        try:
            return await answered
        except asyncio.CancelledError:
            if self._received_at < request.began_at:
                # Perhaps nothing arrives any more: later requests do not wait on this connection.
                self._retired = True
            raise
        finally:
            self._ended(number)

    def _ended(self, number: int) -> None:
        request = self._requests.pop(number, None)
        if request is not None and (request.unsent or not request.ended):
            self._cancel(number)
        if not self._requests:
            if self._retired:
                self.close()
            else:
                self._idle()

    def _cancel(self, number: int) -> None:
        with suppress(ProtocolError):
            # The connection may have ended meanwhile.
            self._http.reset_stream(number, ErrorCodes.CANCEL)
        self._flush_soon()

    def _send_body(self, number: int, request: _Request) -> None:
        """As much as the endpoint has window for."""
        while request.unsent and not self._choked:
            window = min(self._http.local_flow_control_window(number), self._http.max_outbound_frame_size)
            if window <= 0:
                return
            part, request.unsent = request.unsent[:window], request.unsent[window:]
            self._http.send_data(number, bytes(part), end_stream=not request.unsent)

    def _send_bodies(self) -> None:
        for number, request in self._requests.items():
            if request.unsent:
                with suppress(ProtocolError):
                    # A stream that was reset: its request has failed, and is about to go.
                    self._send_body(number, request)

    # What arrives.

    def data_received(self, data: bytes) -> None:
        if self.chosen != "h2":
            return
        self._received_at = self._loop.time()
        try:
            events = self._http.receive_data(data)
        except ProtocolError as fault:
            self._fail(f"the endpoint broke the rules of HTTP/2: {str(fault) or type(fault).__name__}")
            return
        self._unframed_bytes = 0 if events else self._unframed_bytes + len(data)
        if self._unframed_bytes > UNFRAMED_BYTES_MAX:
            self._fail("the endpoint sends no frame of HTTP/2")
            return
        for event in events:
            self._apply(event)
        self._flush()

    def _apply(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                if (request := self._requests.get(event.stream_id)) is not None:
                    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
                    request.status = int(dict(fields).get(":status", "0"))
                    request.headers = {name: value for name, value in fields if not name.startswith(":")}
            case DataReceived():
                self._received(event)
            case StreamEnded():
                if (request := self._requests.get(event.stream_id)) is not None:
                    request.end()
            case StreamReset():
                if (request := self._requests.pop(event.stream_id, None)) is not None:
                    request.fail(_reset(event.error_code))
            case ConnectionTerminated():
                self._terminated(event)
            case RemoteSettingsChanged():
                if not self._ready.done():
                    self._ready.set_result(None)
                self._send_bodies()
            case WindowUpdated():
                self._send_bodies()
            case _:
                # Pings are answered by the library; trailers, and answers before the answer, have nothing of use.
                pass

    def _received(self, event: DataReceived) -> None:
        with suppress(ProtocolError):
            # The stream may have ended meanwhile.
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        request = self._requests.get(event.stream_id)
        if request is None or request.answered.done():
            return
        request.size += len(event.data)
        if request.size <= request.bytes_max:
            request.parts.append(event.data)
            return
        request.fail(AnswerTooLarge(f"The endpoint's answer is larger than {request.bytes_max} bytes."))
        self._requests.pop(event.stream_id)
        self._cancel(event.stream_id)

    def _terminated(self, event: ConnectionTerminated) -> None:
        """The endpoint takes no more requests; those that it has begun may still be answered."""
        if event.error_code != ErrorCodes.NO_ERROR:
            self._fail(f"the endpoint ended the connection: {_name(event.error_code)}", event.last_stream_id)
            return
        self._retired = True
        for number in [each for each in self._requests if each > (event.last_stream_id or 0)]:
            self._requests.pop(number).fail(Unprocessed("the endpoint takes no more requests on the connection"))
        self._retire()

    # The transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by its class.
        self._transport = cast(asyncio.Transport, transport)
        self.chosen = transport.get_extra_info("ssl_object").selected_alpn_protocol() or ""
        if self.chosen == "h2":
            self._http.initiate_connection()
            self._http.increment_flow_control_window(WINDOW_BYTES)
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._retired = True
        if self._idle_check is not None:
            self._idle_check.cancel()
        self._fail_requests(f"the connection broke: {exc}" if exc else "the endpoint closed the connection")
        self.lost.set()
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._choked = True

    def resume_writing(self) -> None:
        self._choked = False
        self._send_bodies()
        self._flush()

    def _flush_soon(self) -> None:
        """At the end of this turn of the loop: what many requests send becomes one record of TLS."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        waiting = self._http.data_to_send()
        if not waiting or self._transport is None or self._transport.is_closing():
            return
        self._transport.write(waiting)
        if self._choked and self._transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            self._fail("the endpoint asks, and does not read the answers")

    # The end.

    def close(self) -> None:
        """Ends the connection; requests under way fail."""
        self._retired = True
        if self._transport is None or self._transport.is_closing():
            return
        with suppress(ProtocolError):
            self._http.close_connection()
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._retired = True
        if self._transport is not None:
            self._transport.abort()

    def _retire(self) -> None:
        """Takes no more requests, and closes after the last answer."""
        self._retired = True
        if not self._requests:
            self.close()

    def _fail(self, reason: str, last_stream_id: int | None = None) -> None:
        self._retired = True
        self._fail_requests(reason, last_stream_id)
        self._flush()
        self.abort()

    def _fail_requests(self, reason: str, last_stream_id: int | None = None) -> None:
        """last_stream_id: later requests were not begun."""
        if not self._ready.done():
            self._ready.set_exception(Broken(reason))
        requests, self._requests = self._requests, {}
        for number, request in requests.items():
            begun = last_stream_id is None or number <= last_stream_id
            request.fail(Broken(reason) if begun else Unprocessed(reason))

    def _idle(self) -> None:
        self._idle_since = self._loop.time()
        if self._idle_check is None and not self._retired:
            self._idle_check = self._loop.call_later(self._keep_alive_s, self._close_idle)

    def _close_idle(self) -> None:
        self._idle_check = None
        if self._requests:
            # The end of the last of them sets it again.
            return
        if (left := self._idle_since + self._keep_alive_s - self._loop.time()) <= 0:
            self.close()
        else:
            self._idle_check = self._loop.call_later(left, self._close_idle)


def _reset(code: ErrorCodes | int | None) -> Exception:
    if code == ErrorCodes.REFUSED_STREAM:
        return Unprocessed("the endpoint refused the stream")
    return Broken(f"the endpoint reset the stream: {_name(code)}")


def _name(code: ErrorCodes | int | None) -> str:
    return code.name.lower() if isinstance(code, ErrorCodes) else str(code)
