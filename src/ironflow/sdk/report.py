"""What a worker tells the server of an execution: its steps and how it ended.

Source: protocol/worker-rest.md 8, protocol/step-semantics.md 2 to 6. This is the one place that knows how outcomes and
yields look on the wire. Fields that are UNSET are left out.
"""

from datetime import datetime

from msgspec import UNSET, Struct, UnsetType, field

from ironflow.sdk.payload import Raw


class StepFailure(Struct, kw_only=True):
    message: str
    retryable: bool
    stack: str | UnsetType = UNSET


class StepRow(Struct, kw_only=True):
    """A step that ran. type: `invoke` or `compensate`; status: `completed` with output, or `failed` with error."""

    id: str
    name: str
    type: str
    status: str
    started_at: datetime
    ended_at: datetime
    duration_ms: int
    output: Raw | UnsetType = UNSET
    error: StepFailure | UnsetType = UNSET
    compensation_for: str | UnsetType = UNSET


class Sleep(Struct, kw_only=True, tag_field="type", tag="sleep"):
    step_id: str
    step_name: str
    until: datetime


class EventFilter(Struct, kw_only=True):
    """match: a path or an expression; match_value: what is at the path; payload: shown to whoever is to answer."""

    event: str
    timeout: str
    match: str | UnsetType = UNSET
    match_value: str | UnsetType = UNSET
    look_back: str | UnsetType = UNSET
    payload: Raw | UnsetType = UNSET


class WaitForEvent(Struct, kw_only=True, tag_field="type", tag="wait_for_event"):
    step_id: str
    step_name: str
    event_filter: EventFilter


class InvokeFunction(Struct, kw_only=True, tag_field="type", tag="invoke_function"):
    step_id: str
    step_name: str
    function_id: str
    input: Raw
    invoke_timeout_ms: int


class InvokeFunctionAsync(Struct, kw_only=True, tag_field="type", tag="invoke_function_async"):
    step_id: str
    step_name: str
    function_id: str
    input: Raw


YieldedStep = Sleep | WaitForEvent | InvokeFunction | InvokeFunctionAsync


class RunFailure(Struct, kw_only=True):
    """Why an attempt failed. retry_after_ms: when to try again instead of the backoff."""

    message: str
    code: str
    retryable: bool
    retry_after_ms: int | UnsetType = UNSET
    stack: str | UnsetType = UNSET


class Completed(Struct, frozen=True):
    """The handler returned."""

    output: Raw


class Failed(Struct, frozen=True):
    """The handler raised."""

    error: RunFailure


class Yielded(Struct, frozen=True):
    """The handler waits for something that takes no worker."""

    step: YieldedStep


Outcome = Completed | Failed | Yielded


class JobUpdate(Struct, kw_only=True):
    """One report. job_id: only in a batch; step_offset: sequence of steps[0]."""

    job_id: str | UnsetType = UNSET
    status: str
    execution_seq: int
    lease_token: str
    steps: list[StepRow]
    step_offset: int
    output: Raw | UnsetType = UNSET
    error: RunFailure | UnsetType = UNSET
    yielded: YieldedStep | UnsetType = field(default=UNSET, name="yield")


def add_outcome(update: JobUpdate, outcome: Outcome) -> JobUpdate:
    """`update` as the last report of an execution."""
    match outcome:
        case Completed():
            update.status, update.output = "completed", outcome.output
        case Failed():
            update.status, update.error = "failed", outcome.error
        case Yielded():
            update.status, update.yielded = "yielded", outcome.step
    return update
