"""A request whose body and answer go on together, until either side ends.

A slow client is waited for (`write` returns when the server has taken the bytes), a fast one is held back (no more
than HELD_BYTES_MAX of its bytes are taken before they are read), and one that has gone ends the work, also while
neither side says anything.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal

from ironflow.base.errors import Canceled
from ironflow.transports.http import CORS, Request, Send

HELD_BYTES_MAX = 256 * 1024
# How often a connection is asked whether it still is one, where the HTTP server does not say so by itself.
LOOK_S = 1.0

Ended = Literal["done", "left", "stopped"]


class Exchange:
    """One request and its answer.

    is_there: asks the connection; see transports/peers.py.
    """

    def __init__(self, request: Request, send: Send, is_there: Callable[[], bool]) -> None:
        self._request, self._send, self._is_there = request, send, is_there
        self._chunks: deque[bytes] = deque()
        self._held_bytes = 0
        self._all_here = False
        self._gone = False
        self._stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self, work: Coroutine[Any, Any, None]) -> Ended:
        """Does `work` until it ends, the client leaves or `stop` is called; cancelled work has ended when this returns.

        Raises what the work raised.
        """
        working = asyncio.ensure_future(work)
        watching = [asyncio.ensure_future(self._listen())]
        if self._request.is_http1:
            # HTTP/2 has a word for a client that leaves a stream; an HTTP/1.1 connection is only closed.
            watching.append(asyncio.ensure_future(self._look()))
        try:
            await asyncio.wait((working, self._stop, *watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, *watching):
                task.cancel()
            await asyncio.gather(working, *watching, return_exceptions=True)
        if working.cancelled():
            return "stopped" if self._stop.done() else "left"
        working.result()
        return "done"

    def stop(self) -> None:
        """Ends the work, but not the answer: there may be a last word."""
        if not self._stop.done():
            self._stop.set_result(None)

    async def chunk(self) -> bytes | None:
        """The next bytes of the client, None after its last. Raises Canceled when it has gone."""
        while not self._chunks:
            if self._gone:
                raise Canceled("The client went away.")
            if self._all_here:
                return None
            self._changed.clear()
            await self._changed.wait()
        chunk = self._chunks.popleft()
        self._held_bytes -= len(chunk)
        self._room.set()
        return chunk

    async def start(self, content_type: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Sends the head of the answer now: clients take it for the sign that they are connected."""
        told = [(b"content-type", content_type), *headers]
        if "origin" in self._request.headers:
            told += CORS
        await self._send({"type": "http.response.start", "status": 200, "headers": told})
        # Servers keep the head until there is a body, be it an empty one.
        await self.write(b"")

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def _listen(self) -> None:
        """Takes what the client sends; returns when it has gone."""
        while True:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                self._gone = True
                self._changed.set()
                return
            chunk = message.get("body", b"")
            if chunk:
                self._chunks.append(chunk)
                self._held_bytes += len(chunk)
            self._all_here = self._all_here or not message.get("more_body")
            self._changed.set()
            while self._held_bytes >= HELD_BYTES_MAX:
                self._room.clear()
                await self._room.wait()

    async def _look(self) -> None:
        """Returns when the connection has been closed at its other end."""
        while self._is_there():  # noqa: ASYNC110 nothing tells: a server that knew would have sent `http.disconnect`
            await asyncio.sleep(LOOK_S)
