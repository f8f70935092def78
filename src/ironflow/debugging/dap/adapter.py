"""Carries the messages of sessions: over standard input and output, or TCP. `session.py` decides what they mean."""

import os
import queue
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, assert_never

from ironflow.base.errors import IronflowError
from ironflow.debugging.dap.protocol import Ask, BadFrame, Flow, Frames, Open, Rubbish, Send, framed
from ironflow.debugging.dap.session import Session
from ironflow.sync import Client

LOOK_EVERY_S = 0.25
# How often a run that this session paused is asked to go on, when the server does not answer.
_RESUME_TRIES = 40
_READ_BYTES = 64 * 1024
# A client that sends faster than it is answered waits.
_WAITING_MAX = 1_000

Connect = Callable[[Open], Client]
Incoming = dict[str, Any] | Rubbish | None


class Stream(Protocol):
    """The two directions of a client. read: empty at the end. Both raise OSError when the client has disconnected."""

    def read(self) -> bytes: ...

    def write(self, data: bytes) -> None: ...


@dataclass(slots=True)
class Descriptors:
    """Two open descriptors, such as those of standard input and output."""

    reading: int
    writing: int

    def read(self) -> bytes:
        # Not through a buffer: at the end of the process its lock would still be held by the thread that reads.
        return os.read(self.reading, _READ_BYTES)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.writing, rest) :]


@dataclass(slots=True)
class Connection:
    """A TCP connection."""

    peer: socket.socket

    def read(self) -> bytes:
        return self.peer.recv(_READ_BYTES)

    def write(self, data: bytes) -> None:
        self.peer.sendall(data)


class Adapter:
    """One session over one stream, in the thread that calls `serve`."""

    def __init__(self, stream: Stream, connect: Connect, default_run: str = "") -> None:
        self._stream = stream
        self._connect = connect
        self._session = Session(default_run)
        self._incoming: queue.Queue[Incoming] = queue.Queue(_WAITING_MAX)
        self._client: Client | None = None
        self._disconnected = False

    def serve(self) -> None:
        """Returns when the client has left; a run that the session paused goes on then."""
        threading.Thread(target=self._read, name="debug-adapter-reader", daemon=True).start()
        try:
            while not self._session.closed:
                try:
                    message = self._incoming.get(timeout=LOOK_EVERY_S if self._session.following else None)
                except queue.Empty:
                    self._drive(self._session.poll())
                    continue
                if message is None:
                    break
                self._drive(self._session.handle(message))
        finally:
            self._close()

    def _read(self) -> None:
        frames = Frames()
        with suppress(OSError, ValueError, BadFrame):
            while data := self._stream.read():
                for message in frames.feed(data):
                    self._incoming.put(message)
        self._incoming.put(None)

    def _close(self) -> None:
        for number in range(_RESUME_TRIES):
            try:
                self._drive(self._session.close())
                break
            except IronflowError:
                threading.Event().wait(min(0.1 * 2**number, 5.0))
        if self._client is not None:
            self._client.close()

    def _drive(self, flow: Flow) -> None:
        answer: Any = None
        fault: IronflowError | None = None
        while True:
            try:
                step = flow.send(answer) if fault is None else flow.throw(fault)
            except StopIteration:
                return
            answer, fault = None, None
            match step:
                case Send(message=message):
                    self._write(framed(message))
                case Open():
                    self._open(step)
                case Ask(operation=operation, request=request):
                    try:
                        answer = self._open(Open(None, None, None)).call(operation, request)
                    except IronflowError as raised:
                        fault = raised
                case _:
                    assert_never(step)

    def _open(self, wanted: Open) -> Client:
        if self._client is None:
            self._client = self._connect(wanted)
        return self._client

    def _write(self, data: bytes) -> None:
        if self._disconnected:
            return
        try:
            self._stream.write(data)
        except (OSError, ValueError):
            # The reader sees the end as well; what the session paused goes on.
            self._disconnected = True


class TcpServer(socketserver.ThreadingTCPServer):
    """An adapter for each connection. address: after the start, with the port that was free for port 0."""

    allow_reuse_address = True
    daemon_threads = False

    def __init__(self, host: str, port: int, connect: Connect, default_run: str = "") -> None:
        self._connect = connect
        self._default_run = default_run
        super().__init__((host, port), socketserver.BaseRequestHandler)

    @property
    def address(self) -> str:
        host, port = self.socket.getsockname()[:2]
        return f"{host}:{port}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        Adapter(Connection(request), self._connect, self._default_run).serve()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that vanished is no error of the adapter; anything else is shown with its traceback."""
        super().handle_error(request, client_address)
