"""A fake server with HTTP/2 and the frames of streaming workers, on one connection after another.

Made of `h2` and protocol/worker-stream.md alone. It can be made to answer anything, to be slow, and to stop sending.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

WITHIN_S = 10

Script = Callable[["FakeStream"], Awaitable[None]]


class FakeStream:
    """One request of a client, as the server sees it. headers: the client's; body: what has come of its body."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, window: int) -> None:
        self._reader, self._writer = reader, writer
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._window = window
        self.headers: dict[str, str] = {}
        self.body = b""
        self.ended = False
        self._stream = 0
        self._taken = 0

    async def begin(self) -> None:
        """Waits for the request."""
        self.http.initiate_connection()
        if self._window:
            self.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: self._window})
        self.flush()
        while not self.headers:
            await self.advance()

    async def advance(self, *, give_window: bool = True) -> None:
        """Takes in what comes next. Raises EOFError when the client has disconnected."""
        received = await self._reader.read(65536)
        if not received:
            raise EOFError
        for event in self.http.receive_data(received):
            match event:
                case RequestReceived():
                    self._stream = event.stream_id
                    self.headers = {str(name): str(value) for name, value in event.headers}
                case DataReceived():
                    self.body += event.data
                    if give_window:
                        self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    self.ended = True
                case _:
                    pass
        self.flush()

    async def receive(self) -> dict[str, Any]:
        """The client's next frame."""
        while True:
            rest = self.body[self._taken :]
            size = int.from_bytes(rest[1:5], "big")
            if len(rest) >= 5 and len(rest) >= 5 + size:
                self._taken += 5 + size
                return json.loads(rest[5 : 5 + size])
            async with asyncio.timeout(WITHIN_S):
                await self.advance()

    async def receive_until(self, kind: str) -> Any:
        """The next frame of that kind; others are passed over."""
        while True:
            frame = await self.receive()
            if kind in frame:
                return frame[kind]

    async def accept(self, *, batches: bool = True) -> dict[str, Any]:
        """Answers the registration of a worker; what it registered."""
        self.head()
        registered = (await self.receive())["register"]
        self.send_frame(
            registered={"workerId": registered["workerId"], "heartbeatIntervalMs": 30_000, "batches": batches}
        )
        return registered

    def head(self, status: int = 200) -> None:
        self.http.send_headers(self._stream, [(":status", str(status)), ("content-type", "application/connect+json")])
        self.flush()

    def send_frame(self, **frame: Any) -> None:
        text = json.dumps(frame).encode()
        self.send(b"\0" + len(text).to_bytes(4, "big") + text)

    def send(self, data: bytes) -> None:
        self.http.send_data(self._stream, data)
        self.flush()

    def ends(self, error: dict[str, str] | None = None) -> None:
        text = json.dumps({"error": error} if error else {}).encode()
        self.http.send_data(self._stream, b"\2" + len(text).to_bytes(4, "big") + text, end_stream=True)
        self.flush()

    def refuses(self, status: int, body: dict[str, str]) -> None:
        self.head(status)
        self.http.send_data(self._stream, json.dumps(body).encode(), end_stream=True)
        self.flush()

    def cut(self) -> None:
        self._writer.transport.abort()

    def flush(self) -> None:
        self._writer.write(self.http.data_to_send())


class FakeStreams:
    """The server. scripts: what to do on each connection, one after the other; the last one stays."""

    def __init__(self, *scripts: Script, window: int = 0) -> None:
        self._scripts = list(scripts)
        self._window = window
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.address = ""
        self.faults: list[BaseException] = []

    async def __aenter__(self) -> "FakeStreams":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert not self.faults, self.faults

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        stream = FakeStream(reader, writer, self._window)
        try:
            with suppress(EOFError, ConnectionError, ProtocolError, asyncio.CancelledError):
                await stream.begin()
                await script(stream)
                while not stream.ended:
                    await stream.advance()
                stream.ends()
                while True:
                    await stream.advance()
        except (AssertionError, TimeoutError, KeyError) as fault:
            self.faults.append(fault)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
