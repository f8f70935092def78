"""The WSGI application around a handler."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from ironflow.sdk.serve.blocking import BlockingHandler
from ironflow.sdk.serve.responses import BODY_BYTES_MAX, Handles, target


class WsgiApplication:
    """Callable by any WSGI server; `close` ends its thread."""

    def __init__(self, handler: Handles) -> None:
        self._blocking = BlockingHandler(handler)
        self.close = self._blocking.close

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        size = _body_size(environ)
        body = environ["wsgi.input"].read(size) if size else b""
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        if kind := environ.get("CONTENT_TYPE"):
            # WSGI keeps it apart from the other headers; forms are known by it.
            headers["content-type"] = kind
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        asked = target(path, environ.get("QUERY_STRING", ""))
        response = self._blocking.handle(environ["REQUEST_METHOD"], asked, headers, body)
        status = f"{response.status} {_phrase(response.status)}"
        start_response(status, [*response.headers.items(), ("content-length", str(len(response.body)))])
        return [response.body]


def wsgi_application(handler: Handles) -> WsgiApplication:
    return WsgiApplication(handler)


def _body_size(environ: dict[str, Any]) -> int:
    """How much is read of the body, at most a little more than is accepted."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdecimal():
        return min(int(length), BODY_BYTES_MAX + 1)
    # A body in chunks has no length; without this flag of the server its end cannot be known.
    return BODY_BYTES_MAX + 1 if environ.get("wsgi.input_terminated") else 0


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
