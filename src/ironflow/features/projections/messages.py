"""From rows to what clients read."""

from datetime import timedelta

from ironflow.base.json import Json
from ironflow.base.progress import remaining_ms, share
from ironflow.base.time import Millis, to_datetime
from ironflow.features.projections import contract, rules
from ironflow.features.projections.rules import ProjectionRow, RebuildRow
from ironflow.features.projections.store import StateRow


def info_message(projection: ProjectionRow, rebuild: RebuildRow | None) -> contract.ProjectionInfo:
    return contract.ProjectionInfo(
        name=projection.name,
        mode=projection.mode,
        status=rules.status_of(projection),
        events=list(projection.events),
        partition_key=projection.partition_key,
        version=projection.version,
        last_event_seq=projection.cursor,
        created_at=to_datetime(projection.created_at),
        updated_at=to_datetime(projection.updated_at),
        environment_id=projection.environment,
        error_message=projection.error_message,
        description=projection.description,
        rebuild_target_seq=rebuild.target if rebuild else None,
        rebuild_start_cursor=rebuild.start_position if rebuild else None,
        rebuild_started_at=to_datetime(rebuild.started_at) if rebuild else None,
        version_full=projection.version,
    )


def status_message(projection: ProjectionRow, rebuild: RebuildRow | None, lag: int) -> contract.Status:
    return contract.Status(
        name=projection.name,
        status=rules.status_of(projection),
        mode=projection.mode,
        last_event_seq=projection.cursor,
        lag=lag,
        error_message=projection.error_message or None,
        updated_at=to_datetime(projection.updated_at),
        rebuild_target_seq=rebuild.target if rebuild else None,
        rebuild_start_cursor=rebuild.start_position if rebuild else None,
        rebuild_started_at=to_datetime(rebuild.started_at) if rebuild else None,
        without_key=projection.without_key,
    )


def projection_message(
    projection: ProjectionRow, rebuild: RebuildRow | None, partition: str, state: StateRow | None
) -> contract.Projection:
    """state: None when the partition has none yet."""
    if state is None:
        return contract.Projection(
            name=projection.name, partition=partition, mode=projection.mode, registry=info_message(projection, rebuild)
        )
    return contract.Projection(
        name=projection.name,
        partition=state.partition_key,
        state=Json(state.state.encode()),
        last_event_id=state.event_id,
        last_event_time=to_datetime(state.event_at),
        version=state.version,
        mode=projection.mode,
        registry=info_message(projection, rebuild),
        state_last_event_seq=state.position,
        state_updated_at=to_datetime(state.saved_at),
        state_environment_id=projection.environment,
    )


def state_message(projection: ProjectionRow, state: StateRow) -> contract.StateRow:
    return contract.StateRow(
        projection_name=projection.name,
        environment_id=projection.environment,
        partition_key=state.partition_key,
        state=Json(state.state.encode()),
        last_event_id=state.event_id,
        last_event_seq=state.position,
        last_event_time=to_datetime(state.event_at),
        version=state.version,
        updated_at=to_datetime(state.saved_at),
    )


def as_of_message(at: Millis, state: StateRow | None, missing: str | None) -> contract.AsOf:
    """missing: why the state may lack events up to the moment."""
    return contract.AsOf(
        moment=to_datetime(at),
        exact=missing is None,
        last_event_seq=state.position if state else 0,
        last_event_time=to_datetime(state.event_at) if state else None,
        missing=missing,
    )


def envelope_message(
    projection: ProjectionRow, state: StateRow | None, as_of: contract.AsOf | None = None
) -> contract.Envelope:
    return contract.Envelope(
        name=projection.name,
        version=projection.version,
        mode=projection.mode,
        status=rules.status_of(projection),
        last_event_seq=projection.cursor,
        updated_at=to_datetime(projection.updated_at),
        error_message=projection.error_message or None,
        state=state_message(projection, state) if state else None,
        as_of=as_of,
    )


def job_message(rebuild: RebuildRow, now: Millis, *, dry_run: bool = False) -> contract.RebuildJob:
    status = "dry_run_ok" if dry_run else rebuild.status
    done, total = min(rebuild.events_done, rebuild.events_total), rebuild.events_total
    running = rebuild.status == "running" and not dry_run
    remaining = remaining_ms(now - rebuild.started_at, rebuild.events_done, total) if running else None
    return contract.RebuildJob(
        job_id=rebuild.id,
        projection_name=rebuild.name,
        status=status,
        events_processed=done,
        total_events=total,
        progress=1.0 if rebuild.status == "completed" else share(done, total) if total else 0.0,
        started_at=to_datetime(rebuild.started_at),
        estimated_remaining=None if remaining is None else timedelta(milliseconds=remaining),
        error=rebuild.error,
        from_event_id=rebuild.from_event_id,
        to_event_id=rebuild.to_event_id,
        partition=rebuild.partition_key or "",
        dry_run=dry_run,
    )
