"""Which calls are made again, and when.

Source: protocol/errors-and-defaults.md 2 (client retry), protocol/rest.md 1.5. Only what is safe to repeat: reads,
calls with an idempotency key, and calls that never reached the server.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ironflow.base.errors import ConnectionLost, IronflowError, Unavailable
from ironflow.sdk.wire.transport import CannotConnect


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is repeated, and after which pauses. Times are seconds; attempts count the first one.

    attempts: None for 3, and as many as fit into the call's time-out while the server is away.
    connection_delay_s: the pause where no connection could be opened; None for the same as otherwise.
    on_retry: called with a RetryEvent before each pause; an async one is awaited.
    """

    attempts: int | None = None
    initial_s: float = 0.1
    factor: float = 2.0
    max_s: float = 2.0
    connection_delay_s: float | None = None
    on_retry: Callable[[Any], Any] | None = None


ATTEMPTS_DEFAULT = 3
AWAY = (ConnectionLost, Unavailable)
# A longer pause that a server asks for is not kept: the call's time-out ends it.
RETRY_AFTER_MAX_S = 10.0


def is_away(fault: IronflowError) -> bool:
    """Whether `fault` says that the server cannot be reached now, as while it restarts."""
    return isinstance(fault, AWAY)


def attempts_max(fault: IronflowError, retries: Retries) -> int | None:
    """How often a call is made that fails so; None while only its time-out limits that."""
    return retries.attempts or (None if is_away(fault) else ATTEMPTS_DEFAULT)


def decide_repeat(fault: IronflowError, attempt: int, safe: bool, retries: Retries) -> float | None:
    """Seconds until the call is made again, None when `fault` is the answer.

    attempt: how many have been made. safe: whether making the call twice is the same as making it once.
    """
    if not (isinstance(fault, CannotConnect) or (safe and fault.retryable)):
        return None
    most = attempts_max(fault, retries)
    if most is not None and attempt >= most:
        return None
    pause_s = min(retries.initial_s * retries.factor ** min(attempt - 1, 30), retries.max_s)
    if isinstance(fault, CannotConnect) and retries.connection_delay_s is not None:
        pause_s = retries.connection_delay_s
    return pause_s if fault.retry_after_s is None else max(pause_s, min(fault.retry_after_s, RETRY_AFTER_MAX_S))
