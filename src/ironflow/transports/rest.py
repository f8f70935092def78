"""REST over the operations table: routing, requests from path, query, headers and body, answers, error bodies.

Source: protocol/rest.md 1.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ironflow.base.call import CALLER_LEFT, Call
from ironflow.base.errors import Canceled, IronflowError, MethodNotAllowed, NotFound, UnsupportedMediaType
from ironflow.base.operation import Operation, RequestHead
from ironflow.base.spelling import BadField, Reader, message_to_json, reader, slices_of, writer
from ironflow.dispatch import Dispatch
from ironflow.transports.compression import gunzip
from ironflow.transports.context import CallContext
from ironflow.transports.http import Request, Response
from ironflow.transports.router import Router

# How often a connection is looked at, where the HTTP server does not report that it was closed.
LOOK_S = 0.5
# Of a body after it was unpacked, unless the server says otherwise.
BODY_BYTES_MAX = 32 * 1024 * 1024
# What takes longer than a moment to unpack is given to a thread.
LARGE_PACKED_BYTES = 8 * 1024


class RouteNotFound(NotFound):
    """There is no such path."""

    code = "ROUTE_NOT_FOUND"


class Rest:
    """Serves every bound operation that has a REST route."""

    def __init__(self, dispatch: Dispatch, context: CallContext, body_bytes_max: int = BODY_BYTES_MAX) -> None:
        self._dispatch = dispatch
        self._context = context
        self._body_bytes_max = body_bytes_max
        self._router: Router[tuple[Operation[Any, Any], str]] = Router()
        # Streams with a route are served as text/event-stream.
        for operation in (each for each in dispatch.operations if each.streaming == "unary"):
            for route in operation.rest:
                self._router.add(route.method, route.path, (operation, route.path))

    def has_route(self, path: str) -> bool:
        return self._router.has(path)

    async def __call__(self, request: Request) -> Response:
        """The answer. Raises IronflowError for those that `error_response` makes."""
        method = "GET" if request.method == "HEAD" else request.method
        found = self._router.find(method, request.path)
        if found is None:
            allowed = self._router.methods_of(request.path)
            if allowed:
                raise MethodNotAllowed(
                    f"{request.path} does not take {request.method}; it takes {', '.join(allowed)}.", allowed=allowed
                )
            raise RouteNotFound(
                f"There is no {request.path!r} here. The operations are listed at /api/v1/openapi.json."
            )
        (operation, request.route), path_values = found
        if request.method == "HEAD" and operation.holds:
            # Jobs and events in a held answer would be lost.
            raise MethodNotAllowed(f"{request.path} does not take HEAD.", allowed=("GET",))
        call = await self._context.call_of(request.headers, operation.scope, request.link)
        if "content-encoding" in request.headers:
            await self._unpack(operation, request)
        message = read_request(operation, path_values, request)
        if operation.holds:
            work = self._dispatch(operation, call, message)
            answer = await while_connected(request, work, self._dispatch, call, operation.watches_caller)
        else:
            answer = await self._dispatch(operation, call, message)
        return write_answer(operation, answer, message)

    async def _unpack(self, operation: Operation[Any, Any], request: Request) -> None:
        """Undoes the body's Content-Encoding; bytes are kept as they were sent. Raises UnsupportedMediaType."""
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding == "identity" or not request.body or operation.body_is == "bytes":
            return
        if encoding != "gzip":
            raise UnsupportedMediaType(f"Content-Encoding {encoding[:40]} is not read here; send gzip or none.")
        if len(request.body) < LARGE_PACKED_BYTES:
            request.body = gunzip(request.body, self._body_bytes_max)
        else:
            # The loop has other clients.
            request.body = await asyncio.to_thread(gunzip, request.body, self._body_bytes_max)


def read_request(operation: Operation[Any, Any], path_values: dict[str, str], request: Request) -> msgspec.Struct:
    """The operation's request message. Raises BadField or InvalidJson."""
    reads = reader(operation.request)
    values: dict[str, Any] = dict(operation.rest_defaults)
    if operation.body is None and request.body and request.method not in ("GET", "HEAD"):
        if operation.body_or is not None:
            values.update(_body_or_payload(reads, operation.body_or, request.body))
        else:
            values.update(reads.fields_from(request.body))
    for name, text in request.query_pairs() if request.query else ():
        if name not in (operation.body, operation.head):
            _put_text(reads, values, name, text)
    for header, name in operation.headers.items():
        if header in request.headers:
            _put_text(reads, values, name, request.headers[header])
    for name, text in path_values.items():
        _put_text(reads, values, name, text)
    if operation.body is not None:
        values.update(_raw_body(reads, operation, request.body))
    if operation.head is not None:
        values[operation.head] = RequestHead(request.path, request.query, request.headers)
    return reads.build(values)


