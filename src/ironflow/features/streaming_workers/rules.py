"""What is decided about a worker's stream; pure. Frames become the reports that polling workers send.

Source: protocol/worker-stream.md 2, 4 and 5.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import assert_never

import msgspec

from ironflow.base.json import NULL, InvalidJson, Json
from ironflow.base.spelling import BadField, message_to_json, reader
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.features.held_jobs.contract import Fence, PendingReport
from ironflow.features.jobs.contract import (
    Assignment,
    Assignments,
    EventFilter,
    RegisterWorker,
    ReportedError,
    ReportedStep,
    Reports,
    StartedStep,
    Verdicts,
    WorkerVersion,
    Yield,
)
from ironflow.features.jobs.in_tx import NO_CHANNEL, Channel, check_incarnation
from ironflow.features.runs.contract import WireError
from ironflow.features.streaming_workers import contract
from ironflow.features.streaming_workers.contract import InvalidFrame, WorkerMessage

INVOKE_TIMEOUT_MS = 30_000
# Heartbeats in a row that no longer list a job, after which a worker that knows no fences has lost it.
MISSED_MAX = 2
# Only workers of this runtime read the state of leases; others are sent `cancel`.
READS_REFRESH = "python-"
# Workers of this runtime drop their jobs when their stream ends.
DROPS_JOBS = "go"
# The frames that report on one job, and all frames of a worker.
JobFrame = (
    contract.JobAck
    | contract.StepStarted
    | contract.StepCompleted
    | contract.StepFailed
    | contract.StepYielded
    | contract.JobCompleted
    | contract.JobFailed
)
Content = JobFrame | contract.Register | contract.Heartbeat | contract.JobNack | contract.JobReports
_contents = attrgetter(*WorkerMessage.__struct_fields__)
_STEPS = re.compile(r"STEP_(?:TYPE|STATUS)_")


def content_of(frame: WorkerMessage) -> Content | None:
    """The one field that is set; None for a frame that this server does not know. Raises InvalidFrame."""
    found = [value for value in _contents(frame) if value is not None]
    if len(found) > 1:
        raise InvalidFrame(f"A frame has one field; this one has {len(found)}.")
    return found[0] if found else None


def registration(frame: WorkerMessage) -> RegisterWorker:
    """The worker that the first frame of a stream registers. Raises InvalidFrame."""
    register = content_of(frame)
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
        code_versions=register.code_versions,
    )


def grace_of(frame: WorkerMessage) -> Millis:
    """How much longer than a function's timeout the worker's leases last."""
    return frame.register.grace_ms if frame.register is not None and frame.register.batches else 0


def channel_of(frame: WorkerMessage) -> Channel:
    """The stream, as its worker counts it. Raises InvalidWorker."""
    if frame.register is None or not frame.register.batches:
        return NO_CHANNEL
    check_incarnation(frame.register.incarnation)
    return Channel(frame.register.incarnation, frame.register.number)


def wants_batches(frame: WorkerMessage) -> bool:
    return frame.register is not None and frame.register.batches


def fence_of(content: JobFrame) -> Fence:
    return Fence(content.job_id, content.execution_seq, content.lease_token)


def with_frame(
    pending: PendingReport | None, names: Mapping[str, str], content: JobFrame, now: Millis
) -> PendingReport:
    """`pending` with one more frame of the worker. Raises InvalidFrame for a step that yields without a reason.

    names: of the job's steps, by id. Frames after the end of an execution are ignored.
    """
    pending = pending or PendingReport(fence_of(content))
    if pending.ended:
        return pending
    match content:
        case contract.JobAck():
            return replace(pending, begun=True)
        case contract.StepStarted():
            started = StartedStep(id=content.step_id, name=content.name, started_at=to_datetime(now))
            return replace(pending, begun=True, started=(*pending.started, started))
        case contract.StepCompleted() | contract.StepFailed():
            # Its start is published with its end, when both are in one update.
            together = any(each.id == content.step_id for each in pending.started)
            step = _step(content, names, now, announced=content.step_id in names and not together)
            return replace(pending, begun=True, steps=(*pending.steps, step))
        case contract.StepYielded():
            return replace(pending, ended="yielded", yielded=_yield(content, now))
        case contract.JobCompleted():
            return replace(pending, ended="completed", output=content.output or NULL)
        case contract.JobFailed():
            steps = (*pending.steps, *(_executed(step) for step in content.steps))
            return replace(pending, ended="failed", error=_error(content.error), steps=steps)
        case _:
            assert_never(content)


def reports_of(batch: contract.JobReports, worker_id: str) -> Reports:
    """The reports in a batch. Raises InvalidFrame."""
    read = reader(Reports)
    try:
        request = read.build(read.fields_from(bytes(batch.body)) | {"worker": worker_id})
    except (BadField, InvalidJson) as fault:
        raise InvalidFrame(f"A batch of reports cannot be understood: {fault}") from fault
    assert isinstance(request, Reports)
    return request


def verdicts_of(number: int, verdicts: Verdicts) -> contract.JobVerdicts:
    return contract.JobVerdicts(number=number, body=Json(message_to_json(verdicts)))


def batch_of(assignments: Sequence[Assignment]) -> contract.JobBatch:
    return contract.JobBatch(body=Json(message_to_json(Assignments(jobs=list(assignments)))))


def absences(before: Mapping[str, int], held: Iterable[str], listed: set[str]) -> dict[str, int]:
    """For each held job, the number of heartbeats in a row that did not list it."""
    return {job_id: 0 if job_id in listed else before.get(job_id, 0) + 1 for job_id in held}


def decide_missing(absences: Mapping[str, int], held: Iterable[str]) -> list[str]:
    """The held jobs that a worker without fences has lost.

    Source: protocol/worker-stream.md 5: missing from two heartbeats in a row means that it ended without a report.
    """
    return [job_id for job_id in held if absences.get(job_id, 0) >= MISSED_MAX]


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


def _step(
    content: contract.StepCompleted | contract.StepFailed, names: Mapping[str, str], now: Millis, announced: bool
) -> ReportedStep:
    completed = isinstance(content, contract.StepCompleted)
    return ReportedStep(
        id=content.step_id,
        name=names.get(content.step_id, ""),
        status="completed" if completed else "failed",
        output=(content.output or NULL) if completed else None,
        error=None if completed else _error_json(content.error),
        duration_ms=content.duration_ms,
        announced=announced,
        started_at=to_datetime(now - max(content.duration_ms, 0)),
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
        details=error.details,
    )


def _error_json(error: WireError | None) -> Json:
    fields = {
        "message": error.message if error and error.message else "The step failed.",
        "code": error.code if error else None,
        "retryable": bool(error and error.retryable),
        "stack": error.stack if error else None,
        "details": error.details if error else None,
    }
    return msgspec.Raw(msgspec.json.encode({name: value for name, value in fields.items() if value not in (None, "")}))


def _yield(content: contract.StepYielded, now: Millis) -> Yield:
    if content.sleep is not None:
        return Yield(type="sleep", step_id=content.step_id, until=content.sleep.until)
    if content.wait_event is not None:
        wait = content.wait_event
        left_ms = max(to_millis(wait.timeout) - now, 1) if wait.timeout is not None else None
        wanted = EventFilter(
            event=wait.event_name,
            match=wait.match_expression,
            match_value=wait.match_value or None,
            payload=msgspec.Raw(wait.payload_json) if wait.payload_json else None,
            timeout=f"{left_ms}ms" if left_ms is not None else "7d",
            look_back=wait.look_back,
        )
        return Yield(type="wait_for_event", step_id=content.step_id, event_filter=wanted)
    invoke = content.invoke_function or content.invoke_function_async
    if invoke is None:
        raise InvalidFrame(f"Step {content.step_id[:80]!r} yields without a reason.")
    timeout_ms = invoke.invoke_timeout_ms if isinstance(invoke, contract.InvokeYield) else 0
    return Yield(
        type="invoke_function" if isinstance(invoke, contract.InvokeYield) else "invoke_function_async",
        step_id=content.step_id,
        function_id=invoke.function_id,
        input=msgspec.Raw(invoke.input_json) if invoke.input_json else None,
        invoke_timeout_ms=timeout_ms if timeout_ms > 0 else INVOKE_TIMEOUT_MS,
    )
