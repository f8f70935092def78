"""One HTTP/2 request whose body is still written while its response is read: a bidirectional stream.

On a connection of its own, in clear text with prior knowledge or over TLS.
Source: RFC 9113, protocol/worker-stream.md 1.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from ironflow.base.errors import ConnectionLost, DeadlineExceeded
from ironflow.sdk.wire.transport import OK, Answer, CannotConnect, Refused, add_probes, checked_url

STREAM = 1
READ_BYTES = 256 * 1024
# Bytes that the server may send before the client acknowledges any.
WINDOW_BYTES = 4 * 1024 * 1024
_PING = b"ironflow"


class Duplex:
    """An open request. `chunks()` are the answer's bytes as they come, read by one task; `write` adds to the request's.

    last_received_at: when the last bytes arrived, in the loop's time.
    """

    def __init__(self, url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._url = url
        self._reader, self._writer = reader, writer
        self._loop = asyncio.get_running_loop()
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._http.local_settings = Settings(
            client=True,
            initial_values={SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES},
        )
        self._unsent = bytearray()
        self._finishing = self._finished = False
        self._headers: dict[str, str] | None = None
        self._arrived: list[bytes] = []
        self._ended = False
        self._lost: ConnectionLost | None = None
        self.last_received_at = self._loop.time()

    @classmethod
    async def open(cls, url: str, path: str, headers: Mapping[str, str], timeout: float) -> Self:
        """Connects, asks, and waits for the head of the answer.

        Raises CannotConnect, ConnectionLost, DeadlineExceeded after `timeout` seconds, Refused for a status other than
        200.
        """
        url = checked_url(url)
        try:
            async with asyncio.timeout(timeout):
                made = await cls._connect(url)
                try:
                    await made._send_head(path, headers)
                except BaseException:
                    await made.abort()
                    raise
                return made
        except TimeoutError:
            raise DeadlineExceeded(f"{url} did not answer within {timeout:.3g} s.") from None

    @classmethod
    async def _connect(cls, url: str) -> Self:
        parts = urlsplit(url)
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        port = parts.port or (443 if tls is not None else 80)
        try:
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls, limit=READ_BYTES)
        except OSError as fault:
            raise CannotConnect(f"{url} cannot be reached: {fault.strerror or fault}. Is it running?") from fault
        add_probes(writer.get_extra_info("socket"))
        secure = writer.get_extra_info("ssl_object")
        if secure is not None and secure.selected_alpn_protocol() != "h2":
            writer.close()
            raise CannotConnect(f"{url} offers no HTTP/2, which streaming workers need. Use a Worker, which polls.")
        return cls(url, reader, writer)

    async def _send_head(self, path: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(self._url)
        self._http.initiate_connection()
        self._http.increment_flow_control_window(WINDOW_BYTES)
        head = [
            (":method", "POST"),
            (":scheme", parts.scheme),
            (":authority", parts.netloc.rpartition("@")[2]),
            (":path", parts.path + path),
            *((name.lower(), value) for name, value in headers.items()),
        ]
        self._http.send_headers(STREAM, head)
        self._flush()
        while self._headers is None:
            await self._advance()
        status = int(self._headers.get(":status", "0"))
        if status != OK:
            self.end()
            body = b"".join([part async for part in self.chunks()])
            raise Refused(Answer(status, self._headers, body))

    # Response.

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The answer's bytes until it has ended. Raises ConnectionLost when the connection or the stream breaks."""
        while True:
            arrived, self._arrived = self._arrived, []
            for part in arrived:
                yield part
            if self._ended:
                return
            if not arrived:
                await self._advance()

    async def _advance(self) -> None:
        """Takes in what comes next. Raises ConnectionLost."""
        if self._lost is not None:
            raise self._lost
        try:
            received = await self._reader.read(READ_BYTES)
            if not received:
                raise ConnectionLost(f"{self._url} closed the connection.")
            self.last_received_at = self._loop.time()
            for event in self._http.receive_data(received):
                self._apply(event)
            self._send()
        except (OSError, ProtocolError) as fault:
            raise ConnectionLost(f"The connection to {self._url} broke: {fault or type(fault).__name__}.") from fault

    def _apply(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                self._headers = {str(name): str(value) for name, value in event.headers}
            case DataReceived():
                self._http.acknowledge_received_data(event.flow_controlled_length, STREAM)
                if event.data:
                    self._arrived.append(event.data)
            case StreamEnded():
                self._ended = True
            case StreamReset():
                self._lost = ConnectionLost(f"{self._url} reset the stream: {_reason(event.error_code)}.")
            case ConnectionTerminated() if event.error_code != ErrorCodes.NO_ERROR:
                self._lost = ConnectionLost(f"{self._url} ended the connection: {_reason(event.error_code)}.")
            case _:
                # Settings, windows and pings are answered by the library; what waits for window is sent afterwards.
                pass

    # Request.

    def write(self, data: bytes) -> None:
        """Sends `data`, as soon as the server has window for it. Does nothing on a closed connection."""
        self._unsent += data
        self._send()

    def ping(self) -> None:
        """Asks for an acknowledgement, so that a live server sends something."""
        with suppress(ProtocolError):
            self._http.ping(_PING)
            self._flush()

    def end(self) -> None:
        """Ends the request after what was written; the answer may go on."""
        self._finishing = True
        self._send()

    def _send(self) -> None:
        try:
            while self._unsent:
                window = min(self._http.local_flow_control_window(STREAM), self._http.max_outbound_frame_size)
                if window <= 0:
                    break
                self._http.send_data(STREAM, bytes(self._unsent[:window]))
                del self._unsent[:window]
            if self._finishing and not self._unsent and not self._finished:
                self._finished = True
                self._http.end_stream(STREAM)
        except ProtocolError:
            # The reader of the response raises the reason.
            self._unsent.clear()
        self._flush()

    def _flush(self) -> None:
        if waiting := self._http.data_to_send():
            self._writer.write(waiting)

    # Closing.

    async def abort(self) -> None:
        """Closes the connection at once, whatever is still to be sent."""
        self._writer.transport.abort()
        await self._wait_closed()

    async def close(self) -> None:
        """Closes the connection after what was written."""
        self._writer.close()
        await self._wait_closed()

    async def _wait_closed(self) -> None:
        with suppress(OSError):
            await self._writer.wait_closed()


def _reason(code: ErrorCodes | int | None) -> str:
    return code.name.lower() if isinstance(code, ErrorCodes) else str(code)
