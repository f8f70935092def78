"""What can be asked of limits."""

from typing import Annotated

from ironflow.base.errors import InvalidArgument, NotFound, ResourceExhausted
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation


class InvalidLimit(InvalidArgument):
    """A limit is for `key:ID`, `user:ID`, `env:NAME`, `key:*`, `user:*` or `env:*`; its numbers are not negative."""

    code = "INVALID_LIMIT"


class LimitNotFound(NotFound):
    """There is no limit for that key, user or environment."""

    code = "LIMIT_NOT_FOUND"


class LimitReached(ResourceExhausted):
    """The key, user or environment has reached its limit."""

    code = "LIMIT_REACHED"


class SetLimit(Message, kw_only=True):
    """subject: `key:ID`, `user:ID`, `env:NAME`; `key:*`, `user:*` and `env:*` are for each without a limit of its own.

    requests_per_second: on average, on each node; 0 for no limit. burst: requests at once, 0 for those of one second.
    connections: open sockets and streams of a key or user on each node; 0 for no limit.
    event_bytes_per_day: of an environment, data and metadata of events, by days in UTC; 0 for no limit.
    stored_bytes: of an environment, events and KV values; 0 for no limit. Both are counted every few seconds.
    """

    subject: str
    requests_per_second: Annotated[float, field(ge=0, le=1_000_000)] = 0
    burst: Annotated[int, field(ge=0, le=1_000_000)] = 0
    connections: Annotated[int, field(ge=0, le=1_000_000)] = 0
    event_bytes_per_day: Annotated[int, field(ge=0)] = 0
    stored_bytes: Annotated[int, field(ge=0)] = 0


class NamedLimit(Message, kw_only=True):
    subject: str


class Limit(Message, kw_only=True):
    """refused: requests and connections that this node refused since its start.

    event_bytes_today, stored_bytes_now: what `env:NAME` has used; absent for others.
    """

    subject: str
    requests_per_second: float
    burst: int
    connections: int
    event_bytes_per_day: int = 0
    stored_bytes: int = 0
    event_bytes_today: int | None = None
    stored_bytes_now: int | None = None
    refused: int = 0


class ListLimits(Message, kw_only=True):
    limit: Annotated[int, field(ge=1, le=1000)] = 1000
    cursor: str = ""


class Limits(Message, kw_only=True):
    limits: list[Limit]
    next_cursor: str | None = None


set_ = operation(
    "limits.set", SetLimit, Limit,
    rest="PUT /api/v1/limits/{subject}", spelling="both", scope="limits:write", errors=(InvalidLimit,),
    doc="Sets the limits of a key, a user or an environment.",
)  # fmt: skip
list_ = operation(
    "limits.list", ListLimits, Limits,
    rest="GET /api/v1/limits", spelling="both", scope="limits:read",
    doc="The limits by subject, with what this node refused because of them.",
)  # fmt: skip
delete = operation(
    "limits.delete", NamedLimit, None,
    rest="DELETE /api/v1/limits/{subject}", scope="limits:write", errors=(LimitNotFound,),
    doc="Removes the limits of a key, a user or an environment.",
)  # fmt: skip
