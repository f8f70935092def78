"""What can be asked. Source: protocol/connectrpc.md 5.1 and 6, protocol/rest.md 4, protocol/step-semantics.md 11."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import InvalidArgument
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.engine.errors import RunEnded, RunNotPaused, RunNotResumable, RunRunning, StepNotFinished, StepNotFound
from ironflow.features.runs.contract import Run, RunNotFound, Step


class InvalidOutput(InvalidArgument):
    """An output is JSON, or base64 of JSON."""

    code = "INVALID_OUTPUT"


class PauseRun(Message, kw_only=True):
    """reason (ours): kept with the run until it goes on, in its history and in the audit trail."""

    run_id: Annotated[str, field(1, also=("id",))]
    reason: Annotated[str, field(100, max_length=500)] = ""


class Paused(Message, kw_only=True):
    """status: `paused`, or `pause_requested` for a run that a worker has: it pauses at the next step boundary.

    changed: false for a run that was paused, or about to be, before.
    """

    status: Annotated[str, field(1)]
    changed: Annotated[bool, field(only="rest")] = True


class ResumeRun(Message, kw_only=True):
    """from_step: a step's name, SDK step id or row id; its result and all later ones are dropped.

    reason (ours): kept in the run's history and in the audit trail.
    """

    run_id: Annotated[str, field(1, also=("id",))]
    from_step: Annotated[str, field(2)] = ""
    reason: Annotated[str, field(100, max_length=500)] = ""


class RetryRun(Message, kw_only=True):
    """from_step: empty runs the whole run again. reason (ours): as of a resume."""

    id: Annotated[str, field(1, also=("run_id",))]
    from_step: Annotated[str, field(2)] = ""
    reason: Annotated[str, field(100, max_length=500)] = ""


class GetPausedState(Message, kw_only=True):
    run_id: Annotated[str, field(1, also=("id",))]


class PausedStep(Message, kw_only=True):
    """output, error: JSON as text. id: the row's, to be given to inject and patch."""

    id: Annotated[str, field(1)]
    name: Annotated[str, field(2)]
    output: Annotated[str, field(3, json_in_bytes=True)] | None = None
    injected: Annotated[bool, field(4)] = False
    completed_at: Annotated[datetime, field(5)] | None = None
    step_type: Annotated[str, field(6)] = ""
    status: Annotated[str, field(7)] = ""
    error: Annotated[str, field(8, json_in_bytes=True)] | None = None


class PausedState(Message, kw_only=True):
    steps: Annotated[list[PausedStep], field(1)]
    next_step_hint: Annotated[str, field(2)] = ""
    pause_reason: Annotated[str, field(3)] = ""


class InjectOutput(Message, kw_only=True):
    """new_output: JSON, JSON as text, or base64 of it. step_id: row id, SDK step id or name."""

    run_id: Annotated[str, field(1)]
    step_id: Annotated[str, field(2)]
    new_output: Annotated[Json, field(3, json_in_bytes=True)]
    reason: Annotated[str, field(4)] = ""


class Injected(Message, kw_only=True):
    step_id: Annotated[str, field(1)]
    previous_output: Annotated[str, field(2, json_in_bytes=True)]


class PatchStep(Message, kw_only=True):
    """step_id: row id, or the SDK's step id."""

    step_id: Annotated[str, field(1)]
    output: Annotated[Json, field(2, twin=4)]
    reason: Annotated[str, field(3)] = ""


class GetWhy(Message, kw_only=True):
    id: str


class Why(Message, kw_only=True):
    """Why a run is not running, or who runs it.

    state: the status in the engine. reason: one of running, breaker_open, endpoint_busy, no_worker, no_labels,
    no_version, no_free_worker, actor, no_slot, sleep, wait_event, invoke, retry, throttle, paused, exhausted, diverged,
    cancelling, ended, restarted.
    message: the same as a sentence.
    waits_for: which slots it lacks, `actor` or `limit` or both. held_by: the runs that hold them.
    unasked_steps: names of recorded steps that the handler no longer asks for.
    actor_id: of its actor, where it waits for that; worker_id: the worker that has the actor, or runs it.
    """

    run_id: str
    state: str
    reason: str
    message: str
    until: datetime | None = None
    event: str | None = None
    step_id: str | None = None
    child_run_id: str | None = None
    worker_id: str | None = None
    actor_id: str | None = None
    unasked_steps: list[str] | None = None
    waits_for: list[str] | None = None
    held_by: list[str] | None = None


