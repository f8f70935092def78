"""The WSGI application around a handler."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from ironflow.sdk.serve.blocking import BlockingHandler
from ironflow.sdk.serve.responses import BODY_BYTES_MAX, Handles


class WsgiApplication:
    """Callable by any WSGI server; `close` ends its thread."""

    def __init__(self, handler: Handles) -> None:
        self._blocking = BlockingHandler(handler)
        self.close = self._blocking.close

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or "0"
        size = min(int(length), BODY_BYTES_MAX + 1) if length.isdecimal() else 0
        body = environ["wsgi.input"].read(size) if size else b""
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        response = self._blocking.handle(environ["REQUEST_METHOD"], path, headers, body)
        status = f"{response.status} {_phrase(response.status)}"
        start_response(status, [*response.headers.items(), ("content-length", str(len(response.body)))])
        return [response.body]


def wsgi_application(handler: Handles) -> WsgiApplication:
    return WsgiApplication(handler)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
