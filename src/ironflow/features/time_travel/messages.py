"""States and entries as clients see them."""

from ironflow.base.json import NULL, Json, to_json
from ironflow.base.time import Millis, to_datetime
from ironflow.engine.model import Run, Step
from ironflow.features.runs.in_tx import (
    cancel_requested,
    error_message,
    pause_reason,
    shown_state,
    shown_status,
    shown_step_status,
    step_row_id,
)
from ironflow.features.time_travel import contract
from ironflow.features.time_travel.rules import steps_in_order
from ironflow.features.time_travel.timeline import Entry

_INT32_MAX = 2**31 - 1


def run_state(run: Run, moment: Millis, data: str | None, code_hash: str) -> contract.RunState:
    """data: the event's data as JSON text, the run's input; None when the event is not kept any more."""
    steps = steps_in_order(run)
    status = shown_status(run).sent
    return contract.RunState(
        snapshot=contract.RunSnapshot(
            run_id=run.id,
            function_id=run.function_id,
            status=status,
            input=bytes_of(data),
            steps=[_snapshot(run, step) for step in steps],
            timestamp=to_datetime(moment),
            created_at=to_datetime(run.created_at),
        ),
        run_id=run.id,
        function_id=run.function_id,
        function_version=run.function_version,
        code_hash=code_hash or None,
        recording=run.recorded,
        status=status,
        state=shown_state(run),
        pause_reason=pause_reason(run),
        attempt=run.attempt,
        max_attempts=run.policy.max_attempts,
        event_id=run.event_id,
        event_name=run.event_name,
        input=to_json(data),
        output=to_json(run.output),
        error=error_message(run.error),
        cancellation_cause=run.cancellation_cause,
        worker_id=run.worker_id,
        parent_run_id=run.parent_run_id,
        next_at=to_datetime(run.next_at) if run.next_at is not None else None,
        cancel_requested=cancel_requested(run),
        values={name: Json(each.value.encode()) for name, each in sorted(run.values.items())} or None,
        restarted_from=run.restarted_from,
        restarted_as=run.restarted_as,
        steps=[_state(run, step) for step in steps],
        timestamp=to_datetime(moment),
        created_at=to_datetime(run.created_at),
        started_at=to_datetime(run.started_at) if run.started_at is not None else None,
        ended_at=to_datetime(run.ended_at) if run.ended_at is not None else None,
    )


def timeline_event(entry: Entry, moment: Millis) -> contract.TimelineEvent:
    return contract.TimelineEvent(
        id=entry.id,
        event_type=entry.type,
        step_id=entry.step.step_id if entry.step is not None else "",
        step_name=entry.step.name if entry.step is not None else "",
        summary=entry.summary,
        significant=entry.significant,
        timestamp=to_datetime(moment),
        failed=entry.data.get("error") is not None,
        source=(entry.step.source if entry.step is not None else None) or "",
    )


def bytes_of(text: str | None) -> bytes:
    """JSON text as the bytes that generated readers take; empty for none."""
    return b"" if text is None else text.encode()


def at(moment: Millis) -> str:
    """A moment in a sentence: RFC 3339 in UTC."""
    return to_datetime(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _status(run: Run, step: Step) -> str:
    return shown_step_status(step, run).value


def _snapshot(run: Run, step: Step) -> contract.StepSnapshot:
    return contract.StepSnapshot(
        step_id=step.step_id,
        name=step.name,
        type=step.type,
        sequence=step.sequence,
        status=_status(run, step),
        output=bytes_of(step.output),
        error=bytes_of(step.error),
        original_output=bytes_of(step.original_output),
        started_at=to_datetime(step.started_at) if step.started_at is not None else None,
        completed_at=to_datetime(step.ended_at) if step.ended_at is not None else None,
        duration_ms=min(step.duration_ms or 0, _INT32_MAX),
        injected=step.injected,
        patched=step.patched_at is not None,
    )


def _state(run: Run, step: Step) -> contract.StepState:
    return contract.StepState(
        id=step_row_id(run.id, step.number),
        step_id=step.step_id,
        name=step.name,
        type=step.type,
        sequence=step.sequence,
        status=_status(run, step),
        attempt=step.attempt,
        output=to_json(step.output) or NULL,
        error=error_message(step.error),
        original_output=to_json(step.original_output),
        started_at=to_datetime(step.started_at) if step.started_at is not None else None,
        completed_at=to_datetime(step.ended_at) if step.ended_at is not None else None,
        duration_ms=step.duration_ms,
        injected=step.injected,
        patched=step.patched_at is not None,
        patched_by=step.patched_by,
        compensation_for=step.compensation_for,
        sleep_until=to_datetime(step.sleep_until) if step.sleep_until is not None else None,
        wait_event_name=step.wait_event,
        wait_timeout=to_datetime(step.wait_until) if step.wait_until is not None else None,
        child_run_id=step.child_run_id,
        source=step.source,
    )
