"""REST over the operations table: routing, requests from path, query, headers and body, answers, error bodies.

Source: protocol/rest.md 1.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from ironflow.base.errors import IronflowError, MethodNotAllowed, NotFound
from ironflow.base.operation import Operation
from ironflow.base.spelling import BadField, Reader, message_to_json, reader, slices_of, writer
from ironflow.dispatch import Dispatch
from ironflow.transports.context import CallContext
from ironflow.transports.http import Request, Response
from ironflow.transports.router import Router


class RouteNotFound(NotFound):
    """There is no such path."""

    code = "ROUTE_NOT_FOUND"


class Rest:
    """Serves every bound operation that has a REST route."""

    def __init__(self, dispatch: Dispatch, context: CallContext) -> None:
        self._dispatch = dispatch
        self._context = context
        self._router: Router[Operation[Any, Any]] = Router()
        # Streams with a route are served as text/event-stream.
        for operation in (each for each in dispatch.operations if each.streaming == "unary"):
            for route in operation.rest:
                self._router.add(route.method, route.path, operation)

    async def __call__(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except IronflowError as error:
            return error_response(error)

    async def _answer(self, request: Request) -> Response:
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
        operation, path_values = found
        if request.method == "HEAD" and operation.holds:
            # What a held answer hands over would be lost.
            raise MethodNotAllowed(f"{request.path} does not take HEAD.", allowed=("GET",))
        call = self._context.call_of(request.headers, request.peer)
        message = read_request(operation, path_values, request)
        if operation.holds:
            answer = await while_connected(request, self._dispatch(operation, call, message))
        else:
            answer = await self._dispatch(operation, call, message)
        return write_answer(operation, answer, message)


def read_request(operation: Operation[Any, Any], path_values: dict[str, str], request: Request) -> msgspec.Struct:
    """The operation's request message. Raises BadField or InvalidJson."""
    reads = reader(operation.request)
    values: dict[str, Any] = {}
    if operation.body is None and request.body and request.method not in ("GET", "HEAD"):
        if operation.body_or is not None:
            values.update(_body_or_payload(reads, operation.body_or, request.body))
        else:
            values.update(reads.fields_from(request.body))
    for name, text in request.query_pairs():
        if name != operation.body:
            _put_text(reads, values, name, text)
    for header, name in operation.headers.items():
        if header in request.headers:
            _put_text(reads, values, name, request.headers[header])
    for name, text in path_values.items():
        _put_text(reads, values, name, text)
    if operation.body is not None:
        values.update(_raw_body(reads, operation, request.body))
    return reads.build(values)


def message_of_texts(operation: Operation[Any, Any], texts: Mapping[str, str]) -> msgspec.Struct:
    """The operation's request message, all of it told in a path and a query. Raises BadField."""
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


async def while_connected(request: Request, work: Any) -> Any:
    """The result of `work`; cancels it when the client goes away, so that nothing is handed to nobody."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(request.until_gone())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
        return await working
    finally:
        leaving.cancel()
        # Some servers end a request whose client has gone by cancelling it.
        working.cancel()


def write_answer(operation: Operation[Any, Any], answer: Any, request: msgspec.Struct) -> Response:
    if answer is None:
        return Response(204)
    headers = [
        (header.encode(), str(value).encode())
        for header, name in operation.response_headers.items()
        if (value := getattr(answer, name)) is not None
    ]
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
        "error": error.message,
        "message": error.message,
        "code": error.connect,
        "reason": error.code,
    }
    if error.code in ("STALE_EXECUTION", "RUN_NOT_RUNNING"):
        # Workers look for the fence's word in `error`, the prose is in `message`.
        body["error"] = error.code
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
