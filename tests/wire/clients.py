"""Clients of Connect streams made from the documents alone: HTTP/1.1 by hand, HTTP/2 with prior knowledge over `h2`."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import msgspec

WITHIN_S = 10
JSON = "application/connect+json"
PROTO = "application/connect+proto"


def enveloped(message: Any, flags: int = 0) -> bytes:
    """A frame: flag byte, length, message; what is no bytes becomes JSON."""
    text = message if isinstance(message, bytes) else msgspec.json.encode(message)
    return bytes([flags]) + len(text).to_bytes(4, "big") + text


def packed(message: Any) -> bytes:
    """A frame with the gzip flag."""
    text = message if isinstance(message, bytes) else msgspec.json.encode(message)
    packer = zlib.compressobj(wbits=31)
    return enveloped(packer.compress(text) + packer.flush(), 1)


@dataclass(frozen=True)
class Frame:
    flags: int
    data: bytes

    def json(self) -> Any:
        text = zlib.decompress(self.data, 31) if self.flags & 1 else self.data
        return msgspec.json.decode(text)

    @property
    def error(self) -> str:
        """The code in a last frame, empty when it says none."""
        assert self.flags == 2
        return self.json().get("error", {}).get("code", "")


class Frames:
    """Frames out of a stream of bytes."""

    def __init__(self) -> None:
        self.held = b""

    def take(self) -> Frame | None:
        if len(self.held) < 5:
            return None
        size = int.from_bytes(self.held[1:5], "big")
        if len(self.held) < 5 + size:
            return None
        found = Frame(self.held[0], self.held[5 : 5 + size])
        self.held = self.held[5 + size :]
        return found


@dataclass
class Answer:
    """What came back of one stream. Subclasses say how more comes."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    ended: bool = False
    frames: Frames = field(default_factory=Frames)

    async def more(self) -> None:
        raise NotImplementedError

    async def frame(self) -> Frame | None:
        """The next frame; None at the end of the stream."""
        async with asyncio.timeout(WITHIN_S):
            while (found := self.frames.take()) is None:
                if self.ended:
                    assert self.frames.held == b""
                    return None
                await self.more()
        return found

    async def rest(self) -> list[Frame]:
        found: list[Frame] = []
        while (each := await self.frame()) is not None:
            found.append(each)
        return found

    async def body(self) -> bytes:
        """All that came, for answers that are no stream."""
        async with asyncio.timeout(WITHIN_S):
            while not self.ended:
                await self.more()
        return self.frames.held


class Http1(Answer):
    """One POST on a connection of its own; the body is sent in chunks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self.reader, self.writer = reader, writer

    async def post(self, path: str, headers: Mapping[str, str], body: bytes = b"", *, end: bool = True) -> None:
        all_headers = {"host": "localhost", "transfer-encoding": "chunked", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
        self.writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode())
        if body:
            self.send(body)
        if end:
            self.writer.write(b"0\r\n\r\n")

    def send(self, part: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(part), part))

    async def head(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}

    async def more(self) -> None:
        if self.headers.get("transfer-encoding") != "chunked":
            self.frames.held += await self.reader.readexactly(int(self.headers.get("content-length", "0")))
            self.ended = True
            return
        size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
        self.frames.held += (await self.reader.readexactly(size + 2))[:-2]
        self.ended = size == 0

    def abort(self) -> None:
        self.writer.transport.abort()


class Http2:
    """One connection that speaks HTTP/2 from its first byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, window: int | None) -> None:
        self._reader, self._writer = reader, writer
        self._window = window
        self._wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.streams: dict[int, Http2Stream] = {}
        self.closed = False
        self._reading: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._wire.initiate_connection()
        if self._window is not None:
            self._wire.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self._window})
        self.flush()
        self._reading = asyncio.create_task(self._read())

    def flush(self) -> None:
        self._writer.write(self._wire.data_to_send())

    async def _read(self) -> None:
        while data := await self._reader.read(65536):
            for event in self._wire.receive_data(data):
                self._take(event)
            self.flush()
        self.closed = True
        for stream in self.streams.values():
            stream.ended = True
            stream.changed.set()

    def _take(self, event: Any) -> None:
        stream = self.streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        match event:
            case h2.events.ResponseReceived():
                stream.headers = {str(name): str(value) for name, value in event.headers}
                stream.status = int(stream.headers[":status"])
            case h2.events.DataReceived():
                stream.frames.held += event.data
                if self._window is None and event.flow_controlled_length:
                    self._wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                stream.ended = True
            case h2.events.StreamReset():
                stream.ended, stream.reset = True, True
            case _:
                pass
        stream.changed.set()

    def post(self, path: str, headers: Mapping[str, str], body: bytes = b"", *, end: bool = True) -> "Http2Stream":
        number = self._wire.get_next_available_stream_id()
        all_headers = {":method": "POST", ":path": path, ":scheme": "http", ":authority": "localhost", **headers}
        stream = self.streams[number] = Http2Stream(self, number)
        self._wire.send_headers(number, list(all_headers.items()), end_stream=end and not body)
        if body:
            self.send(number, body, end=end)
        self.flush()
        return stream

    def send(self, number: int, part: bytes, *, end: bool = False) -> None:
        largest = self._wire.max_outbound_frame_size
        while len(part) > largest:
            self._wire.send_data(number, part[:largest])
            part = part[largest:]
        self._wire.send_data(number, part, end_stream=end)
        self.flush()

    def window_of(self, number: int) -> int:
        """How many bytes the server lets come."""
        return self._wire.local_flow_control_window(number)

    def reset(self, number: int) -> None:
        self._wire.reset_stream(number, error_code=8)
        self.flush()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()


class Http2Stream(Answer):
    def __init__(self, connection: Http2, number: int) -> None:
        super().__init__()
        self.connection, self.number = connection, number
        self.reset = False
        self.changed = asyncio.Event()

    async def head(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not self.status:
                await self.more()

    async def more(self) -> None:
        self.changed.clear()
        if not self.ended:
            await self.changed.wait()

    def send(self, part: bytes, *, end: bool = False) -> None:
        self.connection.send(self.number, part, end=end)

    def end(self) -> None:
        self.send(b"", end=True)

    def abort(self) -> None:
        self.connection.reset(self.number)


@asynccontextmanager
async def http1(address: str) -> AsyncIterator[Http1]:
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Http1(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def http2(address: str, window: int | None = None) -> AsyncIterator[Http2]:
    """window: how many bytes of each stream it lets come, and not one more; None reads all."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connection = Http2(reader, writer, window)
    connection.begin()
    try:
        yield connection
    finally:
        await connection.close()
