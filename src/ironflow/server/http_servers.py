"""The two HTTP servers that can carry the application, in the engine's own event loop."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ironflow.base.errors import IronflowError
from ironflow.base.socket import PING_EVERY_S, PONG_WITHIN_S
from ironflow.server.descriptors import connections_of, descriptors_max
from ironflow.server.settings import Settings, tls_fault
from ironflow.transports.app import App
from ironflow.transports.websocket import MESSAGE_BYTES_MAX

logger = logging.getLogger(__name__)

# Before it accepts again, after there was no descriptor for a connection.
OUT_OF_DESCRIPTORS_S = 0.2
# How often the files of the certificate are looked at.
TLS_LOOK_S = 2.0


class CannotListen(IronflowError):
    """The port cannot be used."""

    code = "CANNOT_LISTEN"
    exit_code = 71


class HttpServer(Protocol):
    """address: `http://host:port` once started, or `https://`."""

    address: str

    async def serve(self, started: Callable[[], None]) -> None:
        """Serves until stopped; calls `started` when it accepts connections."""
        ...

    def stop(self) -> None:
        """No new connections; requests under way get a moment to finish."""
        ...


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(1024)
    except (OSError, OverflowError) as fault:
        listening.close()
        reason = getattr(fault, "strerror", None) or str(fault)
        raise CannotListen(
            f"{host}:{port} cannot be used: {reason}. Is another server running? "
            "Choose another --port (0 takes a free one)."
        ) from None
    return listening


class H2cornServer:
    """h2corn: HTTP/1.1 and HTTP/2 cleartext on one port."""

    def __init__(self, app: App, settings: Settings) -> None:
        from h2corn import Config, Server

        self._stopping = False
        self._socket = bound_socket(settings.host, settings.port)
        self.address = _address(settings, self._socket)
        config = Config(
            bind=(f"fd://{self._socket.fileno()}",),
            certfile=Path(settings.tls_cert) if settings.tls_cert else None,
            keyfile=Path(settings.tls_key) if settings.tls_key else None,
            access_log=False,
            loop="uvloop",
            lifespan="off",
            # Silent bidirectional streams are legal; slow request bodies are bounded by the application.
            timeout_request_body_idle=0,
            limit_connections=settings.connections_max or connections_of(descriptors_max()),
            timeout_handshake=settings.request_head_ms / 2000,
            timeout_request_header=settings.request_head_ms / 1000,
            timeout_keep_alive=settings.connection_idle_ms / 1000,
            # The first half belongs to clients that were asked to leave; see server/run.py.
            timeout_graceful_shutdown=settings.shutdown_ms / 2000,
            # The application bounds a body, and of a stream, which may go on for ever, each message.
            max_request_body_size=0,
            websocket_ping_interval=PING_EVERY_S,
            websocket_ping_timeout=PONG_WITHIN_S,
            websocket_max_message_size=MESSAGE_BYTES_MAX,
            # A compressor for each socket would take more memory than everything else about it.
            websocket_per_message_deflate=False,
            max_concurrent_streams=1024,
            # The application refuses gRPC in a form that its clients read.
            grpc=True,
        )
        # Each reads the certificate when it starts.
        self._make: Callable[[], Any] = lambda: Server(app, config)  # pyright: ignore[reportArgumentType]
        self._server: Any = None
        self._serving: asyncio.Task[None] | None = None
        self._tls_files = (settings.tls_cert, settings.tls_key) if settings.tls_cert else None

    async def serve(self, started: Callable[[], None]) -> None:
        _silence_banner()
        asyncio.get_running_loop().set_exception_handler(_report_unless_out_of_descriptors)
        watching = asyncio.create_task(self._renew(*self._tls_files)) if self._tls_files else None
        try:
            await self._serve_once(started)
            while not self._stopping:
                # h2corn ends when it cannot accept. The socket is ours and still listens; after a moment there are
                # descriptors again, those of the connections that ended with it.
                await asyncio.sleep(OUT_OF_DESCRIPTORS_S)
                if not self._stopping:
                    await self._serve_once(lambda: None)
        finally:
            if watching is not None:
                watching.cancel()
            self._socket.close()

    async def _renew(self, cert: str, key: str) -> None:
        """Serves with a new certificate once its files have changed and belong together."""
        seen = refused = tls_stamp(cert, key)
        while True:
            await asyncio.sleep(TLS_LOOK_S)
            stamp = tls_stamp(cert, key)
            if stamp in (seen, refused):
                continue
            fault = tls_fault(cert, key)
            if fault is not None:
                # The key may be replaced a moment after the certificate.
                logger.warning("new certificate not usable", extra={"cert": cert, "error": fault})
                refused = stamp
            elif await self._replace():
                logger.info("certificate renewed", extra={"cert": cert})
                seen = stamp

    async def _replace(self) -> bool:
        """Another server takes over the socket; the one before answers what it has, and accepts no more."""
        fresh = self._make()
        serving = asyncio.create_task(fresh.serve())
        try:
            await fresh.wait_started()
        except (OSError, RuntimeError, ValueError) as fault:
            await asyncio.gather(serving, return_exceptions=True)
            logger.warning("new certificate not usable", extra={"error": str(fault)})
            return False
        before, self._server, self._serving = self._server, fresh, serving
        # Unlike `shutdown`, it does not report to systemd that the process stops.
        getattr(before, "_request_restart", before.shutdown)()
        return True

    async def _serve_once(self, started: Callable[[], None]) -> None:
        """Returns when it was stopped, or when it was out of descriptors."""
        server = self._server = self._make()
        serving = self._serving = asyncio.create_task(server.serve())
        try:
            await server.wait_started()
            started()
            while True:
                await serving
                if serving is self._serving:
                    break
                # Another has taken over.
                serving = self._serving
        except OSError as fault:
            if not _is_out_of_descriptors(fault):
                raise
            logger.error("out of descriptors", extra={"error": str(fault), "descriptors_max": descriptors_max()})
        except RuntimeError as fault:
            if not self._stopping:
                raise
            # h2corn waits no longer for requests that ignore their cancellation; they end with the process.
            logger.warning("requests did not end in time", extra={"error": str(fault)})
        finally:
            # What it raised was raised above, or is the same.
            await asyncio.gather(serving, return_exceptions=True)

    def stop(self) -> None:
        self._stopping = True
        if self._server is not None:
            self._server.shutdown()


def tls_stamp(cert: str, key: str) -> tuple[tuple[int, int, int], ...]:
    """Changes with the files; a file that is not there has zeros."""
    found: list[tuple[int, int, int]] = []
    for name in (cert, key):
        try:
            state = os.stat(name)
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((state.st_ino, state.st_size, state.st_mtime_ns))
    return tuple(found)


def _is_out_of_descriptors(fault: OSError) -> bool:
    """The HTTP server's own errors carry their number in the text only."""
    return fault.errno in (errno.EMFILE, errno.ENFILE) or any(
        f"os error {number}" in str(fault) for number in (errno.EMFILE, errno.ENFILE)
    )


