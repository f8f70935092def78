"""What can be asked of runs. Source: protocol/connectrpc.json, protocol/connectrpc.md 4 and 5.1, protocol/rest.md 4."""

from datetime import datetime
from typing import Annotated, Any, Self

from ironflow.base.errors import ID_SHOWN_CHARS, FailedPrecondition, NotFound
from ironflow.base.fields import Message, WireEnum, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.engine.errors import RunEnded
from ironflow.features.functions.contract import ExecutionMode


class RunNotFound(NotFound):
    """There is no run of that id in this environment."""

    code = "RUN_NOT_FOUND"

    def __init__(self, message: str | None = None, *, run_id: str = "", **more: Any) -> None:
        super().__init__(message, **more)
        if run_id:
            self.details["run_id"] = run_id[:ID_SHOWN_CHARS]

    @property
    def run_id(self) -> str:
        """The one that was asked for; empty where a server of an older release does not say it."""
        return str(self.details.get("run_id", ""))


class RunNotEnded(FailedPrecondition):
    """A run that has not ended still needs its payloads. Wait for its end, or cancel it first."""

    code = "RUN_NOT_ENDED"


class RunStatus(WireEnum):
    """What clients see. JSON calls a waiting run `paused` (with a pause_reason), binary keeps the number 8."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    WAITING = "waiting"

    @classmethod
    def prefix(cls) -> str:
        return "RUN_STATUS_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"running": 2, "completed": 3, "failed": 4, "cancelled": 5, "paused": 6, "pending": 7, "waiting": 8}

    @property
    def sent(self) -> str:
        return "paused" if self is RunStatus.WAITING else self.value

    @classmethod
    def accept(cls, given: object) -> Self | None:
        if given in (1, "waiting_for_capacity", "RUN_STATUS_WAITING_FOR_CAPACITY"):
            return cls("pending")
        return super().accept(given)

    @property
    def ended(self) -> bool:
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class StepStatus(WireEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SLEEPING = "sleeping"
    WAITING = "waiting"
    TIMED_OUT = "timed_out"
    RETRYING = "retrying"
    DEAD = "dead"

    @classmethod
    def prefix(cls) -> str:
        return "STEP_STATUS_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {member.value: number for number, member in enumerate(cls, start=1)}


class StepType(WireEnum):
    INVOKE = "invoke"
    SLEEP = "sleep"
    WAIT_FOR_EVENT = "wait_for_event"
    COMPENSATE = "compensate"
    INVOKE_FUNCTION = "invoke_function"
    START_FUNCTION = "start_function"

    @classmethod
    def prefix(cls) -> str:
        return "STEP_TYPE_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        numbered = {member.value: number for number, member in enumerate(cls, start=1)}
        # Ours, beside the protocol's.
        return {**numbered, cls.START_FUNCTION.value: 100}

    @property
    def kind(self) -> str:
        """The name for people: that of the method of `ctx.step`."""
        return step_kind(self.value)


def step_kind(step_type: str) -> str:
    """The name of a type of steps for people: on the wire and in the database, a step that ran a body is `invoke`."""
    return {"invoke": "run", "invoke_function": "invoke", "start_function": "start"}.get(step_type, step_type)


class WireError(Message, kw_only=True):
    """An error as data: why a run, a step or a batch item failed.

    details: an object of the exception's own. error_class (ours): the name of its class.
    """

    message: Annotated[str, field(1)]
    code: Annotated[str, field(2)] | None = None
    stack: Annotated[str, field(3)] | None = None
    retryable: Annotated[bool, field(4)] = False
    details: Annotated[Json, field(5)] | None = None
    retry_after_ms: Annotated[int, field(6, int64=True)] | None = None
    error_class: Annotated[str, field(100)] | None = None


class CancelRequested(Message, kw_only=True):
    """Of a run that is undone before it is cancelled: when that was asked for, and why."""

    at: datetime
    reason: str


class Run(Message, kw_only=True):
    """One run of a function. attempt counts from 1 within max_attempts; pause_reason: sleep, wait_event, injection."""

    id: Annotated[str, field(1)]
    function_id: Annotated[str, field(2)]
    event_id: Annotated[str, field(3)]
    execution_mode: Annotated[ExecutionMode, field(4)] | None = None
    worker_id: Annotated[str, field(5)] | None = None
    actor_id: Annotated[str, field(6)] | None = None
    input: Annotated[Json, field(7, twin=22)] | None = None
    output: Annotated[Json, field(8, twin=23)] | None = None
    error: Annotated[WireError, field(9)] | None = None
    status: Annotated[RunStatus, field(10)]
    attempt: Annotated[int, field(11)]
    max_attempts: Annotated[int, field(12)]
    started_at: Annotated[datetime, field(13)] | None = None
    ended_at: Annotated[datetime, field(14)] | None = None
    created_at: Annotated[datetime, field(17)]
    updated_at: Annotated[datetime, field(18)]
    pause_requested: Annotated[bool, field(19)] = False
    pause_reason: Annotated[str, field(20)] = ""
    function_version: Annotated[int, field(21)] = 1
    resume_from_step: Annotated[str, field(24)] | None = None
    parent_run_id: Annotated[str, field(25)] | None = None
    parent_step_id: Annotated[str, field(26)] | None = None
    timeout_at: Annotated[datetime, field(27)] | None = None
    environment_id: Annotated[str, field(28)] = "default"
    version: Annotated[int, field(29)] = 1
    claimed_by: Annotated[str, field(30)] | None = None
    claimed_at: Annotated[datetime, field(31)] | None = None
    cancellation_cause: Annotated[str, field(32)] | None = None
    event_name: Annotated[str, field(34)] | None = None
    # The engine's own status of the run, and until when it waits.
    state: str | None = None
    next_attempt_at: datetime | None = None
    # Names of recorded steps that the handler no longer asks for: its code has changed since.
    unasked_steps: list[str] | None = None
    # Unique among the runs of the function that have not ended.
    key: str | None = None
    # What the run has set, by name; of one run, not in lists.
    values: dict[str, Json] | None = None
    # The run that restarted as this one, and the one that this restarted as; the first link of their chain, and how
    # many links came before this one: both absent for a run without a chain.
    restarted_from: str | None = None
    restarted_as: str | None = None
    first_run_id: str | None = None
    link: int | None = None
    # What to change in the run's handler: it has many steps.
    advice: str | None = None
    # The principal or bulk job that has paused it or asked for that, and the reason it gave; until it is resumed.
    paused_by: str | None = None
    pause_note: str | None = None
    # Its state is `cancelling`, its status `running`, until its compensations have run.
    cancel_requested: CancelRequested | None = None


class StepAttempt(Message, kw_only=True):
    """An attempt of a step that failed (ours)."""

    attempt: Annotated[int, field(1)]
    error: Annotated[WireError, field(2)]
    started_at: Annotated[datetime, field(3)] | None = None
    ended_at: Annotated[datetime, field(4)] | None = None


class Step(Message, kw_only=True):
    """One recorded step. id: the row's; step_id: the one the SDK computed; sequence: order within the run.

    Ours: max_attempts: of a step with a retry of its own, whose attempts `attempt` counts; sleep_until: also when the
    next of them is due. attempts: the last 20 that failed. progress: what its body showed last. handler_at: when it
    ended as its worker measured it, where that is not ended_at.
    """

    id: Annotated[str, field(1)]
    run_id: Annotated[str, field(2)]
    step_id: Annotated[str, field(3)]
    step_type: Annotated[StepType, field(4)]
    sequence: Annotated[int, field(5)]
    status: Annotated[StepStatus, field(6)]
    input: Annotated[Json, field(7, twin=19)] | None = None
    output: Annotated[Json, field(9, twin=20)] | None = None
    error: Annotated[WireError, field(10)] | None = None
    attempt: Annotated[int, field(11)] = 1
    duration_ms: Annotated[int, field(12)] = 0
    started_at: Annotated[datetime, field(13)] | None = None
    ended_at: Annotated[datetime, field(14)] | None = None
    original_output: Annotated[Json, field(15, twin=21)] | None = None
    patched_at: Annotated[datetime, field(16)] | None = None
    patched_by: Annotated[str, field(17)] | None = None
    compensation_for: Annotated[str, field(18)] | None = None
    duration_ms_full: Annotated[int, field(22, int64=True)] | None = None
    sleep_until: Annotated[datetime, field(23)] | None = None
    wait_event_name: Annotated[str, field(24)] | None = None
    wait_timeout: Annotated[datetime, field(25)] | None = None
    created_at: Annotated[datetime, field(26)] | None = None
    updated_at: Annotated[datetime, field(27)] | None = None
    stored_status: Annotated[str, field(29)] | None = None
    child_run_id: Annotated[str, field(30)] | None = None
    max_attempts: Annotated[int, field(100)] | None = None
    attempts: Annotated[list[StepAttempt] | None, field(101)] = None
    progress: Annotated[Json, field(102)] | None = None
    handler_at: Annotated[datetime, field(103)] | None = None
    source: Annotated[str, field(104)] | None = None
    name: str = ""


class RunResult(Message, kw_only=True):
    """How a run ended, or where it was when the wait timed out."""

    run_id: Annotated[str, field(1)]
    function_id: Annotated[str, field(2)]
    status: Annotated[RunStatus, field(3)]
    output: Annotated[Json, field(4, twin=8)] | None = None
    error: Annotated[WireError, field(5)] | None = None
    duration_ms: Annotated[int, field(6)] = 0
    wait_timed_out: Annotated[bool, field(7)] = False


class GetRun(Message, kw_only=True):
    """last: the last link of its chain (ours)."""

    id: Annotated[str, field(1)]
    last: bool = False


class GetRunChain(Message, kw_only=True):
    """id: of any link, or of the first one where that is not kept any more. limit 0 means 50; cursor: the number of
    the last link seen.
    """

    id: str
    limit: Annotated[int, field(ge=0, le=1000)] = 0
    cursor: str = ""


class RunChain(Message, kw_only=True):
    """Oldest first. A run that has not restarted is alone."""

    runs: list[Run]
    next_cursor: str | None = None


class ListRuns(Message, kw_only=True):
    """Newest first. limit 0 means 50; search looks in run, function and event ids and in event names.

    parent_run_id: only runs that steps of this one started. key: only runs with this key.
    error: only runs that failed, or were paused, with this text in `Class: message`; … stands for anything.
    output: PATH=VALUE, such as order.total=1200: only completed runs with this value there.
    failed_step: only runs that have not completed, whose step of this name was the last one that failed.
    count: false leaves out total_count, for which all runs that pass are read.
    scan_max: search, error, output and failed_step are looked for in at most this many runs; 0, and with an offset,
    in all of them. searched_back_to of the answer says how far that was.
    """

    function_id: Annotated[str, field(1)] = ""
    status: Annotated[RunStatus | None, field(2)] = None
    since: Annotated[datetime, field(3)] | None = None
    until: Annotated[datetime, field(4)] | None = None
    limit: Annotated[int, field(5, ge=0, le=1000)] = 0
    cursor: Annotated[str, field(6)] = ""
    offset: Annotated[int, field(7, ge=0)] = 0
    search: Annotated[str, field(8)] = ""
    event_id: Annotated[str, field(9)] = ""
    statuses: Annotated[list[RunStatus], field(10)] = []
    parent_run_id: str = ""
    key: str = ""
    error: str = ""
    output: str = ""
    failed_step: str = ""
    count: bool = True
    scan_max: Annotated[int, field(ge=0, le=1_000_000)] = 0


class Runs(Message, kw_only=True):
    """next_cursor: there is more, or there may be, where the search has read as many runs as one request may.

    searched_back_to: the creation time of the oldest run that such a search has read. Its page may be empty.
    """

    runs: Annotated[list[Run], field(1)]
    next_cursor: Annotated[str, field(2)] | None = None
    total_count: Annotated[int, field(3)] | None = 0
    searched_back_to: datetime | None = None


class GetRunSteps(Message, kw_only=True):
    """limit 0 means all of them, up to 10,000; cursor continues after that many."""

    run_id: Annotated[str, field(1, also=("id",))]
    limit: Annotated[int, field(ge=0, le=10_000)] = 0
    cursor: str = ""


class RunSteps(Message, kw_only=True):
    steps: Annotated[list[Step], field(1)]
    next_cursor: str | None = None


class CancelRun(Message, kw_only=True):
    """force (ours): without its compensations, where its function has them on cancel."""

    id: Annotated[str, field(1)]
    reason: Annotated[str, field(2)] = ""
    force: Annotated[bool, field(100)] = False


class DeleteRun(Message, kw_only=True):
    """reason: recorded in the audit trail, for ever; write nothing in it that is to be forgotten."""

    id: Annotated[str, field(None, also=("run_id",))]
    reason: Annotated[str, field(max_length=500)] = ""


class RunDeleted(Message, kw_only=True):
    id: str


get = operation(
    "runs.get", GetRun, Run,
    rest="GET /api/v1/runs/{id}", rpc="IronflowService/GetRun", spelling="both",
    scope="runs:read", errors=(RunNotFound,),
    doc="One run.",
)  # fmt: skip
list_ = operation(
    "runs.list", ListRuns, Runs,
    rest="GET /api/v1/runs", rpc="IronflowService/ListRuns", spelling="both", scope="runs:read",
    doc="Runs, newest first, with filters.",
)  # fmt: skip
steps = operation(
    "runs.steps", GetRunSteps, RunSteps,
    rest="GET /api/v1/runs/{id}/steps", rpc="IronflowService/GetRunSteps", spelling="both",
    scope="runs:read", errors=(RunNotFound,),
    doc="The recorded steps of a run by sequence.",
)  # fmt: skip
chain = operation(
    "runs.chain", GetRunChain, RunChain,
    rest="GET /api/v1/runs/{id}/chain", scope="runs:read", errors=(RunNotFound,),
    doc="The chain of a run: the runs that followed one another by a restart.",
)  # fmt: skip
cancel = operation(
    "runs.cancel", CancelRun, Run,
    rest="POST /api/v1/runs/{id}/cancel", rpc="IronflowService/CancelRun", spelling="both",
    scope="runs:cancel", errors=(RunNotFound, RunEnded),
    doc="Ends a run as cancelled at once; a worker still busy with it is refused from now on. With "
    "compensate_on_cancel its compensations run before; a second request, or `force`, ends it at once all the same.",
)  # fmt: skip
delete = operation(
    "runs.delete", DeleteRun, RunDeleted,
    rest="DELETE /api/v1/runs/{id}", scope="runs:delete", errors=(RunNotFound, RunNotEnded),
    doc="Removes an ended run with its steps and its history. Its event stays. There is no way back.",
)  # fmt: skip
