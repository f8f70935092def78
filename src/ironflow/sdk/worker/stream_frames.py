"""The frames of a streaming worker and its server, as JSON. Source: protocol/worker-stream.md 2, 3 and 4.

A server that has batches (ADR 0027) takes the reports of polling workers; for others they become the protocol's frames.
"""

import base64
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from ironflow.base.duration import duration_ms
from ironflow.base.errors import Internal
from ironflow.base.spelling import camel
from ironflow.sdk.durable.job.assignment import Assignment, CompletedStep, JobContext, JobEvent
from ironflow.sdk.durable.job.report import (
    InvokeFunction,
    InvokeFunctionAsync,
    JobUpdate,
    Rest,
    RunFailure,
    Sleep,
    StartedStep,
    StepFailure,
    StepRow,
    WaitForEvent,
    YieldedStep,
)
from ironflow.sdk.values.payload import NOTHING, Raw

Frame = dict[str, Any]

# msgspec has no union with Raw, so an absent value is an empty one.
ABSENT = Raw(b"")
STEP_FAILED = "STEP_FAILED"
LOST = ("LEASE_STATE_STALE", "LEASE_STATE_UNKNOWN")

_encode = msgspec.json.Encoder().encode


def envelope(frame: Frame) -> bytes:
    text = _encode(frame)
    return b"\0" + len(text).to_bytes(4, "big") + text


# Frames from the server. Own structs, so that every server of the protocol can be read.


class Registered(msgspec.Struct, rename=camel):
    heartbeat_interval_ms: int = 0
    batches: bool = False


class Batch(msgspec.Struct):
    body: Raw


class Verdicts(msgspec.Struct):
    body: Raw
    number: int = 0


class Cancel(msgspec.Struct, rename=camel):
    """control: as `Verdict.control`; empty for a job that is the worker's no more."""

    job_id: str
    reason: str = ""
    control: str = ""


class Shutdown(msgspec.Struct):
    reason: str = ""


class Segment(msgspec.Struct, rename=camel):
    run_id: str = ""
    execution_seq: int = 0
    state: str = ""

    @property
    def lost(self) -> bool:
        return self.state in LOST


class LeaseRefresh(msgspec.Struct):
    segments: list[Segment] = []


class ServerFrame(msgspec.Struct, rename=camel):
    """A frame of the server: one of these, or something newer."""

    registered: Registered | None = None
    job: Raw = ABSENT
    jobs: Batch | None = None
    verdicts: Verdicts | None = None
    cancel: Cancel | None = None
    shutdown: Shutdown | None = None
    lease_refresh: LeaseRefresh | None = None


# Connect JSON carries 64-bit integers as texts.
_decode_server_frame = msgspec.json.Decoder(ServerFrame, strict=False).decode


def read_server_frame(text: bytes) -> ServerFrame:
    """Raises Internal for what is no frame."""
    try:
        return _decode_server_frame(text)
    except msgspec.MsgspecError as fault:
        raise Internal(f"The server's frame cannot be understood: {fault}") from fault


class _Event(msgspec.Struct, rename=camel):
    id: str
    name: str
    timestamp: datetime
    data: Raw = ABSENT
    data_value: Raw = ABSENT
    version: int = 1
    source: str = ""
    idempotency_key: str = ""
    metadata: Any = None
    emitted_by: str = ""
    entity_id: str = ""
    entity_type: str = ""
    entity_version: int = 0


class _Step(msgspec.Struct, rename=camel):
    step_id: str
    name: str = ""
    output: Raw = ABSENT
    output_value: Raw = ABSENT
    output_json: str = ""
    status: str = ""
    error_json: str = ""


class _Context(msgspec.Struct):
    secrets: dict[str, str] = {}
    metadata: Any = None


class _Job(msgspec.Struct, rename=camel):
    job_id: str
    run_id: str
    function_id: str
    event: _Event
    execution_seq: int
    lease_token: str
    completed_steps: list[_Step] = []
    attempt: int = 1
    max_attempts: int = 0
    on_exhausted: str = "fail"
    context: _Context | None = None


_read_job = msgspec.json.Decoder(_Job, strict=False).decode


def read_job(text: Raw) -> Assignment:
    """The job in a `job` frame. Raises Internal for what cannot be read."""
    try:
        job = _read_job(text)
        return Assignment(
            job_id=job.job_id,
            run_id=job.run_id,
            function_id=job.function_id,
            event=_event(job.event),
            execution_seq=job.execution_seq,
            lease_token=job.lease_token,
            attempt=job.attempt,
            completed_steps=[_completed(step) for step in job.completed_steps],
            max_attempts=job.max_attempts,
            on_exhausted=job.on_exhausted or "fail",
            context=JobContext(secrets=job.context.secrets, metadata=job.context.metadata)
            if job.context is not None
            else None,
        )
    except (msgspec.MsgspecError, ValueError) as fault:
        raise Internal(f"A job cannot be understood: {fault}") from fault


def _event(event: _Event) -> JobEvent:
    return JobEvent(
        id=event.id,
        name=event.name,
        data=_value(event.data, event.data_value),
        timestamp=event.timestamp,
        version=event.version or 1,
        source=event.source or None,
        idempotency_key=event.idempotency_key or None,
        metadata=event.metadata,
        emitted_by=event.emitted_by or None,
        entity_id=event.entity_id or None,
        entity_type=event.entity_type or None,
        entity_version=event.entity_version or None,
    )


