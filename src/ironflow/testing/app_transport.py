"""The SDK's transport to a server in the same process: HTTP without a socket, by way of the ASGI application."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import urllib3

from ironflow.base.errors import ConnectionLost, DeadlineExceeded
from ironflow.sdk.transport import Answer
from ironflow.transports.http import App


class AppTransport:
    """An AsyncTransport whose requests go to `app`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        exchange = _Exchange(body or b"")
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        try:
            async with asyncio.timeout(timeout):
                await self._app(scope, exchange.receive, exchange.send)
        except TimeoutError:
            raise DeadlineExceeded(f"The server did not answer within {timeout:.3g} s.") from None
        return exchange.answer()

    async def close(self) -> None:
        """Nothing is held open."""


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
