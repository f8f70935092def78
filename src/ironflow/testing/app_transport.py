"""The SDK's transport to a server in the same process: HTTP without a socket, by way of the ASGI application."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote
from weakref import WeakSet

import urllib3

from ironflow.base.errors import ConnectionLost, DeadlineExceeded
from ironflow.sdk.wire.transport import OK, Answer, Refused
from ironflow.sdk.wire.world import Iterated
from ironflow.transports.app import App

# The subscriptions that are opened in a consumer of a time machine, in its tasks too; None elsewhere.
opened: ContextVar["WeakSet[Iterated] | None"] = ContextVar("ironflow_opened", default=None)


class AppTransport:
    """An AsyncTransport whose requests go to `app`."""

    def __init__(self, app: App) -> None:
        self._app = app
        # The number of requests and parts of streams so far.
        self.exchanged = 0
        # Requests and streams of consumers that are under way.
        self._requests = 0
        self._streams: set[_Streamed] = set()

    @property
    def is_quiet(self) -> bool:
        """Whether no request of a consumer is under way, and the consumers have read all that their streams brought.

        Requests and streams of the test itself do not count.
        """
        return not self._requests and all(each.is_quiet for each in self._streams)

    def subscribed(self, subscription: Iterated) -> None:
        if (mine := opened.get()) is not None:
            mine.add(subscription)

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        exchange = _Exchange(body or b"")
        self.exchanged += 1
        by_consumer = opened.get() is not None
        self._requests += by_consumer
        try:
            async with asyncio.timeout(timeout):
                await self._app(_scope(method, path, headers), exchange.receive, exchange.send)
        except TimeoutError:
            raise DeadlineExceeded(f"The server did not answer within {timeout:.3g} s.") from None
        finally:
            self._requests -= by_consumer
        return exchange.answer()

    async def stream(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> AsyncGenerator[bytes, None]:
        streamed = _Streamed(body, self._on_part)
        if opened.get() is not None:
            self._streams.add(streamed)
        running = asyncio.ensure_future(self._app(_scope(method, path, headers), streamed.receive, streamed.send))
        running.add_done_callback(lambda _: streamed.end())
        try:
            async with asyncio.timeout(timeout):
                await streamed.begun.wait()
            if streamed.status != OK:
                whole = b"".join([chunk async for chunk in streamed.chunks()])
                raise Refused(Answer(streamed.status, streamed.headers, whole))
            async for chunk in streamed.chunks():
                yield chunk
        except TimeoutError:
            raise DeadlineExceeded(f"The server did not answer within {timeout:.3g} s.") from None
        finally:
            streamed.closed.set()
            # The application ends by itself when its client disconnects; otherwise it is cancelled.
            await asyncio.wait([running], timeout=1)
            running.cancel()
            await asyncio.wait([running])
            self._streams.discard(streamed)

    async def close(self) -> None:
        """Nothing is held open."""

    def _on_part(self) -> None:
        self.exchanged += 1


def _scope(method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }


class _Streamed:
    """An answer that is read while the application is still writing it."""

    def __init__(self, body: bytes, on_part: Callable[[], None]) -> None:
        self._request: bytes | None = body
        self._on_part = on_part
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.begun, self.closed = asyncio.Event(), asyncio.Event()
        self.status = 503
        self.headers: Mapping[str, str] = {}

    @property
    def is_quiet(self) -> bool:
        """Whether it has begun, and nothing of it is unread; one that is being closed is not."""
        return self.begun.is_set() and self._chunks.empty() and not self.closed.is_set()

    async def receive(self) -> Mapping[str, Any]:
        if self._request is not None:
            body, self._request = self._request, None
            return {"type": "http.request", "body": body}
        await self.closed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            self.begun.set()
            return
        self._on_part()
        await self._chunks.put(message.get("body", b""))
        if not message.get("more_body", False):
            self.end()

    def end(self) -> None:
        self.begun.set()
        self._chunks.put_nowait(None)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while (chunk := await self._chunks.get()) is not None:
            yield chunk


class _Exchange:
    """One request and its answer, as an ASGI application sees them."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._asked = False
        self._start: Mapping[str, Any] | None = None
        self._parts: list[bytes] = []

    async def receive(self) -> Mapping[str, Any]:
        if self._asked:
            # The client goes away by being cancelled, and the application with it.
            await asyncio.Event().wait()
        self._asked = True
        return {"type": "http.request", "body": self._body}

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self._parts.append(message.get("body", b""))

    def answer(self) -> Answer:
        if self._start is None:
            raise ConnectionLost("The server ended the request without an answer.")
        headers = urllib3.HTTPHeaderDict()
        for name, value in self._start["headers"]:
            headers.add(name.decode("latin-1"), value.decode("latin-1"))
        return Answer(self._start["status"], headers, b"".join(self._parts))
