"""What the client answers with, where a contract's message holds payloads: the same fields, payloads as plain values.

A view has exactly its message's field names; a test holds them together.
"""

from datetime import datetime
from typing import Any, TypeVar

import msgspec

from ironflow.features.consumer_groups import contract as groups
from ironflow.features.controls import contract as controls
from ironflow.features.functions.contract import (
    CancelOnSpec,
    CircuitBreakerConfig,
    ConcurrencyConfig,
    DebounceConfig,
    ExecutionMode,
    FunctionStatus,
    RetryConfig,
    ThrottleConfig,
    Trigger,
)
from ironflow.features.runs.contract import RunStatus, StepStatus, StepType
from ironflow.features.schemas import contract as schemas
from ironflow.features.streams.contract import HistoryRun
from ironflow.sdk.payload import from_json_text, from_payload


class View(msgspec.Struct, kw_only=True, frozen=True):
    """Base of the views."""


class Failure(View, kw_only=True, frozen=True):
    """Why a run, a step or an item of a batch failed."""

    message: str
    code: str | None = None
    stack: str | None = None
    retryable: bool = False
    details: Any = None
    retry_after_ms: int | None = None


class Run(View, kw_only=True, frozen=True):
    """One run of a function. attempt counts from 1 within max_attempts; state is the engine's own word for status."""

    id: str
    function_id: str
    event_id: str
    execution_mode: ExecutionMode | None = None
    worker_id: str | None = None
    actor_id: str | None = None
    input: Any = None
    output: Any = None
    error: Failure | None = None
    status: RunStatus
    attempt: int
    max_attempts: int
    started_at: datetime | None = None
    ended_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    pause_requested: bool = False
    pause_reason: str = ""
    function_version: int = 1
    resume_from_step: str | None = None
    parent_run_id: str | None = None
    parent_step_id: str | None = None
    timeout_at: datetime | None = None
    environment_id: str = "default"
    version: int = 1
    claimed_by: str | None = None
    claimed_at: datetime | None = None
    cancellation_cause: str | None = None
    event_name: str | None = None
    state: str | None = None
    next_attempt_at: datetime | None = None


class Step(View, kw_only=True, frozen=True):
    """One recorded step of a run; sequence is its order within the run."""

    id: str
    run_id: str
    step_id: str
    step_type: StepType
    sequence: int
    status: StepStatus
    input: Any = None
    output: Any = None
    error: Failure | None = None
    attempt: int = 1
    duration_ms: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    original_output: Any = None
    patched_at: datetime | None = None
    patched_by: str | None = None
    compensation_for: str | None = None
    duration_ms_full: int | None = None
    sleep_until: datetime | None = None
    wait_event_name: str | None = None
    wait_timeout: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    stored_status: str | None = None
    child_run_id: str | None = None
    name: str = ""


class PausedStep(View, kw_only=True, frozen=True):
    """A finished step of a run. id: the row's, to be given to inject and patch_step. error: as it was recorded."""

    id: str
    name: str
    output: Any = None
    injected: bool = False
    completed_at: datetime | None = None
    step_type: str = ""
    status: str = ""
    error: Any = None


class PausedState(View, kw_only=True, frozen=True):
    """What a run has finished so far. next_step_hint: the name of the step that comes next, if it is known."""

    steps: list[PausedStep]
    next_step_hint: str = ""
    pause_reason: str = ""


class StepState(View, kw_only=True, frozen=True):
    """A step of a recorded run at a moment. original_output: what it was before somebody replaced it."""

    id: str
    step_id: str
    name: str
    type: str
    sequence: int
    status: str
    attempt: int
    output: Any = None
    error: Failure | None = None
    original_output: Any = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    injected: bool = False
    patched: bool = False
    patched_by: str | None = None
    compensation_for: str | None = None
    sleep_until: datetime | None = None
    wait_event_name: str | None = None
    wait_timeout: datetime | None = None
    child_run_id: str | None = None


class RunState(View, kw_only=True, frozen=True):
    """A recorded run and its steps at a moment: all that had been recorded by then, and nothing later.

    status: as for a Run; state: the engine's own word with its reason.
    """

    run_id: str
    function_id: str
    function_version: int
    code_hash: str | None = None
    recording: str
    status: str
    state: str
    pause_reason: str = ""
    attempt: int
    max_attempts: int
    event_id: str
    event_name: str
    input: Any = None
    output: Any = None
    error: Failure | None = None
    cancellation_cause: str | None = None
    worker_id: str | None = None
    parent_run_id: str | None = None
    next_at: datetime | None = None
    steps: list[StepState]
    timestamp: datetime
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None


