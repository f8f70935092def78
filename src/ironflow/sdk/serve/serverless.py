"""A handler in the shapes of serverless hosts, and as a Django view."""

import base64
import binascii
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlencode

from ironflow.sdk.serve.blocking import BlockingHandler
from ironflow.sdk.serve.responses import BODY_BYTES_MAX, Handles, ServeResponse, target


def lambda_handler(handler: Handles) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    blocking = BlockingHandler(handler)

    def handle(event: dict[str, Any], context: Any = None) -> dict[str, Any]:
        # Format 2.0 has the method in the request's context, format 1.0 and load balancers beside the path.
        http = (event.get("requestContext") or {}).get("http") or {}
        method = http.get("method") or event.get("httpMethod") or "GET"
        asked = target(event.get("rawPath") or event.get("path") or "/", _query(event))
        several = {name: ",".join(values or ()) for name, values in (event.get("multiValueHeaders") or {}).items()}
        response = blocking.handle(method, asked, several | (event.get("headers") or {}), _content(event))
        return {
            "statusCode": response.status,
            "headers": response.headers,
            "body": response.body.decode(),
            "isBase64Encoded": False,
        }

    return handle


def _query(event: dict[str, Any]) -> str:
    """The query as it was sent, as far as the format keeps it."""
    if (raw := event.get("rawQueryString")) is not None:
        return raw
    several = event.get("multiValueQueryStringParameters")
    fields = several or {name: [value] for name, value in (event.get("queryStringParameters") or {}).items()}
    pairs = [(name, value) for name, values in fields.items() for value in values or ()]
    if "elb" in (event.get("requestContext") or {}):
        # Load balancers leave the texts encoded.
        return "&".join(f"{name}={value}" for name, value in pairs)
    return urlencode(pairs)


def _content(event: dict[str, Any]) -> bytes:
    """The body as it arrived; what is not base64 is left as it is, and fits no signature."""
    content: bytes = (event.get("body") or "").encode("utf-8", "surrogatepass")
    if not event.get("isBase64Encoded"):
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
