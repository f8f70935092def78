"""A request whose body and response are transferred at the same time, until either side ends.

A slow client causes backpressure (`write` returns when the HTTP server has taken the bytes), and so does a slow reader
(at most HELD_BYTES_MAX bytes of the client are buffered). A client that disconnects ends the work, also while
nothing is sent in either direction.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal

from ironflow.base.errors import Canceled, IronflowError
from ironflow.transports.http import Request, Send

HELD_BYTES_MAX = 256 * 1024
# How often a connection is checked, where the HTTP server does not report that it was closed.
LOOK_S = 1.0
# The same for HTTP/2, which has a frame for a client that leaves a stream: only a connection that broke is left.
LOOK_HTTP2_S = 5.0

Ended = Literal["done", "left", "stopped"]


class Exchange:
    """One request and its answer.

    is_there: whether the client is still connected; see transports/peers.py. stopped_by: the error given to `stop`.
    """

    def __init__(self, request: Request, send: Send, is_there: Callable[[], bool]) -> None:
        self._request, self._send, self._is_there = request, send, is_there
        self._chunks: deque[bytes] = deque()
        self._held_bytes = 0
        self._all_here = False
        self._disconnected = self._ending = False
        self._stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stopped_by: IronflowError | None = None
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()

    async def run(self, work: Coroutine[Any, Any, None]) -> Ended:
        """Does `work` until it ends, the client leaves or `stop` is called; cancelled work has ended when this returns.

        Raises what the work raised.
        """
        working = asyncio.ensure_future(work)
        # HTTP/2 has a frame for a client that leaves a stream. A connection that is closed is looked at besides: not
        # every HTTP server reports it before something is written.
        watching = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._look())]
        try:
            await asyncio.wait((working, self._stop, *watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # A reader takes what has arrived, and then waits for no more.
            self._ending = True
            self._changed.set()
            for task in (working, *watching):
                task.cancel()
            await asyncio.gather(working, *watching, return_exceptions=True)
        if working.cancelled():
            return "stopped" if self._stop.done() else "left"
        working.result()
        return "done"

    def stop(self, error: IronflowError | None = None) -> None:
        """Ends the work, but not the answer. error: what the answer ends with, None for a normal end."""
        if not self._stop.done():
            self.stopped_by = error
            self._stop.set_result(None)

    async def chunk(self) -> bytes | None:
        """The next bytes of the client, None after its last. Raises Canceled when it has disconnected."""
        while not self._chunks:
            if self._disconnected or self._ending:
                raise Canceled("The client went away.")
            if self._all_here:
                return None
            self._changed.clear()
            await self._changed.wait()
        chunk = self._chunks.popleft()
        self._held_bytes -= len(chunk)
        self._taken.set()
        return chunk

    async def start(self, content_type: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Sends the head of the response now: to clients it means that they are connected."""
        all_headers = [(b"content-type", content_type), *headers, *self._request.cors]
        await self._send({"type": "http.response.start", "status": 200, "headers": all_headers})
        # HTTP servers buffer the head until the first body message, even an empty one.
        await self.write(b"")

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def _listen(self) -> None:
        """Takes what the client sends; returns when it has disconnected."""
        while True:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                self._disconnected = True
                self._changed.set()
                return
            chunk = message.get("body", b"")
            if chunk:
                self._chunks.append(chunk)
                self._held_bytes += len(chunk)
            self._all_here = self._all_here or not message.get("more_body")
            self._changed.set()
            while self._held_bytes >= HELD_BYTES_MAX:
                self._taken.clear()
                await self._taken.wait()

    async def _look(self) -> None:
        """Returns when the connection has been closed at its other end."""
        while self._is_there():  # noqa: ASYNC110 no event: a server that knew would have sent `http.disconnect`
            await asyncio.sleep(LOOK_S if self._request.is_http1 else LOOK_HTTP2_S)
