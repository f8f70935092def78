"""A handler in the shapes of serverless hosts, and as a Django view."""

import base64
import binascii
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlencode

import msgspec

from ironflow.sdk.serve.blocking import BlockingHandler
from ironflow.sdk.serve.responses import BODY_BYTES_MAX, Handles, ServeResponse, target


class _Http(msgspec.Struct):
    method: str | None = None


class _RequestContext(msgspec.Struct):
    http: _Http | None = None
    elb: Any = None


class _LambdaEvent(msgspec.Struct, rename="camel"):
    """The fields that are read of an event, in all three formats.

    Format 2.0 has the method in the request's context, format 1.0 and load balancers beside the path.
    """

    request_context: _RequestContext | None = None
    http_method: str | None = None
    raw_path: str | None = None
    path: str | None = None
    raw_query_string: str | None = None
    query_string_parameters: dict[str, str | None] | None = None
    multi_value_query_string_parameters: dict[str, list[str] | None] | None = None
    headers: dict[str, str | None] | None = None
    multi_value_headers: dict[str, list[str] | None] | None = None
    body: str | None = None
    is_base64_encoded: bool | None = None


def lambda_handler(handler: Handles) -> Callable[[Any, Any], dict[str, Any]]:
    blocking = BlockingHandler(handler)

    def handle(event: Any, context: Any = None) -> dict[str, Any]:
        try:
            asked = msgspec.convert(event, _LambdaEvent)
        except msgspec.ValidationError as fault:
            return _lambda_answer(_no_request(fault))
        http = asked.request_context.http if asked.request_context is not None else None
        method = (http.method if http is not None else None) or asked.http_method or "GET"
        several = {name: ",".join(values or ()) for name, values in (asked.multi_value_headers or {}).items()}
        headers = several | {name: value or "" for name, value in (asked.headers or {}).items()}
        path = target(asked.raw_path or asked.path or "/", _query(asked))
        return _lambda_answer(blocking.handle(method, path, headers, _content(asked)))

    return handle


def _no_request(fault: msgspec.ValidationError) -> ServeResponse:
    message = (
        f"The event is no HTTP request: {fault}. Call this function through API Gateway, its function URL or a load "
        "balancer, which make such an event of a request."
    )
    body = msgspec.json.encode({"error": {"message": message, "code": "VALIDATION_ERROR"}})
    return ServeResponse(400, {"content-type": "application/json"}, body)


def _lambda_answer(response: ServeResponse) -> dict[str, Any]:
    return {
        "statusCode": response.status,
        "headers": response.headers,
        "body": response.body.decode(),
        "isBase64Encoded": False,
    }


def _query(event: _LambdaEvent) -> str:
    """The query as it was sent, as far as the format keeps it."""
    if event.raw_query_string is not None:
        return event.raw_query_string
    several = event.multi_value_query_string_parameters
    fields = several or {name: [value or ""] for name, value in (event.query_string_parameters or {}).items()}
    pairs = [(name, value) for name, values in fields.items() for value in values or ()]
    if event.request_context is not None and event.request_context.elb is not None:
        # Load balancers leave the texts encoded.
        return "&".join(f"{name}={value}" for name, value in pairs)
    return urlencode(pairs)


def _content(event: _LambdaEvent) -> bytes:
    """The body as it arrived; what is not base64 is left as it is, and fits no signature."""
    content: bytes = (event.body or "").encode("utf-8", "surrogatepass")
    if not event.is_base64_encoded:
        return content
    try:
        return base64.b64decode(content)
    except binascii.Error:
        return content


def cloud_function(handler: Handles) -> Callable[[Any], tuple[bytes, int, dict[str, str]]]:
    blocking = BlockingHandler(handler)

    def handle(request: Any) -> tuple[bytes, int, dict[str, str]]:
        asked = target(request.path, request.query_string.decode("latin-1"))
        response = blocking.handle(request.method, asked, list(request.headers.items()), request.get_data())
        return response.body, response.status, response.headers

    return handle


def django_view(handler: Handles) -> Callable[..., Any]:
    blocking = BlockingHandler(handler)

    def view(request: Any, *_: Any, **__: Any) -> Any:
        from django.http import HttpResponse  # pyright: ignore[reportMissingTypeStubs]

        asked = target(request.path, request.META.get("QUERY_STRING", ""))
        response = blocking.handle(request.method, asked, list(request.headers.items()), request.body)
        return HttpResponse(response.body, status=response.status, headers=response.headers)

    view.csrf_exempt = True  # pyright: ignore[reportFunctionMemberAccess]
    return view


def vercel_handler(handler: Handles) -> type[BaseHTTPRequestHandler]:
    blocking = BlockingHandler(handler)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            length = self.headers.get("content-length", "0")
            size = min(int(length), BODY_BYTES_MAX + 1) if length.isdecimal() else 0
            body = self.rfile.read(size) if size else b""
            self._send(blocking.handle(self.command, self.path, list(self.headers.items()), body))

        def _send(self, response: ServeResponse) -> None:
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)

        def log_message(self, format: str, *args: Any) -> None:
            """The host logs requests itself."""

    return Handler
