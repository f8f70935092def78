"""What a worker is handed: the job, the event, the memo and the secrets.

Source: protocol/worker-rest.md 6, "Job assignment".
"""

from collections.abc import Mapping

from ironflow.base.json import NULL, Json, to_json
from ironflow.base.time import to_datetime
from ironflow.base.trace_context import RunTracing
from ironflow.engine.lease import execution_ms_max
from ironflow.engine.model import Run, Step
from ironflow.engine.step_attempts import UNFINISHED, next_attempt
from ironflow.features.entities import in_tx as entities
from ironflow.features.entities.contract import JobEntity
from ironflow.features.jobs.contract import Assignment, CompletedStep, JobContext, JobEvent
from ironflow.features.runs.in_tx import RunRepository
from ironflow.log.read import records
from ironflow.log.record import Record
from ironflow.storage.port import Tx

# This runtime takes every row for a success. Source: protocol/worker-rest.md 6.
SEES_NO_FAILURES = "node-"


def assignments(
    tx: Tx,
    claimed: list[Run],
    runtime: str,
    with_types: bool,
    secrets: Mapping[str, dict[str, str]],
    log_level: str | None = None,
    tracing: RunTracing | None = None,
) -> list[Assignment]:
    """The assignments of runs just claimed, with their events and recorded steps.

    runtime: the worker's. with_types: include each step's type, which existing clients do not know.
    secrets: by function, those that it declares and that there are. log_level: as of `Assignment`. tracing: of the
    server, None when it records no spans: then an execution is below what the event names.
    """
    events = records(tx, list({run.event_id for run in claimed}))
    with_steps = [run.id for run in claimed if run.step_count]
    memos = RunRepository.memo(tx, with_steps) if with_steps else {}
    if not with_types:
        # Failures that are kept are for workers of ours: others run the body again.
        memos = {
            run_id: [step for step in memo if step.failure != "kept" and not _is_to_run(step)]
            for run_id, memo in memos.items()
        }
    if runtime.startswith(SEES_NO_FAILURES):
        memos = {run_id: [step for step in memo if step.status == "completed"] for run_id, memo in memos.items()}
    elif not with_types:
        memos = {run_id: [step for step in memo if step.status != "timed_out"] for run_id, memo in memos.items()}
    level = log_level if with_types else None
    of_entities = entities.of_jobs(tx, claimed) if any(run.entity is not None for run in claimed) else {}
    return [
        assignment(
            run,
            events[run.event_id],
            memos.get(run.id, []),
            with_types,
            _context(run, events[run.event_id], secrets.get(run.function_id), tracing),
            level,
            of_entities.get(run.id),
        )
        for run in claimed
    ]


def _context(run: Run, event: Record, secrets: dict[str, str] | None, tracing: RunTracing | None) -> JobContext | None:
    if tracing is None:
        return JobContext(secrets=secrets) if secrets else None
    trace = tracing.context(run.id, event.metadata)
    return JobContext(secrets=secrets or None, trace_id=trace.trace_id, metadata=trace.fields())


def _is_to_run(step: Step) -> bool:
    """Whether the step is no result: it has attempts to come, or is there for what its body has shown."""
    return step.status in UNFINISHED or step.failure == "released"


def assignment(
    run: Run,
    event: Record,
    memo: list[Step],
    with_types: bool,
    context: JobContext | None,
    log_level: str | None,
    entity: JobEntity | None,
) -> Assignment:
    """The assignment of a run just claimed. memo: its steps that are replayed, in order. with_types: as above."""
    lease = run.lease
    if lease is None:
        raise ValueError(f"run {run.id} is not claimed")
    return Assignment(
        job_id=lease.job_id,
        run_id=run.id,
        function_id=run.function_id,
        attempt=run.attempt,
        event=JobEvent(
            id=event.id,
            name=event.name,
            data=Json(event.data.encode()),
            timestamp=to_datetime(event.created_at),
            version=event.version,
            source=event.source or None,
            idempotency_key=event.idempotency_key,
            metadata=Json(event.metadata.encode()) if event.metadata else None,
            emitted_by=event.emitted_by,
            entity_id=event.entity_id,
            entity_type=event.entity_type,
            entity_version=event.entity_version,
        ),
        completed_steps=[
            CompletedStep(
                step_id=step.step_id,
                name=step.name,
                output=to_json(step.output) or NULL,
                status="pending" if step.failure == "released" else step.status if step.status != "completed" else None,
                error=to_json(step.error) if step.status != "completed" else None,
                type=step.type if with_types else None,
                ended_at=to_datetime(step.ended_at) if with_types and step.ended_at is not None else None,
                attempt=next_attempt(step) if _is_to_run(step) else None,
                progress=to_json(step.progress) if _is_to_run(step) else None,
                handler_at=to_datetime(step.handler_at) if with_types and step.handler_at is not None else None,
                child_run_id=step.child_run_id if with_types and step.handle else None,
            )
            for step in memo
            if with_types or not step.handle
        ],
        execution_seq=lease.execution_seq,
        lease_token=lease.token,
        step_sequence_base=lease.sequence_base,
        max_attempts=run.policy.max_attempts,
        on_exhausted=run.policy.on_exhausted,
        lease_expires_at=to_datetime(lease.expires_at),
        actor_id=run.actor_id,
        compensating=to_json(run.compensating),
        context=context,
        timeout_ms=execution_ms_max(run) if with_types else None,
        run_started_at=to_datetime(run.started_at) if with_types and run.started_at is not None else None,
        log_level=log_level,
        function_version=run.function_version if with_types else None,
        entity=entity,
    )
