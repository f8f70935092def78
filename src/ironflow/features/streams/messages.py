"""Streams, their events and what became of them, as clients see them."""

from ironflow.base.json import NULL, Json
from ironflow.base.time import to_datetime
from ironflow.engine.model import Run, Step
from ironflow.features.runs.in_tx import error_message, shown_status, shown_step_status
from ironflow.features.streams import contract
from ironflow.log.heads import Head
from ironflow.log.record import Record

_INT32_MAX = 2**31 - 1


def info_message(head: Head) -> contract.StreamInfo:
    last_at = to_datetime(head.updated_at)
    return contract.StreamInfo(
        entity_id=head.entity_id,
        entity_type=head.entity_type,
        version=head.version,
        event_count=head.event_count,
        created_at=to_datetime(head.created_at),
        updated_at=last_at,
        last_event_at=last_at,
        deleted_at=None if head.deleted_at is None else to_datetime(head.deleted_at),
    )


def event_message(event: Record) -> contract.StreamEvent:
    at = to_datetime(event.created_at)
    return contract.StreamEvent(
        id=event.id,
        name=event.name,
        data=_data(event),
        entity_version=event.entity_version or 0,
        version=event.version,
        timestamp=at,
        source=event.source,
        metadata=Json(event.metadata.encode()) if event.metadata else None,
        environment_id=event.environment,
        idempotency_key=event.idempotency_key,
        run_id=event.run_id,
        created_at=at,
        entity_id=event.entity_id or "",
        entity_type=event.entity_type or "",
        nats_seq=event.position,
        emitted_by=event.emitted_by,
    )


def flat_message(event: Record) -> contract.FlatEntry:
    return contract.FlatEntry(
        event_name=event.name,
        data=_data(event),
        version=event.entity_version or 0,
        timestamp=to_datetime(event.created_at),
    )


def line_message(event: Record) -> contract.HistoryLine:
    return contract.HistoryLine(
        event_name=event.name,
        event_data=_data(event),
        entity_version=event.entity_version or 0,
        timestamp=to_datetime(event.created_at),
        metadata=Json(event.metadata.encode()) if event.metadata else None,
    )


def history_info(head: Head) -> contract.HistoryInfo:
    return contract.HistoryInfo(
        entity_id=head.entity_id,
        entity_type=head.entity_type,
        current_version=head.version,
        total_event_count=head.event_count,
        created_at=to_datetime(head.created_at),
        updated_at=to_datetime(head.updated_at),
    )


def entry_message(event: Record, runs: list[Run], steps: dict[str, list[Step]]) -> contract.HistoryEntry:
    """runs: those that the event started. steps: of each run that has any."""
    return contract.HistoryEntry(
        event_id=event.id,
        event_name=event.name,
        event_data=_data(event),
        entity_version=event.entity_version or 0,
        schema_version=event.version,
        source=event.source,
        timestamp=to_datetime(event.created_at),
        runs=[_run_message(run, steps.get(run.id, [])) for run in runs],
    )


def _run_message(run: Run, steps: list[Step]) -> contract.HistoryRun:
    took_ms = max(0, (run.ended_at or run.updated_at) - run.created_at)
    return contract.HistoryRun(
        run_id=run.id,
        function_id=run.function_id,
        status=shown_status(run).sent,
        duration_ms=min(took_ms, _INT32_MAX),
        duration_ms_full=took_ms,
        started_at=to_datetime(run.started_at) if run.started_at is not None else None,
        ended_at=to_datetime(run.ended_at) if run.ended_at is not None else None,
        steps=[_step_message(run, step) for step in steps],
    )


def _step_message(run: Run, step: Step) -> contract.HistoryStep:
    error = error_message(step.error)
    return contract.HistoryStep(
        step_id=step.step_id,
        name=step.name,
        step_type=step.type,
        status=shown_step_status(step, run).value,
        duration_ms=min(step.duration_ms or 0, _INT32_MAX),
        error_message=error.message if error is not None else None,
        duration_ms_full=step.duration_ms,
    )


def _data(event: Record) -> Json:
    return Json(event.data.encode()) if event.data else NULL