def _report_unless_out_of_descriptors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's handler of errors that are not awaited.

    h2corn gives the error that ends it to several futures and awaits one of them, where it is logged.
    """
    fault = context.get("exception")
    if not (isinstance(fault, OSError) and _is_out_of_descriptors(fault)):
        loop.default_exception_handler(context)


def _silence_banner() -> None:
    """h2corn prints a banner to stderr and has no setting for it; our own log line has the address."""
    from h2corn import _lib

    if hasattr(_lib, "emit_banner"):
        _lib.emit_banner = lambda *_: None


class GranianServer:
    """granian, embedded: the second server, to prove that the application depends on neither."""

    def __init__(self, app: App, settings: Settings) -> None:
        from granian.constants import Interfaces
        from granian.server.embed import Server

        # granian binds by itself; a free port is found first.
        probe = bound_socket(settings.host, settings.port)
        port = probe.getsockname()[1]
        self.address = _address(settings, probe)
        probe.close()
        self._server: Any = Server(
            app,
            address=settings.host,
            port=port,
            interface=Interfaces.ASGINL,
            log_enabled=False,
            backpressure=1024,
            ssl_cert=Path(settings.tls_cert) if settings.tls_cert else None,
            ssl_key=Path(settings.tls_key) if settings.tls_key else None,
        )
        # The same limit as h2corn has. Without it granian waits until every connection is closed, idle ones included.
        self._server.workers_kill_timeout = settings.shutdown_ms / 2000

    async def serve(self, started: Callable[[], None]) -> None:
        serving = asyncio.create_task(self._server.serve())
        await _until_answering(self.address, serving)
        started()
        try:
            await serving
        except TimeoutError:
            logger.warning("connections did not end in time")

    def stop(self) -> None:
        self._server.stop()


async def _until_answering(address: str, serving: asyncio.Task[None]) -> None:
    host, _, port = address.partition("://")[2].rpartition(":")
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return


def _address(settings: Settings, listening: socket.socket) -> str:
    host, port = settings.host, listening.getsockname()[1]
    # An address that stands for every interface cannot be opened as it is.
    shown = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{shown}:{port}"


def http_server(app: App, settings: Settings) -> HttpServer:
    return H2cornServer(app, settings) if settings.http_server == "h2corn" else GranianServer(app, settings)
