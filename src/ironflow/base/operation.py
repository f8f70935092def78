"""An operation: what can be asked, declared once and served on every wire.

    get = operation(
        "kv.get", GetKey, Entry,
        rest="GET /api/v1/kv/buckets/{bucket}/keys/{key...}", scope="kv:read", errors=(KeyNotFound,),
        doc="The current entry of a key.",
    )

REST, Connect, OpenAPI, the permission check, the wire tests and the SDK's methods follow from the declaration.
The wire's odd manners are words here, not branches in handlers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, overload

import msgspec

from ironflow.base.errors import IronflowError

Req = TypeVar("Req", bound=msgspec.Struct)
Res = TypeVar("Res", bound=msgspec.Struct | None)

Spelling = Literal["snake", "camel", "both"]
Twins = Literal["both", "value"]
Streaming = Literal["unary", "server", "bidi"]


@dataclass(frozen=True, slots=True)
class Route:
    """One REST address: `{name}` is a path segment, `{name...}` the rest of the path with its slashes."""

    method: str
    path: str


@dataclass(frozen=True, slots=True, eq=False)
class Operation(Generic[Req, Res]):
    """A declared operation. Build it with `operation(...)`.

    response: None answers 204 on REST and `{}` on RPC.
    scope: the permission it needs, `noun:verb`; `public` needs none.
    spelling: the key spelling of REST answers (`both` sends each key twice).
    rpc_spelling: the same for Connect JSON.
    twins: how Connect JSON sends a payload that is no object: as `x` and `xValue`, or, where the reader is generated
        code that takes nothing but an object in `x`, as `xValue` alone.
    success: REST status of an answer.
    body: the request field that receives the raw request body; None when the body is a JSON object of fields.
    body_is: with `body`: `bytes` takes whatever was sent, `json` a JSON value.
    body_or: a field that receives the whole body when it is not an object of the request's own fields.
    headers: request header -> field.
    response_headers: response header -> field of the response; not sent when the field is None.
    empty_when: a field; when its value is empty the answer is 204.
    holds: the answer may be held back; the work is cancelled when the client goes away.
    event_id: of a stream with a REST route: the answer's field that is sent as `id:`, and comes back as Last-Event-ID.
    drains: a stream that ends by itself when the server stops, within the time for it; others are ended.
    status_from: REST status computed from the answer, where it is not always `success`.
    alone: (list field of the response, request field): REST answers the list alone, without an object around it, when
        the request field is empty. Only for lists that clients of both habits read.
    """

    name: str
    request: type[Req]
    response: type[Res] | None
    rest: tuple[Route, ...]
    rpc: tuple[str, ...]
    scope: str
    errors: tuple[type[IronflowError], ...]
    doc: str
    streaming: Streaming = "unary"
    spelling: Spelling = "snake"
    rpc_spelling: Spelling = "camel"
    twins: Twins = "both"
    success: int = 200
    body: str | None = None
    body_is: Literal["bytes", "json"] = "json"
    body_or: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    response_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    empty_when: str | None = None
    holds: bool = False
    event_id: str | None = None
    drains: bool = False
    status_from: Callable[[Any], int] | None = None
    alone: tuple[str, str] | None = None

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


@overload
def operation(
    name: str,
    request: type[Req],
    response: None,
    *,
    rest: str | tuple[str, ...] = (),
    rpc: str | tuple[str, ...] = (),
    scope: str,
    doc: str,
    errors: tuple[type[IronflowError], ...] = (),
    **manners: Any,
) -> Operation[Req, None]: ...


@overload
def operation(
    name: str,
    request: type[Req],
    response: type[Res],
    *,
    rest: str | tuple[str, ...] = (),
    rpc: str | tuple[str, ...] = (),
    scope: str,
    doc: str,
    errors: tuple[type[IronflowError], ...] = (),
    **manners: Any,
) -> Operation[Req, Res]: ...


def operation(
    name: str,
    request: type[Any],
    response: type[Any] | None,
    *,
    rest: str | tuple[str, ...] = (),
    rpc: str | tuple[str, ...] = (),
    scope: str,
    doc: str,
    errors: tuple[type[IronflowError], ...] = (),
    **manners: Any,
) -> Operation[Any, Any]:
    """Declares an operation.

    rest: `METHOD /path` or several.
    rpc: `Service/Method` or several, without the package.
    """
    routes = tuple(Route(*each.split(" ", 1)) for each in _several(rest))
    return Operation(
        name=name,
        request=request,
        response=response,
        rest=routes,
        rpc=_several(rpc),
        scope=scope,
        errors=errors,
        doc=" ".join(doc.split()),
        **manners,
    )


def _several(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def operations_of(module: object) -> list[Operation[Any, Any]]:
    """The operations that a contract module declares, in the order of declaration."""
    return [value for value in vars(module).values() if isinstance(value, Operation)]
