"""The answer to a request that the server made, and why there is none."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from ironflow.base.errors import IronflowError


class Outgoing(NamedTuple):
    """An answer. headers: by name in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RequestFailed(IronflowError):
    """The request to the endpoint failed."""

    code, retryable = "PUSH_FAILED", True


class NotReached(RequestFailed):
    """The endpoint could not be reached, or the connection to it broke."""


class TooSlow(RequestFailed):
    """The endpoint did not answer in time."""

    code = "PUSH_TIMEOUT"


class AnswerTooLarge(RequestFailed):
    """The endpoint's answer is larger than this server reads."""

    code = "PUSH_ANSWER_TOO_LARGE"


class AddressRefused(RequestFailed):
    """The endpoint has an address that this server does not call."""

    code = "PUSH_ADDRESS_REFUSED"


class Poster(Protocol):
    """Makes requests."""

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float, bytes_max: int
    ) -> Outgoing:
        """The answer, whatever its status. Raises a kind of RequestFailed."""
        ...

    async def get(self, url: str, headers: Mapping[str, str], timeout_s: float, bytes_max: int) -> Outgoing:
        """As post, without a body."""
        ...

    async def close(self) -> None: ...
