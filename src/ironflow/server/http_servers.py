"""The two HTTP servers that can carry the application, in the engine's own event loop."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

from ironflow.base.errors import IronflowError
from ironflow.server.settings import Settings
from ironflow.transports.http import App
from ironflow.transports.websocket import MESSAGE_BYTES_MAX


class CannotListen(IronflowError):
    """The port cannot be used."""

    code = "CANNOT_LISTEN"
    exit_code = 71


class HttpServer(Protocol):
    """address: `http://host:port` once started."""

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

        self._socket = bound_socket(settings.host, settings.port)
        self.address = _address(settings.host, self._socket)
        config = Config(
            bind=(f"fd://{self._socket.fileno()}",),
            access_log=False,
            loop="uvloop",
            lifespan="off",
            # Silent bidirectional streams are legal; slow request bodies are bounded by the application.
            timeout_request_body_idle=0,
            timeout_graceful_shutdown=settings.shutdown_ms / 1000,
            # The application bounds a body, and of a stream, which may go on for ever, each message.
            max_request_body_size=0,
            websocket_ping_interval=20.0,
            websocket_max_message_size=MESSAGE_BYTES_MAX,
            # A compressor for each socket would take more memory than everything else about it.
            websocket_per_message_deflate=False,
            max_concurrent_streams=1024,
        )
        self._server: Any = Server(app, config)  # pyright: ignore[reportArgumentType]

    async def serve(self, started: Callable[[], None]) -> None:
        _silence_banner()
        serving = asyncio.create_task(self._server.serve())
        try:
            await self._server.wait_started()
            started()
            await serving
        finally:
            self._socket.close()

    def stop(self) -> None:
        self._server.shutdown()


def _silence_banner() -> None:
    """h2corn greets on stderr and has no setting for it; our own log line says what is needed."""
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
        self.address = _address(settings.host, probe)
        probe.close()
        self._server: Any = Server(
            app, address=settings.host, port=port, interface=Interfaces.ASGINL, log_enabled=False, backpressure=1024
        )

    async def serve(self, started: Callable[[], None]) -> None:
        serving = asyncio.create_task(self._server.serve())
        await _until_answering(self.address, serving)
        started()
        await serving

    def stop(self) -> None:
        self._server.stop()


async def _until_answering(address: str, serving: asyncio.Task[None]) -> None:
    host, _, port = address.removeprefix("http://").rpartition(":")
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return


def _address(host: str, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::1", "::") else host
    shown = "127.0.0.1" if shown == "localhost" and host in ("127.0.0.1", "0.0.0.0") else shown
    return f"http://[{host}]:{port}" if ":" in host else f"http://{shown}:{port}"


def http_server(app: App, settings: Settings) -> HttpServer:
    return H2cornServer(app, settings) if settings.http_server == "h2corn" else GranianServer(app, settings)