class StepOutput(View, kw_only=True, frozen=True):
    """The output that a step had at a moment. original_output: what it was before somebody replaced it."""

    step_id: str
    status: str
    output: Any = None
    original_output: Any = None
    patched: bool = False
    injected: bool = False
    timestamp: datetime


class AuditEvent(View, kw_only=True, frozen=True):
    """One thing that happened to a run. payload: what there is to tell, by event_type; metadata: its `actor`."""

    id: str
    run_id: str
    function_id: str
    step_id: str | None = None
    event_type: str
    payload: Any
    metadata: dict[str, str] | None = None
    created_at: datetime
    environment_id: str


class RunResult(View, kw_only=True, frozen=True):
    """How a run ended, or where it was when the wait timed out."""

    run_id: str
    function_id: str
    status: RunStatus
    output: Any = None
    error: Failure | None = None
    duration_ms: int = 0
    wait_timed_out: bool = False


class Event(View, kw_only=True, frozen=True):
    """A recorded event. position: its place in the global order of the log. entity_...: of streams' events only."""

    id: str
    name: str
    data: Any
    idempotency_key: str | None = None
    source: str = ""
    timestamp: datetime
    metadata: Any = None
    version: int = 1
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None
    emitted_by: str | None = None
    created_at: datetime
    processed: bool = True
    run_id: str | None = None
    namespace: str = "default"
    position: int = 0
    imported_at: datetime | None = None


class StreamEvent(View, kw_only=True, frozen=True):
    """One event of an entity's stream. entity_version: its place there, from 1; version: of its schema."""

    id: str
    name: str
    data: Any
    entity_version: int
    version: int = 1
    timestamp: datetime
    source: str = ""
    metadata: Any = None
    environment_id: str = "default"
    idempotency_key: str | None = None
    processed: bool = True
    run_id: str | None = None
    created_at: datetime
    entity_id: str
    entity_type: str
    nats_seq: int = 0
    emitted_by: str | None = None


class HistoryEntry(View, kw_only=True, frozen=True):
    """One event of an entity's stream with the runs that it started. schema_version: of the event's data."""

    event_id: str
    event_name: str
    event_data: Any
    entity_version: int
    schema_version: int = 1
    source: str = ""
    timestamp: datetime
    runs: list[HistoryRun] = []


class Snapshot(View, kw_only=True, frozen=True):
    """What an entity was after entity_version, as its writer saw it."""

    snapshot_id: str
    entity_id: str
    entity_type: str
    entity_version: int
    state: Any
    created_at: datetime


class ConsumerGroup(View, kw_only=True, frozen=True):
    """A consumer group. position and what follows it are told of one group, not in lists.

    lag: events it has not begun, counted up to 10,000. in_flight: with members. waiting: to be delivered again.
    """

    id: str = ""
    namespace: str = "default"
    name: str = ""
    pattern: str = ""
    filter_expr: str = ""
    ack_mode: groups.AckMode = groups.AckMode.AUTO
    backpressure: groups.BackpressureMode = groups.BackpressureMode.BUFFER
    max_inflight: int = 0
    max_redeliveries: int = 0
    redeliver_delay_ms: int = 0
    metadata: Any = None
    status: groups.GroupStatus = groups.GroupStatus.ACTIVE
    member_count: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    position: int | None = None
    lag: int | None = None
    in_flight: int | None = None
    waiting: int | None = None
    dead_letters: int | None = None
    dropped: int | None = None


class DeadLetter(View, kw_only=True, frozen=True):
    """An event that a group delivers no more. data: None when the log has lost the event."""

    event_id: str
    sequence: int
    topic: str
    reason: str
    attempts: int
    dead_at: datetime
    data: Any = None


class EventWithRuns(Event, kw_only=True, frozen=True):
    """run_ids: the runs that it started, oldest first."""

    run_ids: list[str] = []


class ProjectionState(View, kw_only=True, frozen=True):
    """The state of a projection's partition, and how the projection stands.

    last_event_seq: the projection's cursor. state: None before the first save. state_seq, state_event_id,
    state_event_time: of the last event in the state. version: how often the partition was saved.
    """

    name: str
    partition: str
    mode: str
    status: str
    last_event_seq: int
    error_message: str | None = None
    state: Any = None
    state_seq: int = 0
    state_event_id: str = ""
    state_event_time: datetime | None = None
    version: int = 0


