"""Whether a failed attempt is followed by another one, and when."""

from ironflow.base.time import Millis
from ironflow.engine.model import ErrorValue, Policy


def decide_retry_delay(policy: Policy, attempt: int, retry_after_ms: int | None) -> int:
    """Milliseconds between the failure of `attempt` (from 1) and the next one.

    min(initial * factor^(attempt-1), max); a positive retry_after_ms replaces the backoff, capped at max.
    Source: protocol/step-semantics.md 10.
    """
    if retry_after_ms is not None and retry_after_ms > 0:
        return min(retry_after_ms, policy.max_delay_ms)
    try:
        backoff = policy.initial_delay_ms * policy.backoff_factor ** (attempt - 1)
    except OverflowError:
        # A power that no float can hold is beyond every maximum.
        return policy.max_delay_ms
    return int(min(backoff, policy.max_delay_ms))


def decide_retry_at(policy: Policy, attempt: int, error: ErrorValue, now: Millis) -> Millis | None:
    """When the next attempt starts; None when the error is not retryable or the attempts are used up."""
    if not error.retryable or attempt >= policy.max_attempts:
        return None
    return now + decide_retry_delay(policy, attempt, error.retry_after_ms)
