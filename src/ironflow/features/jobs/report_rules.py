"""What a worker's report says, as the engine's command; pure. Source: protocol/worker-rest.md 8."""

import re
from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import replace

from ironflow.base.cel import expression
from ironflow.base.duration import duration_ms
from ironflow.base.errors import IronflowError, PayloadTooLarge
from ironflow.base.json import json_text
from ironflow.base.path import compiled_path, value_text
from ironflow.base.pattern import compiled
from ironflow.base.time import Millis, to_millis
from ironflow.base.trace_context import parsed
from ironflow.engine import commands
from ironflow.engine.failure import DIVERGED
from ironflow.engine.model import EntityState, ErrorValue, OnTimeout
from ironflow.engine.step_names import step_name
from ironflow.features.code_versions.in_tx import OnCodeChange
from ironflow.features.entities.contract import ChangedState
from ironflow.features.jobs.contract import (
    InvalidReport,
    Joining,
    ReportedError,
    ReportedStep,
    Restart,
    StepProgress,
    UpdateJob,
    Yield,
)
from ironflow.features.jobs.rules import run_id_of
from ironflow.features.runs.in_tx import LiveStep
from ironflow.features.values.in_tx import run_values

STEPS_MAX = 500
# Names of steps that are shown when code has changed.
UNASKED_MAX = 50
SOURCE_CHARS_MAX = 1024
# Of what a step shows of its progress.
PROGRESS_BYTES_MAX = 64 * 1024
# Of one report; a worker sends more of them in checkpoints.
YIELDS_MAX = 2_000
# How long a wait without a timeout lasts.
WAIT_MS_DEFAULT = 7 * 24 * 3600 * 1000
# What makes a `match` an expression rather than a path.
_OPERATORS = re.compile(r"[=<>!&|()\[\]'\"+*/?\s]")


class OutputTooLarge(PayloadTooLarge):
    """The output of a step or run is larger than this server accepts."""

    code = "OUTPUT_TOO_LARGE"


def fence_of(request: UpdateJob) -> commands.Fence:
    return commands.Fence(job_id=request.job, execution_seq=request.execution_seq, token=request.lease_token)


def report_of(request: UpdateJob, lease_ms: int, output_bytes_max: int, now: Millis) -> commands.Report:
    """The engine's command for a job update.

    Raises InvalidReport, OutputTooLarge, InvalidRunValue, RunValueTooLarge.
    """
    kind = request.status
    if kind not in ("progress", "completed", "failed", "yielded"):
        raise InvalidReport(f"status is {kind[:40]!r}; it is progress, completed, failed or yielded.")
    if kind == "progress" and len(request.steps) > STEPS_MAX:
        raise InvalidReport(f"The checkpoint has {len(request.steps)} steps; {STEPS_MAX} is the limit.")
    if len(request.yields) > YIELDS_MAX:
        raise InvalidReport(f"The report has {len(request.yields)} yields; {YIELDS_MAX} is the limit.")
    if kind == "yielded" and request.yielded is None and not request.yields and request.join is None:
        raise InvalidReport("status is yielded but there is no `yield`.")
    report = commands.Report(
        fence=fence_of(request),
        kind=kind,
        lease_ms=lease_ms,
        steps=tuple([_step(step, request.job, output_bytes_max) for step in request.steps]),
        step_offset=request.step_offset,
        output=_payload(request.output, output_bytes_max, "The run's output"),
    )
    # Most reports have no more. It saves a third of the time: of more than 15 arguments by name Python makes a dict.
    return _with_rest(report, request, output_bytes_max) if any(_rest_of(request)) else report


# Fields of a job update that few have.
REST = (
    "error", "yielded", "yields", "cancels", "uncompensated", "running", "caused_by", "unasked_steps",
    "uncompensated_steps", "join", "restart", "values", "progress", "state",
)  # fmt: skip
_rest_of = attrgetter(*REST)


def _with_rest(report: commands.Report, request: UpdateJob, output_bytes_max: int) -> commands.Report:
    """The report with what only some have. Raises as `report_of`."""
    kind, run_id = report.kind, run_id_of(request.job)
    yields = request.yields if request.yielded is None else [request.yielded, *request.yields]
    return replace(
        report,
        error=_error(request.error) if kind == "failed" else None,
        yields=tuple([_yield(each, run_id) for each in yields]) if yields and kind in ("progress", "yielded") else (),
        cancels=tuple(request.cancels),
        uncompensated=request.uncompensated,
        running=request.running if kind == "progress" else 0,
        caused_by=tuple(request.caused_by[:STEPS_MAX]),
        unasked_steps=tuple(request.unasked_steps[:UNASKED_MAX]) if kind != "progress" else (),
        uncompensated_steps=tuple(request.uncompensated_steps[:STEPS_MAX]),
        join=_join(request.join) if request.join is not None and kind == "yielded" else None,
        restart=_restart(request.restart, output_bytes_max) if kind == "completed" and request.restart else None,
        values=run_values(request.values),
        progress=tuple([_progress(each, run_id) for each in request.progress[:STEPS_MAX]])
        if request.progress and kind == "progress"
        else (),
        state=_state(request.state) if request.state is not None else None,
    )


