"""What is decided about workers and about reading their reports; pure. Leases and fences: `ironflow.engine.lease`."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from ironflow.base.cel import expression
from ironflow.base.duration import duration_ms
from ironflow.base.errors import IronflowError, PayloadTooLarge
from ironflow.base.json import json_text
from ironflow.base.path import compiled_path, value_text
from ironflow.base.pattern import compiled
from ironflow.base.time import Millis, to_millis
from ironflow.engine import commands
from ironflow.engine.model import ErrorValue, Run
from ironflow.features.jobs.contract import InvalidReport, InvalidWorker, ReportedError, ReportedStep, UpdateJob, Yield

ID_BYTES_MAX = 128
STEPS_MAX = 500
POLL_HOLD_S_MAX = 25.0
# Leases are looked at at least as often; one that ends sooner says so.
RECLAIM_EVERY_MS = 1_000
_FORBIDDEN = re.compile(r"[\s\x00-\x1f\x7f*>/]")
# How far back into a log of matching events a wait looks at a time.
WAIT_MS_DEFAULT = 7 * 24 * 3600 * 1000
# What makes a `match` an expression rather than a path.
_OPERATORS = re.compile(r"[=<>!&|()\[\]'\"+*/?\s]")


class OutputTooLarge(PayloadTooLarge):
    """The output of a step or run is larger than this server accepts."""

    code = "OUTPUT_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as it is kept."""

    environment: str
    id: str
    hostname: str
    function_ids: tuple[str, ...]
    jobs_max: int
    labels: dict[str, str]
    sdk: str
    runtime: str
    transport: str
    registered_at: Millis
    seen_at: Millis


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things last. lease_ms: without news of a held job. reservation_ms: between hand-out and ack.

    evict_ms: a worker that has not been heard of for this long is forgotten.
    losses_max: lost leases in a row, without a new step, after which a run fails.
    """

    lease_ms: int = 90_000
    reservation_ms: int = 30_000
    evict_ms: int = 120_000
    losses_max: int = 10


def check_worker_id(worker_id: str) -> None:
    """Raises InvalidWorker."""
    if not worker_id or len(worker_id.encode()) > ID_BYTES_MAX or _FORBIDDEN.search(worker_id):
        raise InvalidWorker(
            f"{worker_id[:60]!r} is no worker id: write 1 to {ID_BYTES_MAX} bytes without spaces, `/`, `*` or `>`."
        )


def decide_grant(jobs_max: int, unfinished: int, available: int) -> int:
    """How many jobs a poll may take: what it asks for, never more than the worker's slots that hold no lease."""
    return max(0, min(available, jobs_max - unfinished))


LeaseSight = Literal["refreshed", "stale", "unknown"]


def lease_sight(run: Run | None, job_id: str) -> LeaseSight:
    """What a worker is told of a job that it lists: the run's lease is its, another's or nobody's, or there is no run.

    Source: protocol/worker-stream.md 5.
    """
    if run is None:
        return "unknown"
    lease = run.lease
    return "refreshed" if lease is not None and lease.live and lease.job_id == job_id else "stale"


def job_id(run_id: str, execution_seq: int) -> str:
    """A job's id: new for every execution, and it leads back to its run."""
    return f"job_{run_id.removeprefix('run_')}_{execution_seq}"


def run_id_of(job_id: str) -> str:
    """The run of a job id; for a text that is none of ours, an id that no run has."""
    return f"run_{job_id.removeprefix('job_').rpartition('_')[0]}"


def fence_of(request: UpdateJob) -> commands.Fence:
    return commands.Fence(job_id=request.job, execution_seq=request.execution_seq, token=request.lease_token)


def report_of(request: UpdateJob, lease_ms: int, output_bytes_max: int, now: Millis) -> commands.Report:
    """The engine's command for a job update. Raises InvalidReport or OutputTooLarge saying what is wrong."""
    kind = request.status
    if kind not in ("progress", "completed", "failed", "yielded"):
        raise InvalidReport(f"status is {kind[:40]!r}; it is progress, completed, failed or yielded.")
    if kind == "progress" and len(request.steps) > STEPS_MAX:
        raise InvalidReport(f"The checkpoint has {len(request.steps)} steps; {STEPS_MAX} is the limit.")
    run_id = run_id_of(request.job)
    return commands.Report(
        fence=fence_of(request),
        kind=kind,
        lease_ms=lease_ms,
        steps=tuple(_step(step, run_id, output_bytes_max) for step in request.steps),
        step_offset=request.step_offset,
        output=_payload(request.output, "The run's output", output_bytes_max),
        error=_error(request.error) if kind == "failed" else None,
        yielded=_yield(request.yielded, run_id) if kind == "yielded" else None,
    )


