"""Connect unary over the operations table: `POST /ironflow.v1.<Service>/<Method>`, as JSON or as binary protobuf.

The JavaScript dialect is the hot path: it goes straight from the table to the message. Streams are served beside it.
Source: protocol/connectrpc.md 1 to 3.
"""

import asyncio
import base64
import binascii
from typing import Any

import msgspec

from ironflow.base.call import Call
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
from ironflow.transports.connect_codecs import Codec, Codecs, JsonCodec, dialect_of
from ironflow.transports.connect_errors import error_object, retry_after, status_of
from ironflow.transports.context import CallContext
from ironflow.transports.http import Request, Response
from ironflow.transports.rest import while_connected

PREFIX = "/ironflow.v1."
PROTO = "application/proto"
# Read as JSON: also what curl and fetch send unless they are given a content type.
_JSON = ("application/json", "text/json", "text/plain", "application/x-www-form-urlencoded", "")
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
        if request.method == "GET":
            return await self._get(request)
        if request.method != "POST":
            raise MethodNotAllowed(f"{request.path} is called with POST, not {request.method}.", allowed=("POST",))
        operation, codec = self._find(request.path)
        request.route = request.path
        headers = request.headers
        if (
            headers.get("content-type") != "application/json"
            or operation.streaming != "unary"
            or dialect_of(headers) != "javascript"
        ):
            codec = self._codec(operation, request.path, headers, request.body)
        call = await self._context.call_of(headers, operation.scope, request.link)
        body = request.body if "content-encoding" not in headers else await self._unpacked(request)
        return await self._respond(request, operation, codec, call, body)

    async def _get(self, request: Request) -> Response:
        """A method without side effects, with its message in the query, as Connect defines it."""
        operation, _ = self._find(request.path)
        request.route = request.path
        if operation.streaming != "unary" or not self._codecs.reads_only(request.path.removeprefix(PREFIX)):
            raise MethodNotAllowed(f"{request.path} is called with POST, not GET.", allowed=("POST",))
        query = dict(request.query_pairs())
        headers = request.headers | {"content-type": f"application/{query.get('encoding', 'json')}"}
        if "connect" in query:
            headers["connect-protocol-version"] = query["connect"].removeprefix("v")
        body = query.get("message", "").encode()
        codec = self._codec(operation, request.path, headers, body)
        call = await self._context.call_of(headers, operation.scope, request.link)
        if query.get("base64") == "1":
            body = _from_base64(body)
        if is_gzip(query.get("compression") or "identity", "compression"):
            body = gunzip(body, self._body_bytes_max)
        return await self._respond(request, operation, codec, call, body)

    def _find(self, path: str) -> tuple[Operation[Any, Any], Codec]:
        found = self._operations.get(path)
        if found is None:
            raise Unimplemented(f"This server does not offer {path.removeprefix('/')}.")
        return found

    async def _respond(
        self, request: Request, operation: Operation[Any, Any], codec: Codec, call: Call, body: bytes
    ) -> Response:
        headers = request.headers
        work = self._dispatch(operation, call, codec.read(body), deadline_of(headers))
        if operation.holds:
            work = while_connected(request, work, self._dispatch, call, operation.watches_caller)
        answer = await work
        response = Response(200, codec.write(answer))
        if codec.name == "proto":
            response.content_type = PROTO.encode()
        if len(response.body) >= WORTHWHILE_BYTES and accepts_gzip(headers.get("accept-encoding")):
            await _pack(response)
        return response

    def _codec(self, operation: Operation[Any, Any], path: str, headers: dict[str, str], body: bytes) -> Codec:
        """What the headers ask for. Raises UnsupportedMediaType or InvalidArgument."""
        if operation.streaming != "unary":
            raise UnsupportedMediaType(
                f"{path} is a stream; send application/connect+json or application/connect+proto."
            )
        check_protocol_version(headers)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        name = "proto" if kind == PROTO else "json"
        if name == "json" and body and kind not in _JSON:
            raise UnsupportedMediaType(f"{kind[:80]} is not served here; send application/json or {PROTO}.")
        codec = self._codecs.find(operation, path.removeprefix(PREFIX), name, dialect_of(headers))
        if codec is None:
            raise UnsupportedMediaType(f"{path} is JSON only: no descriptor has its messages.")
        return codec

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


def _from_base64(text: bytes) -> bytes:
    """Raises InvalidArgument."""
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error as fault:
        raise InvalidArgument(f"message: not base64: {fault}") from None


def check_protocol_version(headers: dict[str, str]) -> None:
    """Raises InvalidArgument for a version of the protocol other than 1."""
    version = headers.get("connect-protocol-version", "1")
    if version != "1":
        raise InvalidArgument(f"Connect-Protocol-Version: {version[:40]!r} is not served; this server has version 1.")


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
    return Response(status_of(error), msgspec.json.encode(error_object(error)), headers=headers)
