"""Operations as HTTP on the client: the request for an operation, the message or error in a response.

Source: protocol/rest.md 1.3 to 1.5, protocol/connectrpc.md 1 and 3.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec

from ironflow.base.errors import (
    FAMILIES,
    AlreadyExists,
    Canceled,
    DeadlineExceeded,
    EnterpriseRequired,
    Internal,
    InvalidArgument,
    IronflowError,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    PreconditionFailed,
    ResourceExhausted,
    SerializationError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    UnsupportedMediaType,
    error_classes,
)
from ironflow.base.fields import WireEnum, fields_of
from ironflow.base.json import InvalidJson
from ironflow.base.operation import Operation, Req, Res
from ironflow.base.spelling import BadField, camel, reader, seconds_text, writer
from ironflow.sdk.wire.transport import Answer

RPC_PREFIX = "/ironflow.v1."
_JSON = {"Content-Type": "application/json"}
_BYTES = {"Content-Type": "application/octet-stream"}
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_PARAMETER = re.compile(r"\{(\w+?)(?:\.\.\.)?\}")
_NO_ITEMS: list[Any] = []
_KEY = "idempotency_key"
_ERROR_MEMBERS = ("error", "message", "code")

Prefer = Literal["rest", "rpc"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One HTTP request. path: with its query; safe: whether sending it twice does no more than sending it once."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None
    safe: bool


def outgoing(operation: Operation[Req, Res], request: Req, prefer: Prefer = "rest") -> Outgoing:
    """The HTTP request that asks `operation`: its first REST route, or Connect JSON where it has none.

    prefer: which of the two to take where it has both. Raises SerializationError for a text that is none in UTF-8.
    """
    try:
        return _plan(operation, prefer).outgoing(request)
    except UnicodeEncodeError as fault:
        raise SerializationError(
            f"The request of {operation.name} has a text that is none in UTF-8: {fault}."
        ) from fault


def path_of(operation: Operation[Any, Any]) -> str:
    """Its path, as it is declared: a stream's of its RPC, another's of its REST route, where there are two."""
    if operation.rpc and (operation.streaming != "unary" or not operation.rest):
        return f"{RPC_PREFIX}{operation.rpc[0]}"
    return operation.rest[0].path


class _Plan:
    """How one operation is asked, worked out once."""

    def __init__(self, operation: Operation[Any, Any], prefer: Prefer) -> None:
        self._rpc = not operation.rest or (prefer == "rpc" and bool(operation.rpc))
        if self._rpc:
            self.method, self.template = "POST", f"{RPC_PREFIX}{operation.rpc[0]}"
        else:
            self.method, self.template = operation.rest[0].method, operation.rest[0].path
        attributes = {
            spelled: name
            for name, declared in fields_of(operation.request).items()
            for spelled in (name, camel(name), *declared.also)
        }
        # "/a/{b}/c" splits into ["/a/", "b", "/c"]: every second piece is a parameter.
        pieces = _PARAMETER.split(self.template)
        self._texts, self._parameters = pieces[::2], [attributes[name] for name in pieces[1::2]]
        self._headers = {} if self._rpc else dict(operation.headers)
        self._body = None if self._rpc else operation.body
        self._body_type = _BYTES if operation.body_is == "bytes" else _JSON
        self._in_query = not self._rpc and (self.method in ("GET", "DELETE") or self._body is not None)
        elsewhere = {*self._parameters, *self._headers.values(), self._body}
        self._query = {
            each.encode_name: each.default
            for each in msgspec.structs.fields(operation.request)
            if each.name not in elsewhere
        }
        self._elsewhere = elsewhere
        self._write = writer(operation.request, "camel" if self._rpc else "snake", self._rpc).write
        self._has_key = _KEY in operation.request.__struct_fields__

    def outgoing(self, request: msgspec.Struct) -> Outgoing:
        headers = {
            header: str(value)
            for header, name in self._headers.items()
            if (value := getattr(request, name)) is not None
        }
        path, body = self._path(request), None
        if self._body is not None:
            body = bytes(getattr(request, self._body))
            headers |= self._body_type
        elif not self._in_query:
            fields = self._write(request)
            for name in self._parameters:
                fields.pop(name, None)
            body = msgspec.json.encode(fields)
            headers |= _JSON
        safe = self.method in _SAFE_METHODS or (self._has_key and bool(getattr(request, _KEY)))
        return Outgoing(self.method, path, headers, body, safe)

    def _path(self, request: msgspec.Struct) -> str:
        path = self._texts[0]
        for name, text in zip(self._parameters, self._texts[1:], strict=True):
            path += _segment(str(getattr(request, name))) + text
        if self._in_query:
            asked = {
                name: _query_text(value)
                for name, default in self._query.items()
                if (value := getattr(request, name)) is not None and value not in (default, _NO_ITEMS)
            }
            if asked:
                path += "?" + urlencode(asked, quote_via=quote)
        return path


@cache
def _plan(operation: Operation[Any, Any], prefer: Prefer) -> _Plan:
    return _Plan(operation, prefer)


def _segment(text: str) -> str:
    """`text` for one segment of a path. Slashes and lone dots are written out, so that no proxy normalizes them."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def _query_text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case WireEnum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return seconds_text(value)
        case list():
            return ",".join(map(_query_text, value))
        case msgspec.Raw():
            return bytes(value).decode()
    return str(value)


