"""The push exchange as an endpoint reads and writes it. Source: protocol/rest.md 6.

Own structs and not the contract's, because every server that speaks that page must be readable: what is optional there
may be missing or null here. What is ours comes under `ironflow`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from ironflow.base.errors import InvalidArgument, ValidationError
from ironflow.base.trace_context import TraceContext
from ironflow.sdk.durable.job.assignment import Assignment, CompletedStep, JobContext, JobEntity, JobEvent
from ironflow.sdk.durable.job.report import (
    ChangedState,
    JobUpdate,
    Restart,
    RunFailure,
    SetValue,
    StartFunction,
    StepRow,
    YieldedStep,
    report_json,
)
from ironflow.sdk.durable.run_logs import LogLine
from ironflow.sdk.values.payload import NOTHING, Raw

_START = datetime(1970, 1, 1, tzinfo=UTC)


class InvalidJson(InvalidArgument):
    """The body of a push request is not JSON."""

    code = "INVALID_JSON"


class _Event(Struct, kw_only=True):
    id: str
    name: str
    data: Raw = NOTHING
    timestamp: datetime | None = None
    version: int | None = None
    source: str | None = None
    idempotency_key: str | None = None
    metadata: Any = None
    emitted_by: str | None = None
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None


class _Step(Struct, kw_only=True):
    """error: JSON as text, or JSON."""

    id: str
    name: str = ""
    status: str = "completed"
    output: Raw = NOTHING
    error: Any = None
    type: str | None = None
    ended_at: datetime | None = None
    attempt: int | None = None
    progress: Any = None
    handler_at: datetime | None = None


class Callback(Struct, kw_only=True):
    """Where steps are recorded, and the fence. budget_ms: how long the server waits for the answer.

    features: what the server has besides, as it announces them to workers.
    """

    url: str
    job_id: str
    execution_seq: int
    lease_token: str
    step_sequence_base: int = 0
    environment: str = ""
    budget_ms: int = 0
    compensating: Any = None
    features: list[str] = []
    run_started_at: datetime | None = None
    function_version: int = 0
    log_level: str = ""
    entity: JobEntity | None = None


class Request(Struct, kw_only=True):
    """One execution."""

    run_id: str
    function_id: str
    event: _Event
    attempt: int | None = None
    max_attempts: int | None = None
    on_exhausted: str | None = None
    steps: list[_Step] | None = None
    secrets: dict[str, str] | None = None
    ironflow: Callback | None = None

    def assignment(self, trace: TraceContext | None = None) -> Assignment:
        """The same as a worker gets it. Without a call back the fence is empty: the answer is the only report.

        trace: what the headers name.
        """
        fence, event = self.ironflow, self.event
        return Assignment(
            job_id=fence.job_id if fence is not None else "",
            run_id=self.run_id,
            function_id=self.function_id,
            event=JobEvent(
                id=event.id,
                name=event.name,
                data=event.data,
                timestamp=event.timestamp or _START,
                version=event.version or 1,
                source=event.source,
                idempotency_key=event.idempotency_key,
                metadata=event.metadata,
                emitted_by=event.emitted_by,
                entity_id=event.entity_id,
                entity_type=event.entity_type,
                entity_version=event.entity_version,
            ),
            execution_seq=fence.execution_seq if fence is not None else 0,
            lease_token=fence.lease_token if fence is not None else "",
            attempt=self.attempt or 1,
            completed_steps=[
                CompletedStep(
                    step_id=step.id,
                    name=step.name,
                    output=step.output,
                    status=None if step.status == "completed" else step.status,
                    error=_error_of(step.error),
                    type=step.type,
                    ended_at=step.ended_at,
                    attempt=step.attempt,
                    progress=step.progress,
                    handler_at=step.handler_at,
                )
                for step in self.steps or ()
            ],
            step_sequence_base=fence.step_sequence_base if fence is not None else 0,
            max_attempts=self.max_attempts or 0,
            on_exhausted=self.on_exhausted or "fail",
            context=JobContext(secrets=self.secrets or {}, metadata=trace.fields() if trace is not None else None),
            compensating=fence.compensating if fence is not None else None,
            run_started_at=fence.run_started_at if fence is not None else None,
            function_version=fence.function_version if fence is not None else 0,
            log_level=fence.log_level if fence is not None else "",
            entity=fence.entity if fence is not None else None,
        )


class PushAnswer(Struct, kw_only=True):
    """status: completed, yielded or failed.

    Ours: yields and what comes after it.
    """

    status: str
    steps: list[StepRow]
    result: Raw | UnsetType = UNSET
    yielded: YieldedStep | UnsetType = field(default=UNSET, name="yield")
    error: RunFailure | UnsetType = UNSET
    yields: Sequence[YieldedStep | StartFunction] | UnsetType = UNSET
    cancels: Sequence[str] | UnsetType = UNSET
    caused_by: tuple[str, ...] | UnsetType = UNSET
    uncompensated: bool | UnsetType = UNSET
    uncompensated_steps: Sequence[str] | UnsetType = UNSET
    unasked_steps: Sequence[str] | UnsetType = UNSET
    step_offset: int | UnsetType = UNSET
    job_id: str | UnsetType = UNSET
    logs: Sequence[LogLine] | UnsetType = UNSET
    values: Sequence[SetValue] | UnsetType = UNSET
    state: ChangedState | UnsetType = UNSET
    restart: Restart | UnsetType = UNSET


_read = msgspec.json.Decoder(Request).decode


def read_request(body: bytes) -> Request:
    """Raises InvalidJson, and ValidationError for JSON that is no push request."""
    try:
        return _read(body)
    except msgspec.ValidationError as fault:
        raise ValidationError(f"The body is no push request: {fault}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise InvalidJson(f"The body is not JSON: {fault}.") from None


def answer_of(update: JobUpdate, job: Assignment) -> bytes:
    """The body that answers an execution with its last report. Raises SerializationError."""
    ours = bool(job.job_id)
    return report_json(
        PushAnswer(
            status=update.status,
            steps=update.steps,
            result=update.output,
            yielded=update.yielded,
            error=update.error,
            yields=update.yields,
            cancels=update.cancels,
            caused_by=update.caused_by,
            uncompensated=update.uncompensated,
            uncompensated_steps=update.uncompensated_steps if ours else UNSET,
            unasked_steps=update.unasked_steps if ours else UNSET,
            step_offset=update.step_offset if ours else UNSET,
            job_id=job.job_id if ours else UNSET,
            logs=update.logs if ours else UNSET,
            values=update.values if ours else UNSET,
            state=update.state if ours else UNSET,
            restart=update.restart,
        )
    )


def _error_of(error: Any) -> Any:
    if not isinstance(error, str):
        return error
    try:
        return msgspec.json.decode(error)
    except msgspec.DecodeError:
        return {"message": error}