class ExplainRuns(Message, kw_only=True):
    """ids: of the runs of one page. Those that are not in the environment are left out of the answer."""

    ids: Annotated[list[str], field(min_length=1, max_length=100)]


class Explained(Message, kw_only=True):
    """In the order of the request."""

    runs: list[Why]


class ListStuck(Message, kw_only=True):
    """pending_ms: how long a run may wait for a worker or a slot before it counts."""

    limit: Annotated[int, field(ge=1, le=100)] = 20
    pending_ms: Annotated[int, field(ge=0)] = 10_000


class StuckRun(Message, kw_only=True):
    """updated_at: since when it has been where it is."""

    run_id: str
    function_id: str
    updated_at: datetime
    why: Why


class Stuck(Message, kw_only=True):
    runs: list[StuckRun]


pause = operation(
    "controls.pause", PauseRun, Paused,
    rest="POST /api/v1/runs/{run_id}/pause", rpc="IronflowService/PauseRun",
    scope="runs:write", errors=(RunNotFound, RunEnded),
    doc="Holds a run: at once when it is at rest, else at its next step boundary.",
)  # fmt: skip
resume = operation(
    "controls.resume", ResumeRun, Run,
    rest=("POST /api/v1/runs/resume", "POST /api/v1/runs/{run_id}/resume"), rpc="IronflowService/ResumeRun",
    spelling="both", scope="runs:write", errors=(RunNotFound, RunNotResumable, StepNotFound),
    doc="Lets a paused or failed run go on with its recorded steps, or from a step on.",
)  # fmt: skip
retry = operation(
    "controls.retry", RetryRun, Run,
    rest="POST /api/v1/runs/{id}/retry", rpc="IronflowService/RetryRun",
    spelling="both", scope="runs:write", errors=(RunNotFound, RunNotResumable, StepNotFound),
    doc="Runs a failed run again, from the beginning or from a step, with a fresh attempt budget.",
)  # fmt: skip
paused_state = operation(
    "controls.paused_state", GetPausedState, PausedState,
    rest="GET /api/v1/runs/{run_id}/paused-state", rpc="IronflowService/GetPausedState",
    spelling="both", rpc_spelling="both", scope="runs:read", errors=(RunNotFound,),
    doc="The steps that a run has finished so far, and what comes next.",
)  # fmt: skip
inject = operation(
    "controls.inject", InjectOutput, Injected,
    rest="POST /api/v1/runs/{run_id}/inject", rpc="IronflowService/InjectStepOutput",
    spelling="both", rpc_spelling="both", scope="runs:write",
    errors=(RunNotFound, RunNotPaused, StepNotFound, StepNotFinished, InvalidOutput),
    doc="Replaces the output of a finished step of a paused run; resume lets the run go on with it.",
)  # fmt: skip
patch = operation(
    "controls.patch", PatchStep, Step,
    rest="POST /api/v1/steps/patch", rpc="IronflowService/PatchStep", spelling="both",
    scope="runs:write", errors=(RunNotFound, RunRunning, StepNotFound, StepNotFinished),
    doc="Replaces the output of a step and keeps the original; the run goes on when it is resumed.",
)  # fmt: skip
why = operation(
    "controls.why", GetWhy, Why,
    rest="GET /api/v1/runs/{id}/why", scope="runs:read", errors=(RunNotFound,),
    doc="Why a run is not running: what it waits for, until when, or who holds its slot.",
)  # fmt: skip
why_many = operation(
    "controls.why_many", ExplainRuns, Explained,
    rest="POST /api/v1/runs/why", scope="runs:read",
    doc="Why each of up to 100 runs is not running, for a list of runs.",
)  # fmt: skip
stuck = operation(
    "controls.stuck", ListStuck, Stuck,
    rest="GET /api/v1/runs/stuck", scope="runs:read",
    doc="Runs that do not go on by themselves: paused, or long without a worker or a slot. The oldest come first.",
)  # fmt: skip
