"""What a request to an endpoint is answered with, and what an adapter needs of a handler."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

BODY_BYTES_MAX = 32 * 1024 * 1024

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class ServeResponse(NamedTuple):
    """What a request is answered with."""

    status: int
    headers: dict[str, str]
    body: bytes


def target(path: str, query: str) -> str:
    """What was asked for, as HTTP has it: the path, and the query where there is one."""
    return f"{path}?{query}" if query else path


class Handles(Protocol):
    """Answers requests, whatever host they come from."""

    async def handle(self, method: str, path: str, headers: Headers, body: bytes | str = b"") -> ServeResponse:
        """The response to one HTTP request. Cancelling it gives the execution up."""
        ...

    async def close(self) -> None:
        """Closes the connections of this event loop."""
        ...
