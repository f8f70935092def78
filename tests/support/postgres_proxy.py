"""A proxy before PostgreSQL that breaks a connection at its COMMIT."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

# What becomes of the next COMMIT: it arrives and its answer does not, or it does not arrive.
Fault = Literal["answer lost", "commit lost"]


class PostgresProxy:
    """url: PostgreSQL through the proxy. fault: what becomes of the next COMMIT. is_cut: no connection after it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._listening = socket.create_server(("127.0.0.1", 0))
        host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.url = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{host}"))
        self.fault: Fault | None = None
        self.is_cut = False
        self.commits = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def close(self) -> None:
        # A connection of our own wakes the thread that accepts.
        self.is_cut = True
        with contextlib.suppress(OSError), socket.create_connection(self._listening.getsockname()):
            pass
        self._listening.close()
        for each in self._open:
            _end(each)
        for thread in self._threads:
            thread.join(10)

    def start(self) -> None:
        self._run(self._accept)

    def _run(self, work: object, *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)  # pyright: ignore[reportArgumentType]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self.is_cut:
                client.close()
                continue
            server = socket.create_connection(self._target)
            self._open += [client, server]
            self._run(self._forward, client, server)
            self._run(self._back, server, client)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        while data := _received(client):
            if b"COMMIT\0" in data:
                self.commits += 1
                fault, self.fault = self.fault, None
                if fault == "answer lost":
                    # The other thread finds its end closed and passes nothing on.
                    _end(client)
                    server.sendall(data)
                    return
                if fault == "commit lost":
                    _end(client)
                    _end(server)
                    return
            # The other thread closes both ends once the server has closed its own.
            with contextlib.suppress(OSError):
                server.sendall(data)
        _end(server)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        while data := _received(server):
            with contextlib.suppress(OSError):
                client.sendall(data)
        _end(client)
        server.close()
        client.close()


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def a_proxy(url: str) -> Iterator[PostgresProxy]:
    """A proxy before the PostgreSQL of `url`; it ends with the block."""
    proxy = PostgresProxy(url)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.close()