def _completed(step: _Step) -> CompletedStep:
    exact = _json_in(step.output_json)
    error = _json_in(step.error_json)
    return CompletedStep(
        step_id=step.step_id,
        name=step.name,
        output=exact or _value(step.output, step.output_value),
        status=step.status or None,
        error=msgspec.json.decode(error) if error is not None else None,
    )


def _value(value: Raw, other: Raw) -> Raw:
    """An object is in the first of a pair of fields, any other JSON in the second."""
    return next((each for each in (other, value) if bytes(each)), NOTHING)


def _json_in(text: str) -> Raw | None:
    """JSON in a field of bytes, which Connect JSON carries as base64."""
    return Raw(base64.b64decode(text)) if text else None


# Frames from the worker.


def fence(job: Assignment) -> Frame:
    return {"jobId": job.job_id, "executionSeq": str(job.execution_seq), "leaseToken": job.lease_token}


def fence_with_run(job: Assignment) -> Frame:
    return fence(job) | {"runId": job.run_id}


def heartbeat(worker_id: str, jobs: Iterable[tuple[Assignment, datetime]]) -> Frame:
    """jobs: with the moments at which they were taken."""
    held = [fence_with_run(job) | {"startedAt": since} for job, since in jobs]
    return {"heartbeat": {"workerId": worker_id, "activeJobs": len(held), "jobs": held}}


def step_started(job: Assignment, row: StepRow | StartedStep) -> Frame:
    step_type = f"STEP_TYPE_{row.type.upper()}"
    return {"stepStarted": fence(job) | {"stepId": row.id, "name": row.name, "stepType": step_type}}


def frames_of(job: Assignment, update: JobUpdate, compensations: Sequence[StepRow], now: datetime) -> list[Frame]:
    """A report as the protocol's frames. compensations: sent in the frame of a failure only.

    now: what timeouts of waits count from.
    """
    frames: list[Frame] = []
    if not isinstance(update.started, UnsetType):
        frames += [step_started(job, each) for each in update.started]
    for row in update.steps:
        # The name of a step is in its first frame only.
        frames += [step_started(job, row), _step_ended(job, row)]
    if update.status == "completed":
        frames.append({"jobCompleted": fence(job) | _either("output", update.output)})
    elif not isinstance(update.error, UnsetType):
        steps = [_executed(row) for row in compensations]
        frames.append({"jobFailed": fence(job) | {"error": _run_error(update.error), "steps": steps}})
    elif not isinstance(update.yielded, UnsetType):
        step = update.yielded
        frames.append({"stepYielded": fence(job) | {"stepId": step.step_id} | _waits_for(step, now)})
    return frames


def _step_ended(job: Assignment, row: StepRow) -> Frame:
    frame = fence(job) | {"stepId": row.id, "durationMs": row.duration_ms}
    if row.status == "failed":
        return {"stepFailed": frame | {"error": _step_error(row.error)}}
    return {"stepCompleted": frame | _either("output", row.output)}


def _executed(row: StepRow) -> Frame:
    frame: Frame = {
        "id": row.id,
        "name": row.name,
        "type": row.type,
        "status": row.status,
        "durationMs": row.duration_ms,
    }
    if not isinstance(row.compensation_for, UnsetType):
        frame["compensationFor"] = row.compensation_for
    return frame | ({"error": _step_error(row.error)} if row.status == "failed" else _either("output", row.output))


def _either(name: str, value: Raw | UnsetType) -> Frame:
    text = bytes(value) if not isinstance(value, UnsetType) else b"null"
    return {name if text.lstrip()[:1] == b"{" else f"{name}Value": Raw(text)}


def _step_error(error: StepFailure | UnsetType) -> Frame:
    if isinstance(error, UnsetType):
        return {"message": "", "code": STEP_FAILED, "retryable": False}
    code = STEP_FAILED if isinstance(error.code, UnsetType) else error.code
    return _present(
        message=error.message, code=code, retryable=error.retryable, stack=error.stack, details=error.details
    )


def _run_error(error: RunFailure) -> Frame:
    after_ms = UNSET if isinstance(error.retry_after_ms, UnsetType) else str(error.retry_after_ms)
    return _present(
        message=error.message,
        code=error.code,
        retryable=error.retryable,
        stack=error.stack,
        retryAfterMs=after_ms,
        details=error.details,
    )


def _waits_for(step: YieldedStep, now: datetime) -> Frame:
    match step:
        case Sleep():
            return {"sleep": {"until": step.until}}
        case WaitForEvent():
            wanted = step.event_filter
            return {
                "waitEvent": _present(
                    eventName=wanted.event,
                    matchExpression=wanted.match,
                    matchValue=wanted.match_value,
                    timeout=now + timedelta(milliseconds=duration_ms(wanted.timeout)),
                    payloadJson=_in_bytes(wanted.payload),
                    lookBack=wanted.look_back,
                )
            }
        case InvokeFunction():
            return {
                "invokeFunction": {
                    "functionId": step.function_id,
                    "inputJson": _in_bytes(step.input),
                    "invokeTimeoutMs": str(step.invoke_timeout_ms),
                }
            }
        case InvokeFunctionAsync():
            return {"invokeFunctionAsync": {"functionId": step.function_id, "inputJson": _in_bytes(step.input)}}
        case Rest():
            raise ValueError("a server without batches has no retries of steps")
        case _:
            assert_never(step)


def _in_bytes(value: Raw | UnsetType) -> str | UnsetType:
    return value if isinstance(value, UnsetType) else base64.b64encode(bytes(value)).decode()


def _present(**fields: Any) -> Frame:
    return {name: value for name, value in fields.items() if value is not UNSET}
