"""Which calls are made again, and when.

Source: protocol/errors-and-defaults.md 2 (client retry), protocol/rest.md 1.5. Only what is safe to repeat: reads,
calls with an idempotency key, and calls that never reached the server.
"""

from dataclasses import dataclass

from ironflow.base.errors import ConnectionLost, IronflowError, Unavailable
from ironflow.features.consumer_groups.contract import MemberNotFound
from ironflow.sdk.wire.transport import CannotConnect


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is repeated, and after which pauses. Times are seconds; attempts count the first one.

    attempts: None for 3, and as many as fit into the call's time-out while the server is away.
    """

    attempts: int | None = None
    initial_s: float = 0.1
    factor: float = 2.0
    max_s: float = 2.0


ATTEMPTS_DEFAULT = 3
# A longer pause that a server asks for is not kept: the call's time-out ends it.
RETRY_AFTER_MAX_S = 10.0


def is_away(fault: IronflowError) -> bool:
    """Whether `fault` says that the server cannot be reached now, as while it restarts."""
    return isinstance(fault, (ConnectionLost, Unavailable))


def decide_rejoin(fault: IronflowError, failures: int, retries: Retries) -> float | None:
    """Seconds until a member whose stream broke joins again, None when `fault` is the end of it.

    failures: in a row, this one included. There is no limit: a server may return after a long outage.
    """
    if not fault.retryable and not isinstance(fault, MemberNotFound):
        return None
    pause_s = min(retries.initial_s * retries.factor ** min(failures - 1, 30), retries.max_s)
    return pause_s if fault.retry_after_s is None else max(pause_s, fault.retry_after_s)


def decide_repeat(fault: IronflowError, attempt: int, safe: bool, retries: Retries) -> float | None:
    """Seconds until the call is made again, None when `fault` is the answer.

    attempt: how many have been made. safe: whether making the call twice is the same as making it once.
    """
    if not (isinstance(fault, CannotConnect) or (safe and fault.retryable)):
        return None
    unlimited = retries.attempts is None and is_away(fault)
    if not unlimited and attempt >= (retries.attempts or ATTEMPTS_DEFAULT):
        return None
    pause_s = retries.initial_s * retries.factor ** min(attempt - 1, 30)
    pause_s = min(pause_s, retries.max_s)
    return pause_s if fault.retry_after_s is None else max(pause_s, min(fault.retry_after_s, RETRY_AFTER_MAX_S))
