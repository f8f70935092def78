"""A user's endpoint over HTTP/2 and TLS, whose answers the test decides, down to single frames."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings


@dataclass
class Asked:
    """A request. body: parsed."""

    connection: "Served"
    stream: int
    headers: dict[str, str]
    body: Any


# Answers with an object or a Response; or writes to the connection itself, and gives None.
Answer = Callable[[Asked], Any]


@dataclass
class Http2Endpoint:
    answer: Answer
    streams_max: int = 100
    url: str = ""
    requests: list[Asked] = field(default_factory=list)
    connections: list["Served"] = field(default_factory=list)
    resets: list[int] = field(default_factory=list)

    @property
    def open(self) -> list["Served"]:
        return [each for each in self.connections if not each.lost]


class Served(asyncio.Protocol):
    """One connection of the endpoint."""

    def __init__(self, endpoint: Http2Endpoint) -> None:
        self.endpoint = endpoint
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.lost = False
        self._asked: dict[int, tuple[dict[str, str], bytearray]] = {}
        self._unsent: dict[int, memoryview] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.endpoint.connections.append(self)
        self.http.local_settings = Settings(
            client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: self.endpoint.streams_max}
        )
        self.http.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        for task in self.tasks.values():
            task.cancel()

    def data_received(self, data: bytes) -> None:
        for event in self.http.receive_data(data):
            match event:
                case RequestReceived():
                    headers = {str(name): str(value) for name, value in event.headers}
                    self._asked[event.stream_id] = headers, bytearray()
                case DataReceived():
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self._asked[event.stream_id][1].extend(event.data)
                case StreamEnded():
                    headers, body = self._asked.pop(event.stream_id)
                    asked = Asked(self, event.stream_id, headers, json.loads(bytes(body)))
                    self.endpoint.requests.append(asked)
                    self.tasks[event.stream_id] = asyncio.create_task(self._answer(asked))
                case StreamReset():
                    self.endpoint.resets.append(int(event.error_code or 0))
                    self._unsent.pop(event.stream_id, None)
                    if (task := self.tasks.get(event.stream_id)) is not None:
                        task.cancel()
                case WindowUpdated():
                    for stream in list(self._unsent):
                        self._send(stream)
                case _:
                    pass
        self.flush()

    async def _answer(self, asked: Asked) -> None:
        made = self.endpoint.answer(asked)
        if isinstance(made, Awaitable):
            made = await made
        if isinstance(made, web.Response):
            body = made.body
            assert isinstance(body, bytes)
            self.respond(asked.stream, body, made.status, dict(made.headers))
        elif made is not None:
            self.respond(asked.stream, json.dumps(made).encode())

    def respond(self, stream: int, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.head(stream, status, headers or {"content-type": "application/json"})
        self._unsent[stream] = memoryview(body)
        self._send(stream)
        self.flush()

    def head(self, stream: int, status: int = 200, headers: dict[str, str] | None = None) -> None:
        fields = [(name.lower(), value) for name, value in (headers or {}).items()]
        self.http.send_headers(stream, [(":status", str(status)), *fields])
        self.flush()

    def reset(self, stream: int, code: ErrorCodes) -> None:
        self.http.reset_stream(stream, code)
        self.flush()

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def _send(self, stream: int) -> None:
        with suppress(ProtocolError):
            while (rest := self._unsent.get(stream)) is not None:
                size = min(self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size, len(rest))
                if rest and size <= 0:
                    return
                self._unsent[stream] = rest[size:]
                if end := size == len(rest):
                    del self._unsent[stream]
                self.http.send_data(stream, bytes(rest[:size]), end_stream=end)

    def flush(self) -> None:
        if data := self.http.data_to_send():
            self.transport.write(data)


@asynccontextmanager
async def an_http2_endpoint(tls: ssl.SSLContext, answer: Answer, **more: Any) -> AsyncIterator[Http2Endpoint]:
    endpoint = Http2Endpoint(answer, **more)
    serving = await asyncio.get_running_loop().create_server(lambda: Served(endpoint), "127.0.0.1", 0, ssl=tls)
    endpoint.url = f"https://127.0.0.1:{serving.sockets[0].getsockname()[1]}/api/ironflow"
    try:
        yield endpoint
    finally:
        serving.close()
        for each in endpoint.open:
            each.transport.abort()
