"""What can be asked of the past of a recorded run.

Source of shapes and numbers: protocol/connectrpc.json, protocol/connectrpc.md 5.6 and 6, behaviour.md 5. Where a client
sees two forms of one thing (bytes for generated readers, JSON for the others) the RPC sends both and REST only JSON.
"""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import FailedPrecondition, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.engine.errors import StepNotFound
from ironflow.features.runs.contract import CancelRequested, RunNotFound, WireError


class RunNotRecorded(FailedPrecondition):
    """The run has no recorded history. Register its function with recording on; its later runs have one."""

    code = "RUN_NOT_RECORDED"


class RecordingExpired(FailedPrecondition):
    """The run was recorded, and its function's recording_retention is over."""

    code = "RECORDING_EXPIRED"


class StepsNotRecorded(FailedPrecondition):
    """The function's recording_profile is run_lifecycle, which keeps no steps."""

    code = "STEPS_NOT_RECORDED"


class BeforeTheRun(NotFound):
    """The run did not exist yet at that time."""

    code = "BEFORE_THE_RUN"


class EntryNotFound(NotFound):
    """The run's timeline has no such entry."""

    code = "TIMELINE_ENTRY_NOT_FOUND"


class GetRunStateAt(Message, kw_only=True):
    """timestamp: the moment, to the millisecond; absent for now.

    entry (ours): id of an entry of the timeline, for the run just after it; then timestamp is not read.
    """

    run_id: Annotated[str, field(1, also=("id",))]
    timestamp: Annotated[datetime, field(2, also=("at",))] | None = None
    entry: Annotated[str, field(100)] = ""


class StepSnapshot(Message, kw_only=True):
    """A step at that moment, for generated readers. output, error, original_output: JSON as bytes, empty for none."""

    step_id: Annotated[str, field(1)]
    name: Annotated[str, field(2)]
    type: Annotated[str, field(3)]
    sequence: Annotated[int, field(4)]
    status: Annotated[str, field(5)]
    output: Annotated[bytes, field(6)] = b""
    error: Annotated[bytes, field(7)] = b""
    original_output: Annotated[bytes, field(8)] = b""
    started_at: Annotated[datetime, field(9)] | None = None
    completed_at: Annotated[datetime, field(10)] | None = None
    duration_ms: Annotated[int, field(11)] = 0
    injected: Annotated[bool, field(12)] = False
    patched: Annotated[bool, field(13)] = False


class RunSnapshot(Message, kw_only=True):
    """A run at that moment, for generated readers. input: JSON as bytes. timestamp: the moment asked for."""

    run_id: Annotated[str, field(1)]
    function_id: Annotated[str, field(2)]
    status: Annotated[str, field(3)]
    input: Annotated[bytes, field(4)] = b""
    steps: Annotated[list[StepSnapshot], field(5)]
    timestamp: Annotated[datetime, field(6)]
    created_at: Annotated[datetime, field(7)]


class StepState(Message, kw_only=True):
    """A step at that moment. id: the row's; step_id: the SDK's.

    original_output: what it was before it was injected or patched. output: null before there is one. source: where the
    handler calls it, as FILE:LINE.
    """

    id: str
    step_id: str
    name: str
    type: str
    sequence: int
    status: str
    attempt: int
    output: Json
    error: WireError | None = None
    original_output: Json | None = None
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
    source: str | None = None


class RunState(Message, kw_only=True):
    """A run at that moment: all that had been recorded by then, and nothing later.

    status: as clients see it; state: the engine's own status with its reason. code_hash: of the function version that
    the run was created with. next_at: when it would have gone on by itself. values: that it had set. restarted_from,
    restarted_as: as of a run.
    """

    snapshot: Annotated[RunSnapshot, field(1, only="rpc")] | None = None
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
    input: Json | None = None
    output: Json | None = None
    error: WireError | None = None
    cancellation_cause: str | None = None
    worker_id: str | None = None
    parent_run_id: str | None = None
    next_at: datetime | None = None
    values: dict[str, Json] | None = None
    restarted_from: str | None = None
    restarted_as: str | None = None
    cancel_requested: CancelRequested | None = None
    steps: list[StepState]
    timestamp: datetime
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None


