"""What a worker is handed: the job, the event and the memo. Source: protocol/worker-rest.md 6, "Job assignment"."""

from ironflow.base.json import NULL, Json, to_json
from ironflow.base.time import to_datetime
from ironflow.engine.model import Run, Step
from ironflow.features.jobs.contract import Assignment, CompletedStep, JobEvent
from ironflow.features.runs.ledger import Ledger
from ironflow.log.read import records
from ironflow.log.record import Record
from ironflow.storage.port import Tx

# This runtime takes every row for a success. Source: protocol/worker-rest.md 6.
SEES_NO_FAILURES = "node-"


def assignments(tx: Tx, claimed: list[Run], runtime: str, with_types: bool) -> list[Assignment]:
    """The assignments of runs just claimed, with their events and recorded steps.

    runtime: the worker's. with_types: say of each step what it is; existing clients are sent what they know.
    """
    events = records(tx, list({run.event_id for run in claimed}))
    with_steps = [run.id for run in claimed if run.step_count]
    memos = Ledger.memo(tx, with_steps) if with_steps else {}
    if runtime.startswith(SEES_NO_FAILURES):
        memos = {run_id: [step for step in memo if step.status == "completed"] for run_id, memo in memos.items()}
    return [_assignment(run, events[run.event_id], memos.get(run.id, []), with_types) for run in claimed]


def _assignment(run: Run, event: Record, memo: list[Step], with_types: bool) -> Assignment:
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
                status="failed" if step.status == "failed" else None,
                error=to_json(step.error) if step.status == "failed" else None,
                type=step.type if with_types else None,
            )
            for step in memo
        ],
        execution_seq=lease.execution_seq,
        lease_token=lease.token,
        step_sequence_base=lease.sequence_base,
        max_attempts=run.policy.max_attempts,
        on_exhausted=run.policy.on_exhausted,
        lease_expires_at=to_datetime(lease.expires_at),
        actor_id=run.actor_id,
    )
