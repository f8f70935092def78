"""Connect unary JSON over the operations table: `POST /ironflow.v1.<Service>/<Method>`.

Source: protocol/connectrpc.md 1 to 3. Binary messages and streams are served beside it from the same table.
"""

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
from ironflow.base.spelling import message_to_json, reader
from ironflow.dispatch import Dispatch
from ironflow.transports.connect_errors import retry_after, said, status_of
from ironflow.transports.context import CallContext
from ironflow.transports.http import Request, Response
from ironflow.transports.rest import while_connected

PREFIX = "/ironflow.v1."
_OTHER_CODECS = ("application/proto", "application/x-protobuf", "application/protobuf")


class Connect:
    """Serves every bound operation that has an RPC name."""

    def __init__(self, dispatch: Dispatch, context: CallContext) -> None:
        self._dispatch = dispatch
        self._context = context
        self._operations = {PREFIX + name: operation for operation in dispatch.operations for name in operation.rpc}

    async def __call__(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except IronflowError as error:
            return rpc_error_response(error)

    async def _answer(self, request: Request) -> Response:
        if request.method != "POST":
            raise MethodNotAllowed(f"{request.path} is called with POST, not {request.method}.", allowed=("POST",))
        operation = self._operations.get(request.path)
        if operation is None:
            raise Unimplemented(f"This server does not offer {request.path.removeprefix('/')}.")
        if operation.streaming != "unary":
            raise UnsupportedMediaType(f"{request.path} is a stream; send application/connect+json.")
        _check_codec(request.headers)
        call = self._context.call_of(request.headers, request.peer)
        message = reader(operation.request).read(request.body)
        work = self._dispatch(operation, call, message, deadline_of(request.headers))
        answer = await (while_connected(request, work) if operation.holds else work)
        return Response(200, rpc_body(operation, answer))


def rpc_body(operation: Operation[Any, Any], answer: Any) -> bytes:
    return b"{}" if answer is None else message_to_json(answer, operation.rpc_spelling, rpc=True)


def deadline_of(headers: dict[str, str]) -> float | None:
    """Seconds that Connect-Timeout-Ms leaves, None without it. Raises InvalidArgument."""
    text = headers.get("connect-timeout-ms")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise InvalidArgument(f"Connect-Timeout-Ms: {text[:40]!r} is not a whole number of at most 10 digits.")
    return int(text) / 1000


def _check_codec(headers: dict[str, str]) -> None:
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    # A missing or odd type is read as JSON; only what certainly is not JSON is refused.
    if kind in _OTHER_CODECS or kind.startswith(("application/grpc", "application/connect+")):
        raise UnsupportedMediaType(f"{kind} is not served here; send application/json.")
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Unimplemented(f"Content-Encoding {encoding} is not served here; send the body uncompressed.")


def rpc_error_response(error: IronflowError) -> Response:
    headers: list[tuple[bytes, bytes]] = []
    after = retry_after(error)
    if after is not None:
        headers.append((b"retry-after", after.encode()))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    return Response(status_of(error), msgspec.json.encode(said(error)), headers=headers)
