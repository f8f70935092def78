"""Requests to an ASGI application without a client library, for tests that make thousands."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from ironflow.transports.app import App


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def ask(app: App, method: str, target: str, body: bytes = b"") -> Answer:
    """The answer to one request. target: path and query, percent-encoded."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "query_string": query.encode(),
        "headers": [],
        "client": None,
    }
    sent: list[Mapping[str, Any]] = []
    to_receive = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Mapping[str, Any]:
        # After its body the client stays connected and sends nothing.
        return to_receive.pop() if to_receive else await asyncio.get_running_loop().create_future()

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, content = sent
    return Answer(start["status"], content["body"])