def _restart(restart: Restart, bytes_max: int) -> commands.Restart:
    """Raises OutputTooLarge."""
    return commands.Restart(input=_payload(restart.data, bytes_max, "The data of the restart") or "null")


def _join(join: Joining) -> commands.JoinHandles:
    return commands.JoinHandles(step_id=join.step_id, left=join.left, known_failed=join.known_failed)


def decide_code_change(report: commands.Report, change: OnCodeChange) -> commands.Report:
    """What a report of a handler that did not ask for recorded steps means. change: of its function.

    pause: the execution has diverged, whatever came of it, and its run is held for a person.
    Source: docs/guides/changing-code.md.
    """
    if not report.unasked_steps or change in ("warn", "pin"):
        return report
    if change == "continue":
        return replace(report, unasked_steps=())
    names = ", ".join(report.unasked_steps)
    error = ErrorValue(
        message=(
            f"The handler did not ask for recorded steps: {names}. Its code has changed, and on_code_change is pause. "
            "Deploy code that fits and resume the run, resume it from an earlier step, or register the function with "
            "on_code_change warn and resume."
        ),
        code=DIVERGED,
    )
    return replace(
        report,
        kind="failed",
        output=None,
        error=error,
        yields=(),
        cancels=(),
        caused_by=(),
        join=None,
        state=None,
        restart=None,
    )


def _step(step: ReportedStep, job_id: str, output_bytes_max: int) -> commands.StepReport:
    if step.status not in ("completed", "failed"):
        raise InvalidReport(f"Step {step.id[:80]!r} has status {step.status[:40]!r}; it is completed or failed.")
    if not step.id:
        raise InvalidReport("A step has no id.")
    completed = step.status == "completed"
    report = commands.StepReport(
        step_id=step.id,
        name=step.name or step_name(step.id, run_id_of(job_id)),
        type="compensate" if step.type == "compensate" else "invoke",
        status="completed" if completed else "failed",
        output=(_payload(step.output, output_bytes_max, "The output of step {!r}", step.id) or "null")
        if completed
        else None,
        error=_error_text(step.error) if not completed else None,
        started_at=to_millis(step.started_at) if step.started_at else None,
        ended_at=to_millis(step.ended_at) if step.ended_at else None,
        duration_ms=step.duration_ms,
        announced=step.announced,
        source=_source(step.source),
    )
    # As with a report.
    return _with_attempts(report, step) if any(_attempts_of(step)) else report


# Fields of a reported step that few have; `retry_in_ms` comes with an attempt.
ATTEMPTS = ("compensation_for", "keeps_failure", "attempt", "attempts_max", "progress")
_attempts_of = attrgetter(*ATTEMPTS)


def _with_attempts(report: commands.StepReport, step: ReportedStep) -> commands.StepReport:
    """The step with what those have that compensate, fail, or are retried by themselves. Raises OutputTooLarge."""
    failed = report.status == "failed"
    return replace(
        report,
        compensation_for=step.compensation_for or None,
        keeps_failure=step.keeps_failure and failed,
        attempt=step.attempt,
        attempts_max=step.attempts_max,
        progress=_payload(step.progress, PROGRESS_BYTES_MAX, "The progress of step {!r}", step.id),
        retry_in_ms=step.retry_in_ms if step.attempt and failed else None,
    )


def _state(given: ChangedState) -> EntityState:
    return EntityState(value=json_text(given.state) or "null", number=given.number)


def _progress(shown: StepProgress, run_id: str) -> commands.StepProgress:
    """Raises OutputTooLarge, InvalidReport."""
    if not shown.id:
        raise InvalidReport("A step that shows progress has no id.")
    return commands.StepProgress(
        step_id=shown.id,
        name=shown.name or step_name(shown.id, run_id),
        type="compensate" if shown.type == "compensate" else "invoke",
        details=_payload(shown.details, PROGRESS_BYTES_MAX, "The progress of step {!r}", shown.id) or "null",
        started_at=to_millis(shown.started_at) if shown.started_at else None,
        attempt=shown.attempt,
        attempts_max=shown.attempts_max,
    )


