"""Runs and steps as clients see them."""

from datetime import datetime

import msgspec
from msgspec.structs import replace

from ironflow.base.json import Json, to_json
from ironflow.base.time import Millis, to_datetime
from ironflow.engine.model import ErrorValue, Run, Step
from ironflow.engine.step_attempts import UNFINISHED, read_attempts
from ironflow.features.runs import contract, rules
from ironflow.features.runs.contract import StepStatus, StepType, WireError
from ironflow.features.runs.live import LiveStep

_decode_error = msgspec.json.Decoder(ErrorValue, strict=False).decode


def run_message(run: Run, data: str | None) -> contract.Run:
    """data: the event's data as JSON text, the run's input; None when the event is not kept any more."""
    lease = run.lease
    held = lease is not None and lease.state != "ready"
    is_link = run.first_run_id is not None or run.restarted_as is not None
    return contract.Run(
        id=run.id,
        function_id=run.function_id,
        event_id=run.event_id,
        worker_id=run.worker_id,
        actor_id=run.actor_id,
        input=to_json(data),
        output=to_json(run.output),
        error=error_message(run.error),
        status=rules.shown_status(run),
        attempt=run.attempt,
        max_attempts=run.policy.max_attempts,
        started_at=_at(run.started_at),
        ended_at=_at(run.ended_at),
        created_at=to_datetime(run.created_at),
        updated_at=to_datetime(run.updated_at),
        pause_requested=bool(run.pause_requested),
        pause_reason=rules.pause_reason(run),
        function_version=run.function_version,
        parent_run_id=run.parent_run_id,
        parent_step_id=run.parent_step_id,
        timeout_at=_at(lease.deadline_at or None) if lease is not None and held else None,
        environment_id=run.environment,
        version=run.version,
        claimed_by=lease.worker_id if lease is not None and held else None,
        cancellation_cause=run.cancellation_cause,
        event_name=run.event_name,
        state=rules.shown_state(run),
        cancel_requested=cancel_requested(run),
        paused_by=run.paused_by,
        pause_note=run.pause_note,
        next_attempt_at=_at(run.next_at),
        unasked_steps=msgspec.json.decode(run.unasked_steps) if run.unasked_steps else None,
        key=run.key,
        restarted_from=run.restarted_from,
        restarted_as=run.restarted_as,
        first_run_id=run.chain_id if is_link else None,
        link=run.link if is_link else None,
        advice=rules.advice(run) or None,
    )


def cancel_requested(run: Run) -> contract.CancelRequested | None:
    if run.cancelling is None or run.cancel_requested_at is None:
        return None
    return contract.CancelRequested(at=to_datetime(run.cancel_requested_at), reason=run.cancelling)


def result_message(run: Run, timed_out: bool) -> contract.RunResult:
    return contract.RunResult(
        run_id=run.id,
        function_id=run.function_id,
        status=rules.shown_status(run),
        output=to_json(run.output),
        error=error_message(run.error) if run.status != "completed" else None,
        duration_ms=max(0, (run.ended_at or run.updated_at) - run.created_at),
        wait_timed_out=timed_out,
    )


def step_message(run: Run, step: Step) -> contract.Step:
    return contract.Step(
        id=rules.step_row_id(run.id, step.number),
        run_id=run.id,
        step_id=step.step_id,
        step_type=StepType(step.type),
        sequence=step.sequence,
        status=rules.shown_step_status(step, run),
        output=to_json(step.output),
        error=error_message(step.error),
        attempt=step.attempt,
        duration_ms=min(step.duration_ms or 0, 2**31 - 1),
        duration_ms_full=step.duration_ms,
        started_at=_at(step.started_at),
        ended_at=_at(step.ended_at),
        compensation_for=step.compensation_for,
        input=to_json(step.input),
        original_output=to_json(step.original_output),
        patched_at=_at(step.patched_at),
        patched_by=step.patched_by,
        sleep_until=_at(step.sleep_until),
        wait_event_name=step.wait_event,
        wait_timeout=_at(step.wait_until),
        child_run_id=step.child_run_id,
        created_at=to_datetime(step.created_at),
        updated_at=to_datetime(step.updated_at),
        stored_status=step.status,
        max_attempts=step.attempts_max,
        attempts=_attempts(step),
        progress=to_json(step.progress),
        handler_at=_at(step.handler_at),
        source=step.source,
        name=step.name,
    )


def _attempts(step: Step) -> list[contract.StepAttempt] | None:
    if not step.attempts:
        return None
    return [
        contract.StepAttempt(
            attempt=each.attempt,
            error=_wire_error(each.error),
            started_at=_at(each.started_at),
            ended_at=_at(each.ended_at),
        )
        for each in read_attempts(step.attempts)
    ]


def with_live_steps(run: Run, steps: list[contract.Step], live: list[LiveStep]) -> list[contract.Step]:
    """The recorded steps, and those that run at this moment; a step that has an attempt now is shown once."""
    running = {each.step_id: each for each in live}
    shown: list[contract.Step] = []
    for step in steps:
        now = running.get(step.step_id)
        if step.stored_status == "completed" or (now is not None and step.stored_status in UNFINISHED):
            running.pop(step.step_id, None)
        if now is not None and step.stored_status in UNFINISHED:
            step = replace(step, status=StepStatus.RUNNING, started_at=to_datetime(now.started_at), ended_at=None)
        shown.append(step)
    return shown + [live_step_message(run, each) for each in running.values()]


def live_step_message(run: Run, live: LiveStep) -> contract.Step:
    """A step that runs at this moment: nothing of it is recorded yet."""
    return contract.Step(
        id=live.step_id,
        run_id=run.id,
        step_id=live.step_id,
        step_type=StepType(live.type),
        sequence=run.next_sequence,
        status=StepStatus.RUNNING,
        attempt=run.attempt,
        started_at=to_datetime(live.started_at),
        name=live.name,
    )


def error_message(text: str | None) -> WireError | None:
    """A recorded error; a worker may have sent an object of its own shape, or a text."""
    if text is None:
        return None
    try:
        error = _decode_error(text)
    except msgspec.ValidationError:
        return WireError(message=text)
    return _wire_error(error)


def _wire_error(error: ErrorValue) -> WireError:
    return WireError(
        message=error.message,
        code=error.code or None,
        stack=error.stack or None,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
        details=None if error.details is None else Json(msgspec.json.encode(error.details)),
        error_class=error.error_class or None,
    )


def _at(at: Millis | None) -> datetime | None:
    return None if at is None else to_datetime(at)
