"""A socket: a WebSocket whose messages a feature defines and a transport carries.

    WATCH = SocketRoute("kv.watch", "/api/v1/kv/buckets/{bucket}/watch", scope="kv:read", doc="Changes of a bucket.")

    async def watch(self, socket: Socket) -> None:
        bucket = await self._bucket(socket.call, socket.values["bucket"])      # an error here refuses the handshake
        await socket.accept()
        async for change in ...:
            await socket.send(frame)                                           # waits while the client does not read

A feature names its sockets in `sockets() -> dict[SocketRoute, SocketHandler]`; `server/building.py` binds them.
One task receives and one sends; `socket.until_closed()` is for a handler that only sends, beside its sender.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ironflow.base.call import Call
from ironflow.base.errors import Canceled

# Close codes. A client that gets 1000 stays away; one that gets another comes back. Source: protocol/websocket.md 1.
NORMAL = 1000
GOING_AWAY = 1001
REFUSED = 1008
TOO_BIG = 1009
FAILED = 1011
RESTARTING = 1012
# The HTTP server pings each socket so often, and closes one whose pong takes longer than that.
PING_EVERY_S = 20.0
PONG_WITHIN_S = 20.0


class SocketClosed(Canceled):
    """The client has disconnected."""


@dataclass(frozen=True, slots=True, eq=False)
class SocketRoute:
    """A path that serves WebSockets; `{name}` and `{name...}` as in REST paths.

    scope, asks: the permissions it needs, as of an operation.
    """

    name: str
    path: str
    scope: str
    doc: str
    asks: tuple[str, ...] = ()


class Socket(Protocol):
    """One WebSocket. values: names of the path and of the query, decoded. Until `accept` it can be refused."""

    call: Call
    values: Mapping[str, str]

    async def accept(self) -> None:
        """Ends the handshake. Errors raised before are its HTTP answer, later ones a frame and a close."""
        ...

    async def receive(self) -> str | bytes:
        """The next message of the client. Raises SocketClosed."""
        ...

    def send(self, text: str) -> Awaitable[None]:
        """One text message; waits while the client does not read. Raises SocketClosed."""
        ...

    async def until_closed(self) -> None:
        """Reads and discards the client's messages; returns when it has disconnected."""
        ...

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Closes the socket; nothing can be sent afterwards."""
        ...


# Returns when the socket has ended; the transport closes what the handler has not closed.
SocketHandler = Callable[[Socket], Awaitable[None]]