def _step(step: ReportedStep, run_id: str, output_bytes_max: int) -> commands.StepReport:
    if step.status not in ("completed", "failed"):
        raise InvalidReport(f"Step {step.id[:80]!r} has status {step.status[:40]!r}; it is completed or failed.")
    if not step.id:
        raise InvalidReport("A step has no id.")
    completed = step.status == "completed"
    return commands.StepReport(
        step_id=step.id,
        name=step.name or step_name(step.id, run_id),
        type="compensate" if step.type == "compensate" else "invoke",
        status="completed" if completed else "failed",
        output=(_payload(step.output, f"The output of step {step.id!r}", output_bytes_max) or "null")
        if completed
        else None,
        error=_error_text(step.error) if not completed else None,
        started_at=to_millis(step.started_at) if step.started_at else None,
        ended_at=to_millis(step.ended_at) if step.ended_at else None,
        duration_ms=step.duration_ms,
        compensation_for=step.compensation_for,
    )


def _payload(payload: msgspec.Raw | None, what: str, bytes_max: int) -> str | None:
    text = json_text(payload)
    if text is not None and len(text) > bytes_max // 4 and len(text.encode()) > bytes_max:
        raise OutputTooLarge(
            f"{what} is {len(text.encode())} bytes; this server accepts {bytes_max}. "
            "Store it elsewhere and return a reference, or raise the server's limit."
        )
    return text


def _error_text(error: msgspec.Raw | None) -> str:
    """A step's error as it is kept: an object as sent; a text becomes an object with that message."""
    text = json_text(error) or '{"message":"The step failed."}'
    if text.lstrip().startswith("{"):
        return text
    return msgspec.json.encode(ErrorValue(message=text.strip().strip('"'))).decode()


def _error(error: ReportedError | None) -> ErrorValue | None:
    if error is None:
        return None
    after = error.retry_after_ms
    # Negative and absurd hints are ignored. Source: behaviour.md 1, "Retry-after".
    usable = after is not None and 0 < after < 2**53
    return ErrorValue(
        message=error.message,
        code=error.code,
        retryable=error.retryable,
        stack=error.stack or "",
        retry_after_ms=int(after) if usable and after is not None else None,
    )


def _yield(told: Yield | None, run_id: str) -> commands.YieldFor:
    if told is None:
        raise InvalidReport("status is yielded but there is no `yield`.")
    if not told.step_id:
        raise InvalidReport("The yield has no step_id.")
    name = told.step_name or step_name(told.step_id, run_id)
    match told.type:
        case "sleep":
            if told.until is None:
                raise InvalidReport("A yield of type sleep has an `until`.")
            return commands.Sleep(step_id=told.step_id, name=name, until=to_millis(told.until))
        case "wait_for_event":
            return _wait(told, name)
        case "invoke_function" | "invoke_function_async":
            if not told.function_id:
                raise InvalidReport(f"A yield of type {told.type} has a function_id.")
            return commands.Invoke(
                step_id=told.step_id,
                name=name,
                function_id=told.function_id,
                input=json_text(told.input) or "null",
                timeout_ms=told.invoke_timeout_ms,
                asynchronous=told.type == "invoke_function_async",
            )
        case _:
            raise InvalidReport(f"A yield of type {told.type[:40]!r} is not known.")


def _wait(told: Yield, name: str) -> commands.WaitForEvent:
    """A wait whose `match` is a path; its value is the triggering event's unless told. With an operator it is CEL."""
    wanted = told.event_filter
    if wanted is None or not wanted.event.strip():
        raise InvalidReport("A yield of type wait_for_event has an event_filter with an event.")
    look_back = wanted.look_back or "execution"
    if look_back not in ("execution", "run"):
        raise InvalidReport(f"event_filter: look_back is {look_back[:40]!r}; it is execution or run.")
    is_expression = bool(_OPERATORS.search(wanted.match))
    try:
        compiled(wanted.event.strip())
        if is_expression:
            expression(wanted.match)
        timeout_ms = duration_ms(wanted.timeout, number_unit="ms") if wanted.timeout else WAIT_MS_DEFAULT
    except IronflowError as fault:
        raise InvalidReport(f"event_filter: {fault.message}") from None
    value = "" if wanted.match_value is None else value_text(wanted.match_value)
    return commands.WaitForEvent(
        step_id=told.step_id,
        name=name,
        event=wanted.event.strip(),
        path="" if is_expression else wanted.match,
        value=value,
        expression=wanted.match if is_expression else "",
        timeout_ms=timeout_ms,
        payload=json_text(wanted.payload),
        look_back=look_back,
    )


def with_trigger_value(wait: commands.WaitForEvent, data: Any) -> commands.WaitForEvent:
    """The wait with the value that the run's own event has at its path, where none was told.

    Source: protocol/step-semantics.md 5, "Match semantics", 3.
    """
    if not wait.path or wait.value:
        return wait
    return replace(wait, value=value_text(compiled_path(wait.path)(data)))


def step_name(step_id: str, run_id: str) -> str:
    r"""The name within a step id: the part before the index, with `\:` and `\\` undone.

    Source: protocol/step-semantics.md 1, "Name derivation for yields".
    """
    parts = [""]
    characters = iter(step_id.removeprefix(f"{run_id}:"))
    for character in characters:
        if character == "\\":
            parts[-1] += next(characters, "")
        elif character == ":":
            parts.append("")
        else:
            parts[-1] += character
    return parts[-2] if len(parts) > 1 else parts[0]
