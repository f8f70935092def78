"""What became of an invoked function. Source: protocol/step-semantics.md 6."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from msgspec import structs

from ironflow.base.errors import InvokeError, InvokeTimeoutError, Unavailable, ValidationError
from ironflow.sdk.durable.job.assignment import CompletedStep
from ironflow.sdk.durable.job.report import HANDLE, Started
from ironflow.sdk.values.payload import Read, from_payload, to_payload


class StartUnanswered(Unavailable):
    """The server applies reports, and does not answer what it has started."""


@dataclass(frozen=True, slots=True)
class Child:
    """A run that was started and is not waited for."""

    run_id: str


class _Failed(msgspec.Struct):
    message: str = ""
    function_id: str = ""
    child_run_id: str = ""
    cause: str = ""
    timed_out: bool = False
    code: str = ""
    error_class: str = ""
    details: Any = None


def started_step(started: Started, *, is_handle: bool) -> CompletedStep:
    """The step of a run that was started, or that could not be. is_handle: it may be joined later."""
    step = CompletedStep(step_id=started.step_id, error=started.error, child_run_id=started.run_id)
    if is_handle:
        return structs.replace(step, type=HANDLE, status="failed" if started.run_id is None else "waiting")
    output = to_payload({"run_id": started.run_id}, "the id of a run")
    status = "failed" if started.run_id is None else "completed"
    return structs.replace(step, type="invoke_function", status=status, output=output)


def output_of(step: CompletedStep, function_id: str, timeout_ms: int | None = None, read: Read = from_payload) -> Any:
    """The child's output, read by `read`. timeout_ms: what it was given.

    Raises InvokeError when it failed or could not be started, InvokeTimeoutError, ValidationError of `read`.
    """
    if step.failed:
        raise invoke_error(step.error, function_id, timeout_ms)
    try:
        return read(step.output)
    except ValidationError as fault:
        raise ValidationError(f"the output of function {function_id!r}: {fault}") from fault


def invoke_error(error: Any, function_id: str, timeout_ms: int | None = None) -> InvokeError:
    """The error of a failed row: an object, or an object as JSON text."""
    try:
        failed = msgspec.json.decode(error, type=_Failed) if isinstance(error, str) else msgspec.convert(error, _Failed)
    except msgspec.MsgspecError:
        failed = _Failed(message=str(error or ""))
    cause = failed.cause or failed.message or "no reason was recorded"
    kind = partial(InvokeTimeoutError, timeout_ms=timeout_ms) if failed.timed_out else InvokeError
    return kind(
        f"function {failed.function_id or function_id!r} failed: {cause}",
        function_id=failed.function_id or function_id,
        child_run_id=failed.child_run_id,
        cause=cause,
        code=failed.code,
        error_class=failed.error_class,
        details=failed.details if isinstance(failed.details, dict) else None,
    )
