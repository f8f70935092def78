"""An operation: what can be asked, declared once and served on every wire.

    get = operation(
        "kv.get", GetKey, Entry,
        rest="GET /api/v1/kv/buckets/{bucket}/keys/{key...}", scope="kv:read", errors=(KeyNotFound,),
        doc="The current entry of a key.",
    )

REST, Connect, OpenAPI, the permission check, the wire tests and the SDK's methods follow from the declaration.
Differences between the wires are fields of the declaration, not branches in handlers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack, overload

import msgspec

from ironflow.base.errors import IronflowError

Req = TypeVar("Req", bound=msgspec.Struct)
Res = TypeVar("Res", bound=msgspec.Struct | None)

Spelling = Literal["snake", "camel", "both"]
Twins = Literal["both", "value"]
PlainGo = Literal["snake", "numbers"]
Streaming = Literal["unary", "server", "bidi"]
Adds = Literal["", "events", "stored"]


@dataclass(frozen=True, slots=True)
class Route:
    """One REST address: `{name}` is a path segment, `{name...}` the rest of the path with its slashes."""

    method: str
    path: str


class RequestHead(msgspec.Struct, frozen=True):
    """What a request has besides its body. query: as it was sent, without `?`. headers: by lower-case name."""

    path: str
    query: str
    headers: dict[str, str]


class Options(TypedDict, total=False):
    """Fields of Operation that most declarations leave at their defaults."""

    asks: tuple[str, ...]
    streaming: Streaming
    spelling: Spelling
    rpc_spelling: Spelling
    twins: Twins
    plain_go: PlainGo | None
    success: int
    body: str | None
    body_is: Literal["bytes", "json"]
    body_or: str | None
    head: str | None
    headers: Mapping[str, str]
    rest_defaults: Mapping[str, Any]
    response_headers: Mapping[str, str]
    empty_when: str | None
    holds: bool
    watches_caller: bool
    event_id: str | None
    drains: bool
    refused_by_status: bool
    refused_in_frame: bool
    status_from: Callable[[Any], int] | None
    statuses: tuple[int, ...]
    alone: tuple[str, str] | None
    under_way: bool
    adds: Adds


@dataclass(frozen=True, slots=True, eq=False)
class Operation(Generic[Req, Res]):
    """A declared operation. Build it with `operation(...)`.

    response: None answers 204 on REST and `{}` on RPC.
    scope: the permission it needs, `noun:verb`; `public` needs none.
    asks: further scopes that its handler requires, when a request makes it act as another operation.
    spelling: the key spelling of REST answers (`both` sends each key twice).
    rpc_spelling: the same for Connect JSON.
    twins: how Connect JSON sends a payload that is no object: as `x` and `xValue`, or, where the reader is generated
        code that takes nothing but an object in `x`, as `xValue` alone.
    plain_go: where older Go clients do not read strict proto JSON: keys in snake_case, or 64-bit numbers as
        numbers.
    success: REST status of an answer.
    body: the request field that receives the raw request body; None when the body is a JSON object of fields.
    body_is: with `body`: `bytes` takes whatever was sent, `json` a JSON value.
    body_or: a field that receives the whole body when it is not an object of the request's own fields.
    head: a field that receives the request's RequestHead; REST only.
    headers: request header -> field.
    rest_defaults: values of fields that a REST request leaves out, where they differ from the message's own.
    response_headers: response header -> field of the response; not sent when the field is None.
    empty_when: a field; when its value is empty the answer is 204.
    holds: the answer may be held back (a long poll); the work is cancelled when the client disconnects.
    watches_caller: with `holds`, the handler acts when its caller disconnects: the connection is looked at where the
        HTTP server does not report that.
    event_id: of a stream with a REST route: the answer's field that is sent as `id:`, and comes back as Last-Event-ID.
    drains: a stream that ends by itself when the server stops, within the time for it; others are ended.
    refused_by_status: a stream whose first answer is an empty list, once it has begun. What it does not offer before
        that has the status of a request that is not served, so that clients poll instead.
    refused_in_frame: over a WebSocket, what is not found is a frame after the handshake, not its status.
    status_from: REST status computed from the answer, where it is not always `success`; statuses: what it may be.
    alone: (list field of the response, request field): REST answers the list alone, without an object around it, when
        the request field is empty. Only for lists that some clients read as an array and others as an object.
    under_way: it claims or reports about work that has begun, by an id that makes it safe to repeat: it goes before new
        work, and where it is unknown whether its change was made, it is answered as not made.
    adds: what it adds to the bytes of its environment: `events`, which count for the day too, or what is `stored`. An
        environment that has used up its bytes refuses it.
    """

    name: str
    request: type[Req]
    response: type[Res] | None
    rest: tuple[Route, ...]
    rpc: tuple[str, ...]
    scope: str
    errors: tuple[type[IronflowError], ...]
    doc: str
    asks: tuple[str, ...] = ()
    streaming: Streaming = "unary"
    spelling: Spelling = "snake"
    rpc_spelling: Spelling = "camel"
    twins: Twins = "both"
    plain_go: PlainGo | None = None
    success: int = 200
    body: str | None = None
    body_is: Literal["bytes", "json"] = "json"
    body_or: str | None = None
    head: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    rest_defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    response_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    empty_when: str | None = None
    holds: bool = False
    watches_caller: bool = False
    event_id: str | None = None
    drains: bool = False
    refused_by_status: bool = False
    refused_in_frame: bool = False
    status_from: Callable[[Any], int] | None = None
    statuses: tuple[int, ...] = ()
    alone: tuple[str, str] | None = None
    under_way: bool = False
    adds: Adds = ""

    @property
    def feature(self) -> str:
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
    **options: Unpack[Options],
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
    **options: Unpack[Options],
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
    **options: Unpack[Options],
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
        **options,
    )


def _several(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def operations_of(module: object) -> list[Operation[Any, Any]]:
    """The operations that a contract module declares, in the order of declaration."""
    return [value for value in vars(module).values() if isinstance(value, Operation)]
