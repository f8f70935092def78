"""What is decided about a worker's stream; pure. Frames become the job updates that polling workers send.

Source: protocol/worker-stream.md 2, 4 and 5.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from ironflow.base.json import NULL, InvalidJson, Json
from ironflow.base.spelling import BadField, message_to_json, reader
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.engine.errors import StaleExecution
from ironflow.features.jobs.contract import (
    Assignment,
    Assignments,
    EventFilter,
    RegisterWorker,
    ReportedError,
    ReportedStep,
    Reports,
    UpdateJob,
    Verdict,
    Verdicts,
    WorkerVersion,
    Yield,
)
from ironflow.features.runs.contract import WireError
from ironflow.features.streaming_workers import contract
from ironflow.features.streaming_workers.contract import InvalidFrame, WorkerMessage

INVOKE_TIMEOUT_MS = 30_000
# Heartbeats in a row that no longer list a job, after which a worker that knows no fences has lost it.
MISSED_MAX = 2
# Workers of this runtime can be told `cancel`, but not the state of leases.
KNOWS_NO_REFRESH = "node-"
_STEPS = re.compile(r"STEP_(?:TYPE|STATUS)_")


@dataclass(frozen=True, slots=True)
class Fence:
    """What a frame knows of its execution. execution_seq: 0 when it does not say."""

    job_id: str
    execution_seq: int
    token: str


@dataclass(frozen=True, slots=True)
class Pending:
    """What a worker has said of a job and the database does not know yet, in one update.

    begun: the worker has taken the job. ended: `completed`, `failed` or `yielded`, empty while it goes on.
    """

    fence: Fence
    begun: bool = False
    steps: tuple[ReportedStep, ...] = ()
    ended: str = ""
    output: Json | None = None
    error: ReportedError | None = None
    yielded: Yield | None = None


@dataclass(slots=True)
class Held:
    """A job on a stream. names: of its steps, by id. missed: heartbeats in a row that did not list it."""

    job_id: str
    run_id: str
    names: dict[str, str] = field(default_factory=dict[str, str])
    missed: int = 0


def said(frame: WorkerMessage) -> Any:
    """The one thing that the frame says; None when this server does not know it. Raises InvalidFrame."""
    found = [value for name in frame.__struct_fields__ if (value := getattr(frame, name)) is not None]
    if len(found) > 1:
        raise InvalidFrame(f"A frame says one thing; this one says {len(found)}.")
    return found[0] if found else None


def registration(frame: WorkerMessage) -> RegisterWorker:
    """The worker that the first frame of a stream registers. Raises InvalidFrame."""
    register = said(frame)
    if not isinstance(register, contract.Register):
        raise InvalidFrame("The first frame of a stream is `register`.")
    version = register.version or contract.Version()
    return RegisterWorker(
        worker=register.worker_id,
        hostname=register.hostname,
        function_ids=register.function_ids,
        max_concurrent_jobs=max(register.max_concurrent_jobs, 0) or 10,
        labels=register.labels,
        version=WorkerVersion(sdk=version.sdk, runtime=version.runtime),
    )


def wants_batches(frame: WorkerMessage) -> bool:
    return frame.register is not None and frame.register.batches


def fence_of(word: Any) -> Fence:
    return Fence(word.job_id, word.execution_seq, word.lease_token)


def with_word(pending: Pending | None, held: Held, word: Any, now: Millis) -> Pending:
    """`pending` with one more word of the worker. Raises InvalidFrame for what cannot be said of a job.

    What follows the end of an execution is not heard.
    """
    pending = pending or Pending(fence_of(word))
    if pending.ended:
        return pending
    match word:
        case contract.JobAck() | contract.StepStarted():
            return replace(pending, begun=True)
        case contract.StepCompleted() | contract.StepFailed():
            return replace(pending, begun=True, steps=(*pending.steps, _step(word, held, now)))
        case contract.StepYielded():
            return replace(pending, ended="yielded", yielded=_yield(word, now))
        case contract.JobCompleted():
            return replace(pending, ended="completed", output=word.output or NULL)
        case contract.JobFailed():
            steps = (*pending.steps, *(_executed(step) for step in word.steps))
            return replace(pending, ended="failed", error=_error(word.error), steps=steps)
        case _:
            raise InvalidFrame(f"{type(word).__name__} says nothing of a job.")


def update_of(pending: Pending, worker_id: str) -> UpdateJob:
    """What a polling worker would have sent."""
    return UpdateJob(
        worker=worker_id,
        job=pending.fence.job_id,
        status=pending.ended or "progress",
        output=pending.output,
        error=pending.error,
        yielded=pending.yielded,
        steps=list(pending.steps),
        execution_seq=pending.fence.execution_seq,
        lease_token=pending.fence.token,
    )


def reports_of(word: contract.JobReports, worker_id: str) -> Reports:
    """The reports in a batch. Raises InvalidFrame."""
    read = reader(Reports)
    try:
        request = read.build(read.fields_from(bytes(word.body)) | {"worker": worker_id})
    except (BadField, InvalidJson) as fault:
        raise InvalidFrame(f"A batch of reports cannot be understood: {fault}") from fault
    assert isinstance(request, Reports)
    return request


def verdicts_of(number: int, verdicts: Verdicts) -> contract.JobVerdicts:
    return contract.JobVerdicts(number=number, body=Json(message_to_json(verdicts)))


def batch_of(assignments: list[Assignment]) -> contract.JobBatch:
    return contract.JobBatch(body=Json(message_to_json(Assignments(jobs=assignments))))


def is_over(report: UpdateJob, verdict: Verdict) -> bool:
    """Whether the job is no longer the worker's: its end is durable, or the execution is another's."""
    return verdict.error == StaleExecution.code or (verdict.error is None and report.status != "progress")


def decide_missing(held: list[Held], listed: set[str]) -> list[Held]:
    """The jobs that a worker without fences has lost, and counts the absences of the others.

    Source: protocol/worker-stream.md 5: missing from two heartbeats in a row means it ended without a word.
    """
    for job in held:
        job.missed = 0 if job.job_id in listed else job.missed + 1
    return [job for job in held if job.missed >= MISSED_MAX]


def job_of(assignment: Assignment) -> contract.Job:
    """The assignment as a stream carries it."""
    event = assignment.event
    context = assignment.context
    return contract.Job(
        job_id=assignment.job_id,
        run_id=assignment.run_id,
        function_id=assignment.function_id,
        event=contract.StreamEvent(
            id=event.id,
            name=event.name,
            data=event.data,
            idempotency_key=event.idempotency_key or "",
            source=event.source or "",
            timestamp=event.timestamp,
            metadata=event.metadata,
            version=event.version,
            entity_id=event.entity_id or "",
            entity_type=event.entity_type or "",
            entity_version=event.entity_version or 0,
            emitted_by=event.emitted_by or "",
        ),
        completed_steps=[
            contract.MemoStep(
                step_id=step.step_id,
                name=step.name,
                output=step.output,
                status=step.status or "",
                error_json=bytes(step.error) if step.error is not None else b"",
                output_json=bytes(step.output),
            )
            for step in assignment.completed_steps
        ],
        actor_id=assignment.actor_id or "",
        attempt=assignment.attempt,
        context=contract.StreamContext(
            trace_id=context.trace_id or "", metadata=context.metadata or {}, secrets=context.secrets or {}
        )
        if context is not None
        else None,
        execution_seq=assignment.execution_seq,
        lease_token=assignment.lease_token,
        lease_expires_at=assignment.lease_expires_at,
        max_attempts=assignment.max_attempts,
        on_exhausted=assignment.on_exhausted,
    )


def _step(word: contract.StepCompleted | contract.StepFailed, held: Held, now: Millis) -> ReportedStep:
    completed = isinstance(word, contract.StepCompleted)
    return ReportedStep(
        id=word.step_id,
        name=held.names.get(word.step_id, ""),
        status="completed" if completed else "failed",
        output=(word.output or NULL) if completed else None,
        error=None if completed else _error_json(word.error),
        duration_ms=word.duration_ms,
        started_at=to_datetime(now - max(word.duration_ms, 0)),
        ended_at=to_datetime(now),
    )


def _executed(step: contract.ExecutedStep) -> ReportedStep:
    status = _STEPS.sub("", step.status).lower()
    return ReportedStep(
        id=step.id,
        name=step.name,
        type=_STEPS.sub("", step.type).lower(),
        status="failed" if status == "failed" else "completed",
        output=None if status == "failed" else step.output or NULL,
        error=_error_json(step.error) if status == "failed" else None,
        duration_ms=step.duration_ms,
        compensation_for=step.compensation_for or None,
    )


def _error(error: WireError | None) -> ReportedError:
    if error is None:
        return ReportedError(message="The worker reported a failure without an error.")
    return ReportedError(
        message=error.message,
        code=error.code or "",
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms or None,
        stack=error.stack or None,
    )


def _error_json(error: WireError | None) -> Json:
    told = {
        "message": error.message if error and error.message else "The step failed.",
        "code": error.code if error else None,
        "retryable": bool(error and error.retryable),
        "stack": error.stack if error else None,
    }
    return msgspec.Raw(msgspec.json.encode({name: value for name, value in told.items() if value not in (None, "")}))


def _yield(word: contract.StepYielded, now: Millis) -> Yield:
    if word.sleep is not None:
        return Yield(type="sleep", step_id=word.step_id, until=word.sleep.until)
    if word.wait_event is not None:
        wait = word.wait_event
        left_ms = max(to_millis(wait.timeout) - now, 1) if wait.timeout is not None else None
        wanted = EventFilter(
            event=wait.event_name,
            match=wait.match_expression,
            match_value=wait.match_value or None,
            payload=msgspec.Raw(wait.payload_json) if wait.payload_json else None,
            timeout=f"{left_ms}ms" if left_ms is not None else "7d",
            look_back=wait.look_back,
        )
        return Yield(type="wait_for_event", step_id=word.step_id, event_filter=wanted)
    invoke = word.invoke_function or word.invoke_function_async
    if invoke is None:
        raise InvalidFrame(f"Step {word.step_id[:80]!r} yields without saying for what.")
    timeout_ms = invoke.invoke_timeout_ms if isinstance(invoke, contract.InvokeYield) else 0
    return Yield(
        type="invoke_function" if isinstance(invoke, contract.InvokeYield) else "invoke_function_async",
        step_id=word.step_id,
        function_id=invoke.function_id,
        input=msgspec.Raw(invoke.input_json) if invoke.input_json else None,
        invoke_timeout_ms=timeout_ms if timeout_ms > 0 else INVOKE_TIMEOUT_MS,
    )
