"""An error as Connect clients read it. Source: protocol/connectrpc.md 3."""

from typing import Any

from ironflow.base.errors import IronflowError, MethodNotAllowed, Unimplemented, UnsupportedMediaType

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


def said(error: IronflowError) -> dict[str, Any]:
    """The error object of a body or an end frame. `reason` is the word that our own programs test for."""
    return {"code": error.connect, "message": error.message, "reason": error.code}


def end_metadata(error: IronflowError) -> dict[str, list[str]]:
    """What an end frame says besides the error, as headers would."""
    after = retry_after(error)
    return {} if after is None else {"retry-after": [after]}


def retry_after(error: IronflowError) -> str | None:
    """The value of Retry-After in whole seconds, None when the error does not say when to try again."""
    return None if error.retry_after_s is None else str(max(1, round(error.retry_after_s)))
