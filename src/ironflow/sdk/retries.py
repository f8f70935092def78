"""Which calls are made again, and when.

Source: protocol/errors-and-defaults.md 2 (client retry), protocol/rest.md 1.5. Only what is safe to repeat: reads,
calls with an idempotency key, and calls that never reached the server.
"""

from dataclasses import dataclass

from ironflow.base.errors import IronflowError
from ironflow.features.consumer_groups.contract import MemberNotFound
from ironflow.sdk.transport import CannotConnect


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how patiently. Times are seconds; attempts count the first one."""

    attempts: int = 3
    initial_s: float = 0.1
    factor: float = 2.0
    max_s: float = 10.0


def decide_rejoin(fault: IronflowError, failures: int, retries: Retries) -> float | None:
    """Seconds until a member whose stream broke joins again, None when `fault` is the end of it.

    failures: in a row, this one included. It goes on for ever: what is gone for long may come back.
    """
    if not fault.retryable and not isinstance(fault, MemberNotFound):
        return None
    pause_s = min(retries.initial_s * retries.factor ** min(failures - 1, 30), retries.max_s)
    return pause_s if fault.retry_after_s is None else max(pause_s, fault.retry_after_s)


def decide_repeat(fault: IronflowError, attempt: int, safe: bool, retries: Retries) -> float | None:
    """Seconds until the call is made again, None when `fault` is the answer.

    attempt: how many have been made. safe: whether making the call twice is the same as making it once.
    """
    if attempt >= retries.attempts or not (isinstance(fault, CannotConnect) or (safe and fault.retryable)):
        return None
    pause_s = retries.initial_s * retries.factor ** (attempt - 1)
    if fault.retry_after_s is not None:
        pause_s = max(pause_s, fault.retry_after_s)
    return min(pause_s, retries.max_s)
