"""Runs and their steps, now and as they were."""

from datetime import datetime
from typing import Any

from ironflow.features.controls import contract as controls
from ironflow.features.functions.contract import ExecutionMode
from ironflow.features.runs.contract import RunStatus, StepStatus, StepType, step_kind
from ironflow.sdk.client.views.base import Failure, View
from ironflow.sdk.values.payload import from_json_text


class CancelRequested(View, kw_only=True, frozen=True):
    """Of a run that is undone before it is cancelled: when that was asked for, and why."""

    at: datetime
    reason: str


class Run(View, kw_only=True, frozen=True):
    """One run of a function. attempt counts from 1 within max_attempts; state is the engine's status.

    cancel_requested: its state is `cancelling` until its compensations have run, and its status `running`.
    paused_by, pause_note: the principal or bulk job that has paused it or asked for that, and the reason given; None
    once it goes on.
    unasked_steps: names of recorded steps that the handler no longer asks for: its code has changed since.
    restarted_from, restarted_as: the run that restarted as this one, and the one that this restarted as. Runs that
    follow one another so are a chain: first_run_id: of its first link; link: how many links came before.
    advice: what to change in the handler of a run that has grown long.
    """

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
    unasked_steps: list[str] | None = None
    key: str | None = None
    values: dict[str, Any] | None = None
    restarted_from: str | None = None
    restarted_as: str | None = None
    first_run_id: str | None = None
    link: int | None = None
    advice: str | None = None
    paused_by: str | None = None
    pause_note: str | None = None
    cancel_requested: CancelRequested | None = None


class StepAttempt(View, kw_only=True, frozen=True):
    """An attempt of a step that failed."""

    attempt: int
    error: Failure
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Step(View, kw_only=True, frozen=True):
    """One recorded step of a run; sequence is its order within the run. step_type: as the server writes it.

    max_attempts: of a step with a retry of its own, whose attempts `attempt` counts; sleep_until: also when the next of
    them is due. attempts: the last 20 that failed. progress: what its body showed last.
    """

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
    max_attempts: int | None = None
    attempts: list[StepAttempt] | None = None
    progress: Any = None
    handler_at: datetime | None = None
    source: str | None = None
    name: str = ""

    @property
    def kind(self) -> str:
        """The method of `ctx.step` that made it: `run`, `sleep`, `wait_for_event`, `invoke` or `compensate`."""
        return self.step_type.kind


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

    @property
    def kind(self) -> str:
        """As of `Step`."""
        return step_kind(self.step_type)


class PausedState(View, kw_only=True, frozen=True):
    """What a run has finished so far. next_step_hint: the name of the step that comes next, if it is known."""

    steps: list[PausedStep]
    next_step_hint: str = ""
    pause_reason: str = ""


class StepState(View, kw_only=True, frozen=True):
    """A step of a recorded run at a moment. original_output: what it was before it was replaced."""

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
    source: str | None = None


class RunState(View, kw_only=True, frozen=True):
    """A recorded run and its steps at a moment: all that had been recorded by then, and nothing later.

    status: as for a Run; state: the engine's status with its reason.
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
    values: dict[str, Any] | None = None
    restarted_from: str | None = None
    restarted_as: str | None = None
    cancel_requested: CancelRequested | None = None
    steps: list[StepState]
    timestamp: datetime
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None


class RunValue(View, kw_only=True, frozen=True):
    """A value that a run has set. version: rises with each change. run_ended: it changes no more."""

    run_id: str
    name: str
    value: Any
    version: int
    updated_at: datetime
    run_ended: bool = False


class StepOutput(View, kw_only=True, frozen=True):
    """The output that a step had at a moment. original_output: what it was before it was replaced."""

    step_id: str
    status: str
    output: Any = None
    original_output: Any = None
    patched: bool = False
    injected: bool = False
    timestamp: datetime


class AuditEvent(View, kw_only=True, frozen=True):
    """One thing that happened to a run. payload: details, by event_type; metadata: its `actor`."""

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


def paused_state(message: controls.PausedState) -> PausedState:
    """Outputs and errors are JSON texts in the message."""
    steps: list[PausedStep] = []
    for each in message.steps:
        values = {name: getattr(each, name) for name in PausedStep.__struct_fields__}
        steps.append(
            PausedStep(**values | {"output": from_json_text(each.output), "error": from_json_text(each.error)})
        )
    return PausedState(steps=steps, next_step_hint=message.next_step_hint, pause_reason=message.pause_reason)