def message_of_texts(operation: Operation[Any, Any], texts: Mapping[str, str]) -> msgspec.Struct:
    """The operation's request message from the values of a path and a query alone. Raises BadField."""
    reads = reader(operation.request)
    values: dict[str, Any] = {}
    for name, text in texts.items():
        _put_text(reads, values, name, text)
    return reads.build(values)


def _put_text(reads: Reader, values: dict[str, Any], name: str, text: str) -> None:
    found = reads.field_from_text(name, text)
    if found is not None:
        values[found[0]] = found[1]


def _raw_body(reads: Reader, operation: Operation[Any, Any], body: bytes) -> dict[str, Any]:
    name = operation.body or ""
    if operation.body_is == "bytes":
        return {name: body}
    return _payload_of(reads, name, body)


def _body_or_payload(reads: Reader, name: str, body: bytes) -> dict[str, Any]:
    """The body's fields; when it is not an object of the request's own fields, all of it as field `name`."""
    try:
        keys = slices_of(body).keys()
    except IronflowError:
        keys = None
    if keys and all(reads.knows(key) for key in keys):
        return reads.fields_from(body)
    return _payload_of(reads, name, body)


def _payload_of(reads: Reader, name: str, body: bytes) -> dict[str, Any]:
    """All of the body as the JSON value of field `name`."""
    try:
        found = reads.field_from_text(name, body.decode())
    except UnicodeDecodeError as fault:
        raise BadField(f"the body is not UTF-8: {fault}") from None
    return {} if found is None else dict([found])


async def while_connected(request: Request, work: Any, dispatch: Dispatch, call: Call, watched: bool = False) -> Any:
    """The result of `work`, a held answer to `call`; cancels it when the client disconnects, so that nothing is lost.

    watched: the connection is looked at, where the HTTP server does not report that it was closed.
    Raises what closed the connection where it was closed from within, as after a key was revoked, and Canceled where
    the client closed it: no failure of the request, which HTTP servers would log.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_until_closed(request, call.is_there if watched else None))
    closed_by: list[IronflowError] = []

    def close(error: IronflowError) -> None:
        closed_by.append(error)
        working.cancel()

    try:
        with dispatch.connections.opened("held_request", call.principal, close):
            try:
                await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                # Some HTTP servers cancel a request in the tick in which they report that its client has left.
                await asyncio.sleep(0)
                raise
        if not working.done():
            working.cancel(_reason(leaving, dispatch))
        try:
            return await working
        except asyncio.CancelledError:
            if closed_by:
                raise closed_by[0] from None
            task = asyncio.current_task()
            if leaving.done() and task is not None and not task.cancelling():
                raise Canceled("The client disconnected before its answer.") from None
            raise
    finally:
        # HTTP servers cancel requests too when they stop, or are replaced with a new certificate.
        working.cancel(_reason(leaving, dispatch))
        leaving.cancel()


def _reason(leaving: "asyncio.Future[None]", dispatch: Dispatch) -> str | None:
    """Why held work is cancelled: its client has ended the connection, unless the server does as it stops."""
    return CALLER_LEFT if leaving.done() and not dispatch.connections.ending else None


async def _until_closed(request: Request, is_there: Callable[[], bool] | None) -> None:
    if is_there is None or not request.is_http1:
        return await request.until_closed()
    closed = asyncio.ensure_future(request.until_closed())
    try:
        while is_there() and not closed.done():
            await asyncio.wait((closed,), timeout=LOOK_S)
    finally:
        closed.cancel()


def write_answer(operation: Operation[Any, Any], answer: Any, request: msgspec.Struct) -> Response:
    if answer is None:
        return Response(204)
    headers: list[tuple[bytes, bytes]] = []
    for header, name in operation.response_headers.items():
        value = getattr(answer, name)
        if value is not None:
            headers.append((header.encode(), str(value).encode()))
    if operation.empty_when is not None and not getattr(answer, operation.empty_when):
        return Response(204, headers=headers)
    status = operation.success
    if operation.status_from is not None:
        status = operation.status_from(answer)
    if operation.alone is not None and not getattr(request, operation.alone[1]):
        items = writer(type(answer), operation.spelling).write(answer)[operation.alone[0]]
        return Response(status, msgspec.json.encode(items), headers=headers)
    return Response(status, message_to_json(answer, operation.spelling), headers=headers)


def error_response(error: IronflowError) -> Response:
    """The error body that every client reads. Source: protocol/rest.md 1.4."""
    headers: list[tuple[bytes, bytes]] = []
    body: dict[str, Any] = {
        "error": error.code if error.is_code_in_error else error.message,
        "message": error.message,
        "code": error.connect,
        "reason": error.code,
    }
    if error.retryable:
        body["retryable"] = True
    if error.retry_after_s is not None:
        body["retry_after"] = error.retry_after_s
        headers.append((b"retry-after", str(max(1, round(error.retry_after_s))).encode()))
    if error.details:
        body["details"] = error.details
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    return Response(error.status, msgspec.json.encode(body), headers=headers)