def _source(text: str) -> str | None:
    """Where a step is called; None for what is too long to be the place of a file."""
    return text if 0 < len(text) <= SOURCE_CHARS_MAX else None


def _payload(payload: msgspec.Raw | None, bytes_max: int, what: str, *names: str) -> str | None:
    """The text of a payload. what: a format of names, which is filled only for the error. Raises OutputTooLarge."""
    text = json_text(payload)
    if text is not None and len(text) > bytes_max // 4 and len(text.encode()) > bytes_max:
        raise OutputTooLarge(
            f"{what.format(*names)} is {len(text.encode())} bytes; this server accepts {bytes_max}. "
            "Store it elsewhere and return a reference, or raise the server's limit."
        )
    return text


def _error_text(error: msgspec.Raw | None) -> str:
    """A step's error as it is stored: an object as sent; a text becomes an object with that message."""
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
        error_class=error.error_class,
        details=None if error.details is None else msgspec.json.decode(error.details),
        exhausted=error.exhausted,
    )


def _yield(reported: Yield, run_id: str) -> commands.YieldFor:
    if not reported.step_id:
        raise InvalidReport("The yield has no step_id.")
    name = reported.step_name or step_name(reported.step_id, run_id)
    match reported.type:
        case "sleep":
            if reported.until is None:
                raise InvalidReport("A yield of type sleep has an `until`.")
            return commands.Sleep(
                step_id=reported.step_id,
                name=name,
                until=to_millis(reported.until),
                source=_source(reported.source),
            )
        case "wait_for_event":
            return _wait(reported, name)
        case "rest":
            return commands.Rest(step_id=reported.step_id, name=name)
        case "invoke_function" | "invoke_function_async" | "start_function":
            if not reported.function_id:
                raise InvalidReport(f"A yield of type {reported.type} has a function_id.")
            return commands.Invoke(
                step_id=reported.step_id,
                name=name,
                function_id=reported.function_id,
                input=json_text(reported.input) or "null",
                timeout_ms=reported.invoke_timeout_ms,
                asynchronous=reported.type == "invoke_function_async",
                on_timeout=_on_timeout(reported),
                handle=reported.type == "start_function",
                delay_ms=reported.delay_ms,
                from_start=_from_start(reported),
                with_triggers=reported.with_triggers,
                trace=parsed(reported.traceparent, reported.tracestate) if reported.traceparent else None,
                source=_source(reported.source),
                entity_key=reported.entity_key,
            )
        case _:
            raise InvalidReport(f"A yield of type {reported.type[:40]!r} is not known.")


def _from_start(reported: Yield) -> bool:
    if reported.timeout_from not in ("", "call", "start"):
        raise InvalidReport(f"timeout_from is {reported.timeout_from[:40]!r}; it is call or start.")
    return reported.timeout_from == "start"


def _wait(reported: Yield, name: str) -> commands.WaitForEvent:
    """A wait whose `match` is a path; without a value, the triggering event's is taken. With an operator it is CEL."""
    wanted = reported.event_filter
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
        step_id=reported.step_id,
        name=name,
        event=wanted.event.strip(),
        path="" if is_expression else wanted.match,
        value=value,
        expression=wanted.match if is_expression else "",
        timeout_ms=timeout_ms,
        payload=json_text(wanted.payload),
        look_back=look_back,
        on_timeout=_on_timeout(reported),
        source=_source(reported.source),
    )


def _on_timeout(reported: Yield) -> OnTimeout:
    if reported.on_timeout not in ("", "answer"):
        raise InvalidReport(f"on_timeout is {reported.on_timeout[:40]!r}; it is answer, or absent.")
    return "answer" if reported.on_timeout else ""


def with_trigger_value(wait: commands.WaitForEvent, data: Any) -> commands.WaitForEvent:
    """The wait with the value that the run's own event has at its path, where none was given.

    Source: protocol/step-semantics.md 5, "Match semantics", 3.
    """
    if not wait.path or wait.value:
        return wait
    return replace(wait, value=value_text(compiled_path(wait.path)(data)))


def live_steps(request: UpdateJob, now: Millis) -> list[LiveStep]:
    """The steps that a worker reports as under way. A worker whose clock is ahead has them begin now."""
    run_id = run_id_of(request.job)
    return [
        LiveStep(
            step_id=step.id,
            name=step.name or step_name(step.id, run_id),
            type="compensate" if step.type == "compensate" else "invoke",
            started_at=min(to_millis(step.started_at), now) if step.started_at is not None else now,
            execution_seq=request.execution_seq or 0,
        )
        for step in request.started
        if step.id
    ]
