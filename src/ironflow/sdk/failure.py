"""What is said of an exception that ended a step or a handler, and whether trying again may help.

Source: protocol/step-semantics.md 10, the Python column: what is not known to be final is tried again.
"""

import os
import traceback

from msgspec import UNSET

from ironflow.base.errors import IronflowError, StepError
from ironflow.sdk.report import RunFailure, StepFailure

PLAIN_CODE = "ERROR"
_STACK_CHARS_MAX = 8192
_OURS = os.path.dirname(__file__)


def run_failure(error: BaseException) -> RunFailure:
    """An exception as a run's error. Our own errors say themselves whether to try again; others are tried again."""
    code, retryable, retry_after_ms = PLAIN_CODE, True, UNSET
    if isinstance(error, IronflowError):
        code, retryable = error.code, error.retryable
        if retryable and error.retry_after_s:
            retry_after_ms = max(1, round(error.retry_after_s * 1000))
    return RunFailure(
        message=message_of(error),
        code=code,
        retryable=retryable,
        retry_after_ms=retry_after_ms,
        stack=stack_of(error),
    )


def step_failure(error: BaseException) -> StepFailure:
    """An exception as a step's error."""
    return StepFailure(message=message_of(error), retryable=is_retryable(error), stack=stack_of(error))


def is_retryable(error: BaseException) -> bool:
    return error.retryable if isinstance(error, IronflowError) else True


def step_error(error: BaseException, step_id: str, step_name: str) -> StepError:
    """What the handler sees of a body's exception; it inherits whether and when to try again."""
    seen = StepError(message_of(error), step_id=step_id, step_name=step_name)
    if isinstance(error, IronflowError):
        seen.retryable, seen.retry_after_s = error.retryable, error.retry_after_s
    return seen


def message_of(error: BaseException) -> str:
    return str(error) or type(error).__name__


def stack_of(error: BaseException) -> str:
    """The traceback as text, without the SDK's own frames; of a long one the end, where it was raised."""
    told = traceback.TracebackException.from_exception(error)
    link: traceback.TracebackException | None = told
    while link is not None:
        link.stack = traceback.StackSummary.from_list(
            each for each in link.stack if not each.filename.startswith(_OURS)
        )
        link = link.__cause__ or link.__context__
    return "".join(told.format())[-_STACK_CHARS_MAX:]
