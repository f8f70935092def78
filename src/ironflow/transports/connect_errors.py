"""An error as Connect clients read it. Source: protocol/connectrpc.md 3."""

import base64
from typing import Any

from ironflow.base.errors import IronflowError, MethodNotAllowed, Unimplemented, UnsupportedMediaType
from ironflow.base.json import write_json_text
from ironflow.transports.protobuf.values import duration_of
from ironflow.transports.protobuf.wire import put_bytes

DOMAIN = "ironflow"

# The HTTP status of an RPC error follows its Connect code alone.
STATUS = {
    "canceled": 499,
    "unknown": 500,
    "invalid_argument": 400,
    "deadline_exceeded": 504,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "failed_precondition": 400,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "data_loss": 500,
    "unauthenticated": 401,
}


class StreamNotServed(Unimplemented):
    """This server does not offer that stream."""

    status = 404


class NeedsHttp2(Unimplemented):
    """A bidirectional stream needs HTTP/2."""

    code, status = "NEEDS_HTTP2", 505


# What is wrong with the HTTP request itself keeps its own status.
_OF_HTTP = (UnsupportedMediaType, MethodNotAllowed, StreamNotServed, NeedsHttp2)


def status_of(error: IronflowError) -> int:
    """The HTTP status of a unary answer, or of a stream that cannot begin."""
    return error.status if isinstance(error, _OF_HTTP) else STATUS.get(error.connect, 500)


def error_object(error: IronflowError) -> dict[str, Any]:
    """The error object of a body or an end frame. `reason` is the error's own code, which Ironflow's clients test."""
    return {"code": error.connect, "message": error.message, "reason": error.code, "details": _details(error)}


def _details(error: IronflowError) -> list[dict[str, Any]]:
    """The same for generated clients, which read only `details`: Google's error messages, encoded as Connect does."""
    more = {name: value if isinstance(value, str) else write_json_text(value) for name, value in error.details.items()}
    info = bytearray()
    put_bytes(info, 1, error.code.encode())
    put_bytes(info, 2, DOMAIN.encode())
    for name, text in more.items():
        entry = bytearray()
        put_bytes(entry, 1, name.encode())
        put_bytes(entry, 2, text.encode())
        put_bytes(info, 3, entry)
    debug: dict[str, Any] = {"reason": error.code, "domain": DOMAIN}
    if more:
        debug["metadata"] = more
    details = [_detail("google.rpc.ErrorInfo", info, debug)]
    if error.retry_after_s is not None:
        retry = bytearray()
        put_bytes(retry, 1, duration_of(round(error.retry_after_s * 1000)))
        details.append(_detail("google.rpc.RetryInfo", retry, {"retryDelay": f"{error.retry_after_s:g}s"}))
    return details


def _detail(kind: str, message: bytearray, debug: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "value": base64.b64encode(message).decode().rstrip("="), "debug": debug}


def end_metadata(error: IronflowError) -> dict[str, list[str]]:
    """The metadata of an end frame beside the error; it stands for response headers."""
    after = retry_after(error)
    return {} if after is None else {"retry-after": [after]}


def retry_after(error: IronflowError) -> str | None:
    """The value of Retry-After in whole seconds, None when the error does not say when to try again."""
    return None if error.retry_after_s is None else str(max(1, round(error.retry_after_s)))
