"""Exceptions of steps and handlers as errors of reports, and whether trying again may help.

Source: protocol/step-semantics.md 10, the Python column: what is not known to be final is tried again.
"""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from ironflow.base.errors import (
    AllBranchesFailed,
    IronflowError,
    NonRetryableError,
    SecretInOutput,
    SerializationError,
    StepError,
    StepTimeoutError,
)
from ironflow.base.retry_after import RetryAfterError
from ironflow.base.secret_texts import redact
from ironflow.sdk.durable.job.report import RunFailure, StepFailure
from ironflow.sdk.values.texts import storable

Failure = TypeVar("Failure", RunFailure, StepFailure)

PLAIN_CODE = "ERROR"
# Codes that only say how a step failed, not why: its StepError keeps its own.
PLAIN_STEP_CODES = (NonRetryableError.code, RetryAfterError.code, IronflowError.code)
# Kinds of step failures that are no StepError of the body's.
TIMEOUT, SERIALIZATION, SECRET = "timeout", "serialization", "secret"
_STACK_CHARS_MAX = 8192
# It is shown in lists, logs and terminals.
MESSAGE_CHARS_MAX = 8192
# Larger details are left out: they are shown wherever the error is.
DETAILS_BYTES_MAX = 64 * 1024
_SDK_FOLDER = str(Path(__file__).parents[2])


def run_failure(error: BaseException) -> RunFailure:
    """An exception as a run's error. An IronflowError has its own `retryable`; others are tried again."""
    code, retryable, retry_after_ms = PLAIN_CODE, True, UNSET
    if isinstance(error, IronflowError):
        code, retryable = error.code, error.retryable
        if retryable and error.retry_after_s:
            retry_after_ms = max(1, round(error.retry_after_s * 1000))
    return RunFailure(
        message=message_of(error),
        code=storable(code),
        retryable=retryable,
        retry_after_ms=retry_after_ms,
        stack=stack_of(error),
        error_class=class_of(error),
        details=details_of(error),
        exhausted=True if isinstance(error, StepError) and error.exhausted else UNSET,
    )


def step_failure(error: BaseException) -> StepFailure:
    """What a body raised as its step's error: all that `failure_error` needs to raise it again."""
    failure = StepFailure(
        message=message_of(error),
        retryable=is_retryable(error),
        stack=stack_of(error),
        error_class=class_of(error),
        details=details_of(error),
    )
    if isinstance(error, IronflowError):
        if error.code not in PLAIN_STEP_CODES:
            failure.code = storable(error.code)
        if error.retryable and error.retry_after_s:
            failure.retry_after_ms = max(1, round(error.retry_after_s * 1000))
    return failure


def class_of(error: BaseException) -> str:
    """The name of the class of what failed first: a step's error stands for the exception of its body."""
    return storable(getattr(error, "error_class", "") or type(error).__name__)


def details_of(error: BaseException) -> Any:
    """The details of an IronflowError as JSON values; UNSET without any, and for those that JSON does not have."""
    details = error.details if isinstance(error, IronflowError) else None
    if not details:
        return UNSET
    try:
        encoded = msgspec.json.encode(details)
    except (TypeError, ValueError, RecursionError, OverflowError):
        return UNSET
    return msgspec.json.decode(encoded) if len(encoded) <= DETAILS_BYTES_MAX else UNSET


def is_retryable(error: BaseException) -> bool:
    return error.retryable if isinstance(error, IronflowError) else True


def without_secrets(failure: Failure, texts: tuple[str, ...]) -> Failure:
    """The failure with the values of secrets replaced. texts: from `secret_texts`."""
    if not texts:
        return failure
    stack = failure.stack if failure.stack is UNSET else redact(failure.stack, texts)
    details = failure.details
    if details is not UNSET:
        details = msgspec.json.decode(redact(msgspec.json.encode(details).decode(), texts))
    return msgspec.structs.replace(failure, message=redact(failure.message, texts), stack=stack, details=details)


def failure_error(
    failure: StepFailure, step_id: str, step_name: str
) -> StepError | SerializationError | SecretInOutput:
    """What the step's call raises, when its body has failed as in every replay.

    It inherits whether and when to try again.
    """
    if failure.kind == SERIALIZATION:
        return SerializationError(failure.message)
    if failure.kind == SECRET:
        return SecretInOutput(failure.message)
    kind = StepTimeoutError if failure.kind == TIMEOUT else StepError
    seen = kind(
        failure.message,
        step_id=step_id,
        step_name=step_name,
        code=_or_empty(failure.code),
        error_class=_or_empty(failure.error_class),
        details=failure.details if isinstance(failure.details, dict) else None,
    )
    seen.retryable = failure.retryable
    if failure.exhausted is True:
        seen.exhausted = True
    if isinstance(failure.retry_after_ms, int):
        seen.retry_after_s = failure.retry_after_ms / 1000
    return seen


def _or_empty(text: str | UnsetType) -> str:
    return text if isinstance(text, str) else ""


def recorded_failure(error: Any) -> StepFailure:
    """The error of a failed step in a job; a server may hold a text or an object of another shape."""
    try:
        return msgspec.convert(error, StepFailure)
    except msgspec.ValidationError:
        message = error.get("message") if isinstance(error, dict) else error
        return StepFailure(message=str(message or "The step failed."), retryable=True)


def steps_behind(error: BaseException, raised: Sequence[tuple[BaseException, str]]) -> tuple[str, ...]:
    """Ids of the failed steps whose errors are `error` or in its chain of causes, contexts and groups.

    raised: what steps raised in this execution, with their ids.
    """
    if not raised:
        return ()
    ids = {id(each): step_id for each, step_id in raised}
    met: set[int] = set()
    behind: list[str] = []
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is None or id(each) in met:
            continue
        met.add(id(each))
        if id(each) in ids:
            behind.append(ids[id(each)])
        left += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions
        if isinstance(each, AllBranchesFailed):
            left += each.errors
    return tuple(dict.fromkeys(behind))


def message_of(error: BaseException) -> str:
    """The text of an exception, else its class; of a long text the beginning."""
    text = storable(str(error)) or type(error).__name__
    if len(text) <= MESSAGE_CHARS_MAX:
        return text
    return f"{text[:MESSAGE_CHARS_MAX]} … ({len(text) - MESSAGE_CHARS_MAX} more characters)"


def stack_of(error: BaseException) -> str:
    """The traceback as text, without the SDK's own frames; of a long one the end, where it was raised."""
    formatted = traceback.TracebackException.from_exception(error)
    link: traceback.TracebackException | None = formatted
    while link is not None:
        link.stack = traceback.StackSummary.from_list(
            each for each in link.stack if not each.filename.startswith(_SDK_FOLDER)
        )
        link = link.__cause__ or link.__context__
    return storable("".join(formatted.format())[-_STACK_CHARS_MAX:])
