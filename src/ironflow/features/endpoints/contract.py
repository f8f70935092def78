"""What can be asked of endpoints and their circuit breakers. Our own operations. Source: protocol/operating.md 1."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation


class EndpointNotFound(NotFound):
    """No push function of this environment has that endpoint or id."""

    code = "ENDPOINT_NOT_FOUND"


class CircuitBreaker(Message, kw_only=True):
    """An endpoint with its breaker. id: as a run's worker id.

    state: `closed`, `open` (it is not called until `until`) or `half_open` (one request tries it). failures: in a row.
    """

    endpoint: str
    id: str
    functions: list[str]
    state: str
    failures: int = 0
    until: datetime | None = None
    error: str | None = None
    failed_at: datetime | None = None


class ListBreakers(Message, kw_only=True):
    limit: Annotated[int, field(ge=1, le=1000)] = 100
    cursor: str = ""


class CircuitBreakers(Message, kw_only=True):
    circuit_breakers: list[CircuitBreaker]
    next_cursor: str | None = None


class ResetBreaker(Message, kw_only=True):
    """endpoint: its URL, or the id of a function that is executed there."""

    endpoint: str


list_ = operation(
    "endpoints.list_breakers", ListBreakers, CircuitBreakers,
    rest="GET /api/v1/circuit-breakers", scope="functions:read",
    doc="The endpoints of push functions with their circuit breakers, by URL.",
)  # fmt: skip
reset = operation(
    "endpoints.reset_breaker", ResetBreaker, CircuitBreaker,
    rest="POST /api/v1/circuit-breakers/reset", scope="functions:write", errors=(EndpointNotFound,),
    doc="Closes the circuit breaker of an endpoint: it is called again at once.",
)  # fmt: skip