class Function(View, kw_only=True, frozen=True):
    """A registered function. version rises when its configuration changes."""

    id: str
    name: str
    description: str = ""
    triggers: list[Trigger] = []
    retry: RetryConfig | None = None
    timeout_ms: int = 0
    concurrency: ConcurrencyConfig | None = None
    preferred_mode: ExecutionMode = ExecutionMode.PULL
    endpoint_url: str = ""
    actor_key: str = ""
    status: FunctionStatus = FunctionStatus.ACTIVE
    version: int = 1
    created_at: datetime
    updated_at: datetime
    recording: bool = False
    recording_retention: str = ""
    pause_behavior: str = ""
    metadata: dict[str, Any] = {}
    debounce: DebounceConfig | None = None
    compensate_on_cancel: bool = False
    cancel_on: list[CancelOnSpec] = []
    recording_profile: str = ""
    next_run: datetime | None = None
    circuit_breaker: CircuitBreakerConfig | None = None
    throttle: ThrottleConfig | None = None
    code_hash: str = ""


class Registered(View, kw_only=True, frozen=True):
    """A function as the server keeps it; created: whether it is new there."""

    function: Function
    created: bool


class Emitted(View, kw_only=True, frozen=True):
    """A stored event and the runs that it started. error: only in a batch, for an item that was not stored."""

    run_ids: list[str] = []
    event_id: str = ""
    error: Failure | None = None


class KeyChange(View, kw_only=True, frozen=True):
    """A change of a key. operation: `put`, or `delete`, also for a purge; value: the stored bytes, empty then."""

    key: str
    value: bytes
    revision: int
    operation: str

    def text(self) -> str:
        """The value as text. Raises UnicodeDecodeError when it is none."""
        return self.value.decode()

    def json(self) -> Any:
        """The value read as JSON. Raises msgspec.DecodeError when it is none."""
        return msgspec.json.decode(self.value)


class ConfigChange(View, kw_only=True, frozen=True):
    """A change of a config document. data: the whole document, None when it was deleted."""

    name: str
    data: Any = None
    revision: int


class ConfigDocument(View, kw_only=True, frozen=True):
    """A config document. revision: rises with each change of any document of the environment."""

    name: str
    data: Any = None
    revision: int
    updated_at: datetime


class Entry(View, kw_only=True, frozen=True):
    """One revision of a key. operation: `put` or `delete`; value: the stored bytes, empty on delete."""

    key: str
    value: bytes
    revision: int
    created_at: datetime
    operation: str

    def text(self) -> str:
        """The value as text. Raises UnicodeDecodeError when it is none."""
        return self.value.decode()

    def json(self) -> Any:
        """The value that the stored JSON stands for. Raises msgspec.DecodeError when it is none."""
        return msgspec.json.decode(self.value)


class EventSchema(View, kw_only=True, frozen=True):
    """The schema of one version of an event."""

    event_name: str
    version: int
    schema: Any
    description: str = ""
    created_at: datetime


V = TypeVar("V", bound=View)


def view(kind: type[V], message: msgspec.Struct) -> V:
    """`message` as its view: payloads decoded, messages within turned into the views that `kind` says."""
    values = {name: getattr(message, name) for name in kind.__struct_fields__}
    for name, value in values.items():
        if isinstance(value, msgspec.Raw):
            values[name] = from_payload(value)
        elif name in _INNER and value is not None:
            values[name] = view(_INNER[name], value)
        elif (kind, name) in _INNER_LISTS:
            values[name] = [view(_INNER_LISTS[kind, name], each) for each in getattr(message, name)]
        elif isinstance(value, dict):
            values[name] = {
                key: from_payload(each) if isinstance(each, msgspec.Raw) else each for key, each in value.items()
            }
    return kind(**values)


def paused_state(message: controls.PausedState) -> PausedState:
    """Outputs and errors are JSON texts in the message."""
    steps: list[PausedStep] = []
    for each in message.steps:
        values = {name: getattr(each, name) for name in PausedStep.__struct_fields__}
        steps.append(
            PausedStep(**values | {"output": from_json_text(each.output), "error": from_json_text(each.error)})
        )
    return PausedState(steps=steps, next_step_hint=message.next_step_hint, pause_reason=message.pause_reason)


def schema_view(message: schemas.Schema | schemas.SchemaInfo) -> EventSchema:
    """The schema is a JSON text in the message."""
    values = {name: getattr(message, name) for name in EventSchema.__struct_fields__}
    return EventSchema(**values | {"schema": from_json_text(message.schema_json)})


_INNER: dict[str, type[View]] = {"error": Failure, "function": Function}
_INNER_LISTS: dict[tuple[type[View], str], type[View]] = {(RunState, "steps"): StepState}
