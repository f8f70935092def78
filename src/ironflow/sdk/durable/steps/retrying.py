"""Retries of a step: whether a failed body is tried again, and when. Source: ADR 0043.

The server counts the attempts, and wakes the run when the next one is due; the worker knows the exceptions.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import UNSET

from ironflow.base.errors import Unimplemented, ValidationError
from ironflow.engine.model import Policy
from ironflow.engine.retry import decide_retry_delay
from ironflow.features.functions.contract import InvalidFunction
from ironflow.sdk.definition.controls import Retry, check_step_retry, control
from ironflow.sdk.durable.job.report import StepFailure
from ironflow.sdk.durable.steps.current_step import STEP_PROGRESS
from ironflow.sdk.durable.steps.determinism import HANDLER_TIME

STEP_RETRIES = "step-retries"
RESTARTS = "restarts"
# A step names the entity whose handler it invokes.
ENTITY_INVOKES = "entity-invokes"
# What the server of this version announces; of executions without a server.
FEATURES = frozenset({STEP_RETRIES, STEP_PROGRESS, HANDLER_TIME, RESTARTS, ENTITY_INVOKES})


RetryLike = Retry | Mapping[str, Any] | None


class Attempts(NamedTuple):
    """The attempts of one step. number: of the one that is made, from 1. progress: what the last one showed."""

    number: int
    retry: Retry | None
    progress: Any = None

    @property
    def most(self) -> int:
        """How many there may be; 0 without a retry of the step's own."""
        return 0 if self.retry is None else policy_of(self.retry).max_attempts


class Rests(Exception):
    """A step has failed, and its next attempt is due later."""


def step_retry(given: RetryLike, name: str, features: frozenset[str]) -> Retry | None:
    """The retry that a step was given. Raises ValidationError, Unimplemented for a server that has none."""
    if given is None:
        return None
    try:
        retry = control(Retry, given)
        if retry is not None:
            check_step_retry(retry)
    except InvalidFunction as fault:
        raise ValidationError(f"step {name!r}: {fault.message}") from fault
    if STEP_RETRIES not in features:
        raise Unimplemented(f"step {name!r}: this server, or the plain protocol, has no retries of a step.")
    return retry


def policy_of(retry: Retry) -> Policy:
    """What is not given is the default of an attempt of a run."""
    wanted, plain = retry.message(), Policy()
    return Policy(
        max_attempts=wanted.max_attempts or plain.max_attempts,
        initial_delay_ms=plain.initial_delay_ms if retry.initial_delay is None else wanted.initial_delay_ms,
        backoff_factor=wanted.backoff_factor or plain.backoff_factor,
        max_delay_ms=wanted.max_delay_ms or plain.max_delay_ms,
    )


def decide_step_retry(attempts: Attempts, failure: StepFailure, error: BaseException) -> int | None:
    """Milliseconds until the next attempt of the step; None when there is none.

    error: what the body raised. A NonRetryableError, and one that `retry_on` does not name, is final.
    """
    retry = attempts.retry
    if retry is None or not failure.retryable or attempts.number >= attempts.most:
        return None
    if not is_retried(retry, error):
        return None
    after = None if failure.retry_after_ms is UNSET else failure.retry_after_ms
    return decide_retry_delay(policy_of(retry), attempts.number, after if isinstance(after, int) else None)


def is_retried(retry: Retry, error: BaseException) -> bool:
    """Whether `retry_on` names the class of the error, or is not given."""
    return not retry.retry_on or isinstance(error, tuple(retry.retry_on))