class GetRunTimeline(Message, kw_only=True):
    """limit 0 means all of it, up to 10,000 entries; cursor continues after that many."""

    run_id: Annotated[str, field(1, also=("id",))]
    limit: Annotated[int, field(ge=0, le=10_000)] = 0
    cursor: str = ""


class TimelineEvent(Message, kw_only=True):
    """One thing that happened. step_id: the SDK's, empty when it is about the run. significant: a milestone.

    timestamp: when it was recorded; of `step.started`, when the body began.
    failed (ours): a step, an attempt or the run failed. source (ours): where the handler calls the step, as FILE:LINE.
    """

    id: Annotated[str, field(1)]
    event_type: Annotated[str, field(2)]
    step_id: Annotated[str, field(3)] = ""
    step_name: Annotated[str, field(4)] = ""
    summary: Annotated[str, field(5)]
    significant: Annotated[bool, field(6)]
    timestamp: Annotated[datetime, field(7)]
    failed: Annotated[bool, field(100)] = False
    source: Annotated[str, field(101)] = ""


class RunTimeline(Message, kw_only=True):
    events: Annotated[list[TimelineEvent], field(1)]
    next_cursor: str | None = None


class GetStepOutputAt(Message, kw_only=True):
    """step_id: row id, SDK step id or name. timestamp: the moment; absent for now."""

    run_id: Annotated[str, field(1, also=("id",))]
    step_id: Annotated[str, field(2, also=("step",))]
    timestamp: Annotated[datetime, field(3, also=("at",))] | None = None


class StepOutputBytes(Message, kw_only=True):
    """output, original_output: JSON as bytes, empty for none. patched and injected: whether a person replaced it."""

    step_id: Annotated[str, field(1)]
    status: Annotated[str, field(2)]
    output: Annotated[bytes, field(3)] = b""
    original_output: Annotated[bytes, field(4)] = b""
    patched: Annotated[bool, field(5)] = False
    injected: Annotated[bool, field(6)] = False
    timestamp: datetime


class StepOutput(Message, kw_only=True):
    """As StepOutputBytes, with the outputs as JSON: null for none, original_output absent when never replaced."""

    step_id: str
    status: str
    output: Json
    original_output: Json | None = None
    patched: bool = False
    injected: bool = False
    timestamp: datetime


_PAST = (RunNotFound, RunNotRecorded, RecordingExpired, BeforeTheRun)

state_at = operation(
    "time_travel.state_at", GetRunStateAt, RunState,
    rest="GET /api/v1/runs/{run_id}/state", rpc="TimeTravelService/GetRunStateAt",
    scope="runs:read", errors=(*_PAST, EntryNotFound),
    doc="A recorded run and its steps as they were at a moment, or just after an entry of its timeline.",
)  # fmt: skip
timeline = operation(
    "time_travel.timeline", GetRunTimeline, RunTimeline,
    rest="GET /api/v1/runs/{run_id}/timeline", rpc="TimeTravelService/GetRunTimeline",
    scope="runs:read", errors=(RunNotFound, RunNotRecorded, RecordingExpired),
    doc="What happened to a recorded run, in the order of time.",
)  # fmt: skip
step_output = operation(
    "time_travel.step_output", GetStepOutputAt, StepOutput,
    rest="GET /api/v1/runs/{run_id}/steps/{step_id}/output",
    scope="runs:read", errors=(*_PAST, StepsNotRecorded, StepNotFound),
    doc="The output that a step of a recorded run had at a moment.",
)  # fmt: skip
step_output_at = operation(
    "time_travel.step_output_at", GetStepOutputAt, StepOutputBytes,
    rpc="TimeTravelService/GetStepOutputAt",
    scope="runs:read", errors=(*_PAST, StepsNotRecorded, StepNotFound),
    doc="The output that a step of a recorded run had at a moment, as bytes.",
)  # fmt: skip
