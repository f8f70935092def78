"""The ASGI application around a handler. A server that closes its connection gives the execution up."""

import asyncio
from typing import Any

from ironflow.sdk.serve.responses import BODY_BYTES_MAX, Handles, target


async def serve_asgi(handler: Handles, scope: Any, receive: Any, send: Any) -> None:
    """One ASGI scope: a request, or the lifespan. Raises RuntimeError for a WebSocket."""
    if scope["type"] == "lifespan":
        await _lifespan(handler, receive, send)
        return
    if scope["type"] != "http":
        raise RuntimeError("functions are served over HTTP requests")
    body = await _body(receive)
    if body is None:
        return
    # The path with the prefix of a mount: `/webhooks/` may be on either side of it.
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    asked = target(scope["path"], scope.get("query_string", b"").decode("latin-1"))
    answering = asyncio.create_task(handler.handle(scope["method"], asked, headers, body))
    leaving = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            return
        response = answering.result()
    finally:
        for task in (answering, leaving):
            task.cancel()
        await asyncio.wait((answering, leaving))
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [
                *((name.encode(), value.encode()) for name, value in response.headers.items()),
                (b"content-length", str(len(response.body)).encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": response.body})


async def _body(receive: Any) -> bytes | None:
    """The request's body, at most a little more than is accepted; None when the client left."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        if size <= BODY_BYTES_MAX:
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        if not message.get("more_body"):
            return b"".join(parts)


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(handler: Handles, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await handler.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
