"""Refuses gRPC in gRPC's own form: status 12, unimplemented. Its clients read no other refusal.

Source: protocol/connectrpc.md 1.
"""

from typing import Any
from urllib.parse import quote

from ironflow.transports.http import Request, Send

_UNIMPLEMENTED = b"12"
_TRAILERS = "http.response.trailers"
_MESSAGE = "This server serves the Connect protocol, not gRPC: use a Connect client of the same .proto files."


class Grpc:
    """Takes every gRPC and gRPC-Web request, before its body is read."""

    kind = "application/grpc"

    def takes(self, request: Request) -> bool:
        return True

    async def __call__(self, request: Request, send: Send) -> None:
        kind = (b"content-type", request.headers["content-type"].encode("latin-1"))
        status = [(b"grpc-status", _UNIMPLEMENTED), (b"grpc-message", quote(_MESSAGE, safe=" ,:.").encode())]
        # A head that is the whole answer would do, but HTTP servers send the end of the stream apart from it.
        trails = _TRAILERS in (request.extensions or {}) and "te" in request.headers
        head: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [kind]}
        await send(head | ({"trailers": True} if trails else {"headers": [kind, *status]}))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if trails:
            await send({"type": _TRAILERS, "headers": status})
