"""What is decided about endpoints; pure. Source: docs/reference/semantics.md, "Push"."""

import hashlib
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from ironflow.base.time import Millis

ERROR_CHARS_MAX = 500

BreakerState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Limits:
    """When a breaker opens, and for how long: doubling each time that the trial request fails, up to the longest."""

    failure_threshold: int = 5
    open_ms: int = 60_000
    max_open_ms: int = 600_000


@dataclass(frozen=True, slots=True)
class Breaker:
    """failures: requests in a row that failed. opened: how often it opened since the last success.

    open_until: 0 while it is closed.
    """

    failures: int = 0
    opened: int = 0
    open_until: Millis = 0
    error: str = ""
    failed_at: Millis = 0


CLOSED = Breaker()


def endpoint_id(url: str) -> str:
    """The id of an endpoint within its environment; leases of its executions are held under it."""
    return f"push-{hashlib.sha256(url.encode()).hexdigest()[:16]}"


def state_of(breaker: Breaker, now: Millis) -> BreakerState:
    if not breaker.open_until:
        return "closed"
    return "open" if now < breaker.open_until else "half_open"


def decide_capacity(breaker: Breaker, concurrency: int, unfinished: int, now: Millis) -> int:
    """How many more requests the endpoint may get: none while its breaker is open, one to try whether it is back."""
    state = state_of(breaker, now)
    match state:
        case "open":
            return 0
        case "half_open":
            return max(0, 1 - unfinished)
        case "closed":
            return max(0, concurrency - unfinished)
        case _:
            assert_never(state)


def decide_failed(breaker: Breaker, limits: Limits, error: str, now: Millis) -> Breaker:
    """The breaker after a failed request. Requests that were under way when it opened do not open it further."""
    failed = replace(breaker, failures=breaker.failures + 1, error=error[:ERROR_CHARS_MAX], failed_at=now)
    state = state_of(breaker, now)
    if state == "open" or (state == "closed" and failed.failures < limits.failure_threshold):
        return failed
    # The exponent is bounded, because the number of failures is not.
    open_ms = min(limits.open_ms * 2 ** min(breaker.opened, 30), limits.max_open_ms)
    return replace(failed, opened=breaker.opened + 1, open_until=now + max(open_ms, 1))
