"""Which protocol an endpoint chose, and the HTTP/2 connections to those that chose it."""

import asyncio
import time
from typing import NamedTuple

from ironflow.transports.outbound.http2 import Broken, Connection
from ironflow.transports.outbound.sockets import CONNECT_S, Sockets

# An endpoint that chose HTTP/1.1 is asked again after this.
ASK_AGAIN_S = 600.0
REMEMBERED_MAX = 10_000
# What closing all connections may take.
CLOSE_S = 1.0


class Origin(NamedTuple):
    """Where endpoints share connections."""

    host: str
    port: int


class Negotiated:
    """Connections are kept per origin, so that one origin's number of them does not matter to another."""

    def __init__(self, sockets: Sockets, keep_alive_s: float) -> None:
        self._sockets, self._keep_alive_s = sockets, keep_alive_s
        self._connections: dict[Origin, list[Connection]] = {}
        self._opening: dict[Origin, asyncio.Task[Connection | None]] = {}
        # Until when an origin counts as one that chose HTTP/1.1.
        self._http1: dict[Origin, float] = {}

    async def connection(self, origin: Origin) -> Connection | None:
        """One that takes a request now; None for an origin that chose HTTP/1.1.

        Raises OSError and TimeoutError when none can be opened.
        """
        while True:
            for each in self._connections.get(origin, ()):
                if each.has_capacity:
                    return each
            if self._http1.get(origin, 0.0) > time.monotonic():
                return None
            opening = self._opening.get(origin)
            if opening is None:
                opening = self._opening[origin] = asyncio.create_task(self._open(origin))
                opening.add_done_callback(lambda done: self._opened(origin, done))
            # Others wait for it too, and go on when this request is given up.
            made = await asyncio.shield(opening)
            if made is not None and not made.begun and not made.has_capacity:
                raise Broken("the endpoint takes no requests on its HTTP/2 connection")

    async def _open(self, origin: Origin) -> Connection | None:
        made = Connection(self._keep_alive_s, lambda lost: self._lost(origin, lost))
        await self._sockets.connect(origin.host, origin.port, made)
        if made.chosen != "h2":
            made.abort()
            while len(self._http1) >= REMEMBERED_MAX:
                self._http1.pop(next(iter(self._http1)))
            self._http1[origin] = time.monotonic() + ASK_AGAIN_S
            return None
        try:
            async with asyncio.timeout(CONNECT_S):
                await made.ready()
        except BaseException:
            made.abort()
            raise
        self._http1.pop(origin, None)
        self._connections.setdefault(origin, []).append(made)
        return made

    def _opened(self, origin: Origin, done: asyncio.Task[Connection | None]) -> None:
        del self._opening[origin]
        if not done.cancelled():
            # Retrieved, also where all that waited for it were given up.
            done.exception()

    def _lost(self, origin: Origin, lost: Connection) -> None:
        connections = self._connections.get(origin, [])
        if lost in connections:
            connections.remove(lost)
            if not connections:
                del self._connections[origin]

    async def close(self) -> None:
        for opening in list(self._opening.values()):
            opening.cancel()
        closing = [each for connections in self._connections.values() for each in connections]
        for each in closing:
            each.close()
        if closing:
            waiting = [asyncio.create_task(each.lost.wait()) for each in closing]
            _, late = await asyncio.wait(waiting, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            for each in closing:
                each.abort()