def read_answer(operation: Operation[Req, Res], answer: Answer) -> Res:
    """The response message in an HTTP answer; None for operations that answer nothing.

    Raises the error that the server raised, or Internal for an answer that cannot be understood.
    """
    if answer.status >= 300 and not (operation.status_from is not None and _carries_no_error(answer)):
        raise error_in(answer)
    return _message_in(operation, answer)


def _message_in(operation: Operation[Any, Any], answer: Answer) -> Any:
    if operation.response is None:
        return None
    read = reader(operation.response)
    body = answer.body
    if not body and operation.empty_when is not None:
        body = b'{"%s":[]}' % operation.empty_when.encode()
    try:
        fields = read.fields_from(body)
        for header, name in operation.response_headers.items():
            if (text := answer.headers.get(header)) is not None and (found := read.field_from_text(name, text)):
                fields[found[0]] = found[1]
        return read.build(fields)
    except (BadField, InvalidJson) as fault:
        raise Internal(f"The server's answer to {operation.name} cannot be understood: {fault}") from fault


def _carries_no_error(answer: Answer) -> bool:
    """Whether a status that is no success comes with a response all the same, as that of GET /ready does."""
    found = _object(answer.body)
    return bool(found) and not any(name in found for name in _ERROR_MEMBERS)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


_BY_STATUS: Mapping[int, type[IronflowError]] = {
    400: InvalidArgument,
    401: Unauthenticated,
    402: EnterpriseRequired,
    403: PermissionDenied,
    404: NotFound,
    405: MethodNotAllowed,
    408: DeadlineExceeded,
    409: AlreadyExists,
    412: PreconditionFailed,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
    428: PreconditionFailed,
    429: ResourceExhausted,
    499: Canceled,
    501: Unimplemented,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


def error_in(answer: Answer) -> IronflowError:
    """The error that an HTTP answer carries, as the class that the server raised."""
    body = _object(answer.body)
    codes = [code for key in ("reason", "code", "error") if isinstance(code := body.get(key), str)]
    text = body.get("message") or body.get("error") or _prose(answer)
    error = error_class(answer.status, codes)(str(text))
    domain = next((code for code in codes if code.isupper() and " " not in code), None)
    if domain is not None:
        # A code of a newer server: programs can test for it, although this SDK has no class for it.
        vars(error)["code"] = domain
    if isinstance(body.get("retryable"), bool):
        error.retryable = body["retryable"]
    error.retry_after_s = _retry_after_s(body.get("retry_after"), answer.headers.get("Retry-After"))
    if isinstance(body.get("details"), dict):
        error.details = body["details"]
    return error


def error_class(status: int, codes: list[str]) -> type[IronflowError]:
    """The class for an error answer: by domain code, else by Connect code, else by HTTP status."""
    known = error_classes()
    for code in codes:
        if code in known:
            return known[code]
    by_status = _BY_STATUS.get(status, Internal if status >= 500 else InvalidArgument)
    for code in codes:
        family = FAMILIES.get(code)
        if family is not None:
            # One Connect code serves several statuses: 412 is a failed_precondition too.
            return by_status if by_status.connect == code else family
    return by_status


def _prose(answer: Answer) -> str:
    text = " ".join(answer.body[:8192].decode(errors="replace").split())
    if answer.status < 400:
        place = answer.headers.get("Location", "")
        return f"The server sent status {answer.status} {place}".rstrip() + ". Is the address right?"
    return text[:500] or f"The server answered with status {answer.status}."


def _retry_after_s(*given: Any) -> float | None:
    for each in given:
        try:
            seconds = float(each)
        except (TypeError, ValueError):
            continue
        if seconds >= 0:
            return seconds
    return None
