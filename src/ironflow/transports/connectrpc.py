"""Connect unary over the operations table: `POST /ironflow.v1.<Service>/<Method>`, as JSON or as binary protobuf.

JSON is the hot path: it goes straight from the table to the message. Streams are served beside it.
Source: protocol/connectrpc.md 1 to 3.
"""

import asyncio
from typing import Any

import msgspec

from ironflow.base.errors import (
    InvalidArgument,
    IronflowError,
    MethodNotAllowed,
    Unimplemented,
    UnsupportedMediaType,
)
from ironflow.base.operation import Operation
from ironflow.dispatch import Dispatch
from ironflow.transports.compression import WORTHWHILE_BYTES, accepts_gzip, gunzip, gzip, is_gzip
from ironflow.transports.connect_codecs import Codec, Codecs, JsonCodec
from ironflow.transports.connect_errors import retry_after, said, status_of
from ironflow.transports.context import CallContext
from ironflow.transports.http import Request, Response
from ironflow.transports.rest import while_connected

PREFIX = "/ironflow.v1."
PROTO = "application/proto"
_OTHER_CODECS = ("application/x-protobuf", "application/protobuf")
# What takes longer than a moment to pack or unpack is given to a thread; the loop has other clients.
_LARGE_PACKED_BYTES = 8 * 1024
_LARGE_BYTES = 128 * 1024


class Connect:
    """Serves every bound operation that has an RPC name."""

    def __init__(
        self, dispatch: Dispatch, context: CallContext, body_bytes_max: int, codecs: Codecs | None = None
    ) -> None:
        self._dispatch = dispatch
        self._context = context
        self._body_bytes_max = body_bytes_max
        self._codecs = codecs or Codecs()
        self._operations = {
            PREFIX + name: (operation, JsonCodec(operation))
            for operation in dispatch.operations
            for name in operation.rpc
        }

    async def __call__(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except IronflowError as error:
            return rpc_error_response(error)

    async def _answer(self, request: Request) -> Response:
        if request.method != "POST":
            raise MethodNotAllowed(f"{request.path} is called with POST, not {request.method}.", allowed=("POST",))
        found = self._operations.get(request.path)
        if found is None:
            raise Unimplemented(f"This server does not offer {request.path.removeprefix('/')}.")
        operation, codec = found
        headers = request.headers
        if headers.get("content-type") != "application/json" or operation.streaming != "unary":
            codec = self._codec(operation, request.path, headers) or codec
        body = request.body if "content-encoding" not in headers else await self._unpacked(request)
        call = self._context.call_of(headers, request.peer)
        work = self._dispatch(operation, call, codec.read(body), deadline_of(headers))
        answer = await (while_connected(request, work) if operation.holds else work)
        response = Response(200, codec.write(answer))
        if codec.name == "proto":
            response.content_type = PROTO.encode()
        if len(response.body) >= WORTHWHILE_BYTES and accepts_gzip(headers.get("accept-encoding")):
            await _pack(response)
        return response

    def _codec(self, operation: Operation[Any, Any], path: str, headers: dict[str, str]) -> Codec | None:
        """What the content type asks for; None for JSON. Raises UnsupportedMediaType."""
        if operation.streaming != "unary":
            raise UnsupportedMediaType(
                f"{path} is a stream; send application/connect+json or application/connect+proto."
            )
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == PROTO:
            codec = self._codecs.find(operation, path.removeprefix(PREFIX), "proto")
            if codec is None:
                raise UnsupportedMediaType(f"{path} is JSON only: no descriptor has its messages.")
            return codec
        # A missing or odd type is read as JSON; only what certainly is not JSON is refused.
        if kind in _OTHER_CODECS or kind.startswith(("application/grpc", "application/connect+")):
            raise UnsupportedMediaType(f"{kind} is not served here; send application/json or {PROTO}.")
        return None

    async def _unpacked(self, request: Request) -> bytes:
        body = request.body
        if not is_gzip(request.headers["content-encoding"], "Content-Encoding") or not body:
            return body
        if len(body) < _LARGE_PACKED_BYTES:
            return gunzip(body, self._body_bytes_max)
        return await asyncio.to_thread(gunzip, body, self._body_bytes_max)


async def _pack(response: Response) -> None:
    body = response.body
    packed = gzip(body) if len(body) < _LARGE_BYTES else await asyncio.to_thread(gzip, body)
    if len(packed) < len(body):
        response.body = packed
        response.headers += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]


def deadline_of(headers: dict[str, str]) -> float | None:
    """Seconds that Connect-Timeout-Ms leaves, None without it. Raises InvalidArgument."""
    text = headers.get("connect-timeout-ms")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise InvalidArgument(f"Connect-Timeout-Ms: {text[:40]!r} is not a whole number of at most 10 digits.")
    return int(text) / 1000


def rpc_error_response(error: IronflowError) -> Response:
    headers: list[tuple[bytes, bytes]] = []
    after = retry_after(error)
    if after is not None:
        headers.append((b"retry-after", after.encode()))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    return Response(status_of(error), msgspec.json.encode(said(error)), headers=headers)
