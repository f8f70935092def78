"""Reports: checkpoints, ends of executions, and what the server answers to them."""

from datetime import datetime
from typing import Annotated

from ironflow.base.duration import LONGEST_MS
from ironflow.base.errors import InvalidArgument
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.engine.errors import StaleExecution
from ironflow.features.entities.contract import ChangedState
from ironflow.features.functions.contract import ATTEMPTS_MAX
from ironflow.features.jobs.contract.workers import PATH, WorkerStatus
from ironflow.features.log_lines.contract import ReportedLine
from ironflow.features.values.contract import InvalidRunValue, RunValueTooLarge, SetValue


class InvalidReport(InvalidArgument):
    """A job update has a status of progress, completed, failed or yielded, and the matching body."""

    code = "INVALID_REPORT"


class ReportedStep(Message, kw_only=True):
    """A step as the worker ran it. error is an object with message and retryable, or a text.

    Ours: keeps_failure: executions to come raise a failed step's error again, until an attempt ends because of it.
    announced: the step was in `started` of an earlier report. attempt, attempts_max: of a step with a retry of its own,
    the attempts of that step, from 1. retry_in_ms: how long a failed one rests before the next attempt. progress: what
    its body has shown last. source: where the handler calls it, as FILE:LINE.
    """

    id: str
    name: str = ""
    type: str = "invoke"
    status: str = "completed"
    output: Json | None = None
    error: Json | None = None
    duration_ms: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    compensation_for: str | None = None
    keeps_failure: bool = False
    announced: bool = False
    attempt: Annotated[int, field(ge=0, le=ATTEMPTS_MAX)] = 0
    attempts_max: Annotated[int, field(ge=0, le=ATTEMPTS_MAX)] = 0
    retry_in_ms: Annotated[int, field(ge=0, le=LONGEST_MS)] | None = None
    progress: Json | None = None
    source: str = ""


class StepProgress(Message, kw_only=True):
    """What the body of a step shows while it runs (ours). attempt, attempts_max: as in a reported step."""

    id: str
    name: str = ""
    type: str = "invoke"
    details: Json
    started_at: datetime | None = None
    attempt: Annotated[int, field(ge=0, le=ATTEMPTS_MAX)] = 0
    attempts_max: Annotated[int, field(ge=0, le=ATTEMPTS_MAX)] = 0


class StartedStep(Message, kw_only=True):
    """A step whose body has begun and has not ended (ours)."""

    id: str
    name: str = ""
    type: str = "invoke"
    started_at: datetime | None = None


class ReportedError(Message, kw_only=True):
    """error_class, details (ours): as in the error of a run. exhausted (ours): a step has used up its own attempts."""

    message: str = ""
    code: str = ""
    retryable: bool = False
    retry_after_ms: float | None = None
    stack: str | None = None
    error_class: str = ""
    details: Json | None = None
    exhausted: bool = False


class EventFilter(Message, kw_only=True):
    """Which event a wait is for. look_back (ours): `execution`, the default, or `run`: since when an event counts."""

    event: str = ""
    match: str = ""
    match_value: str | None = None
    payload: Json | None = None
    timeout: str = "7d"
    look_back: str = ""


class Yield(Message, kw_only=True):
    """Why the handler stopped: a sleep, a wait for an event, an invoked function, or a step that rests (`rest`, ours).

    on_timeout (ours): `answer` when the handler is to get the time-out of the wait or the invoked function. source
    (ours): as in a reported step.
    Ours of invoked functions: type `start_function`, a handle that is joined later. delay_ms: until the run may start.
    timeout_from: `start`, the time-out counts from the start of the run. with_triggers: the function may have some.
    traceparent, tracestate: the span that invokes it. entity_key: of the entity that the function is a handler of.
    """

    type: str
    step_id: str
    step_name: str = ""
    until: datetime | None = None
    event_filter: EventFilter | None = None
    function_id: str = ""
    input: Json | None = None
    invoke_timeout_ms: Annotated[int, field(ge=0, le=LONGEST_MS)] = 30_000
    on_timeout: str = ""
    delay_ms: Annotated[int, field(ge=0, le=LONGEST_MS)] = 0
    timeout_from: str = ""
    with_triggers: bool = False
    traceparent: str = ""
    tracestate: str = ""
    source: str = ""
    entity_key: str = ""


class Joining(Message, kw_only=True):
    """The handler joins handles (ours). step_id: of one of them.

    left: it goes on when at most so many runs of its handles have not ended. known_failed: or when more than so many
    have failed; absent where failures are collected.
    """

    step_id: str
    left: Annotated[int, field(ge=0)]
    known_failed: Annotated[int, field(ge=0)] | None = None


class Restart(Message, kw_only=True):
    """The run does not end, but restarts (ours). data: the input of the run that goes on in its place."""

    data: Json


class UpdateJob(Message, kw_only=True):
    """status: progress (a checkpoint), completed, failed or yielded. step_offset: sequence of steps[0].

    Ours: yields, all that the handler waits for, in place of `yield`; also with a checkpoint. cancels: ids of steps
    that the handler waits for no more, and scopes with a colon at the end: all steps of their branches. uncompensated:
    the failure ends the run before its compensations have run. started: steps that are under way and were not reported
    as such. running: how many bodies run beside a checkpoint; a requested pause waits for them. caused_by: ids of the
    failed steps that ended the attempt. uncompensated_steps: ids of compensations that failed in this execution.
    unasked_steps: names of recorded steps that the handler has gone past without asking for them. logs: lines of the
    handler's logger since the last report that was applied. join: it waits for handles, beside its yields or alone.
    values: set since the last report. progress: of bodies that run, with a checkpoint. state: of its entity, changed
    since the last report. restart: with `completed`.
    """

    worker: str = ""
    job: Annotated[str, field(also=("job_id",))]
    status: str
    output: Json | None = None
    error: ReportedError | None = None
    yielded: Annotated[Yield, field(also=("yield",))] | None = None
    yields: list[Yield] = []
    cancels: list[str] = []
    uncompensated: bool = False
    steps: list[ReportedStep] = []
    step_offset: Annotated[int, field(ge=0)] = 0
    execution_seq: int | None = None
    lease_token: str = ""
    started: list[StartedStep] = []
    running: Annotated[int, field(ge=0)] = 0
    caused_by: list[str] = []
    uncompensated_steps: list[str] = []
    unasked_steps: list[str] = []
    logs: list[ReportedLine] = []
    join: Joining | None = None
    values: list[SetValue] = []
    progress: list[StepProgress] = []
    state: ChangedState | None = None
    restart: Restart | None = None


class Reports(Message, kw_only=True):
    """Several job updates in one request (ours): each gets its own verdict, all share one commit."""

    worker: str
    reports: Annotated[list[UpdateJob], field(exact=True)]


class StartedRun(Message, kw_only=True, omit_defaults=True):
    """What a report asked to start: the run that was started, or why none was, as JSON text."""

    step_id: str
    run_id: str | None = None
    error: str | None = None


class Verdict(Message, kw_only=True, omit_defaults=True):
    """error: STALE_EXECUTION or another code; absent when the update was applied.

    control: what the worker has to do with an execution that it reports on; absent when it goes on or has ended.
    `pause`: start no more steps, report those that run. `cancelling`: end the execution now, and report it; the run is
    undone next. `paused`, `cancelled`: of the run; `lost`: the lease is; in these three the execution is over.
    started: what the report has started, and its handler goes on with.
    """

    job_id: str
    status: str
    error: str | None = None
    message: str | None = None
    control: str | None = None
    started: list[StartedRun] | None = None


class Verdicts(Message, kw_only=True):
    results: list[Verdict]


update = operation(
    "jobs.update", UpdateJob, WorkerStatus,
    rest=f"PUT {PATH}/jobs/{{job}}", scope="workers:write", under_way=True,
    errors=(StaleExecution, InvalidReport, InvalidRunValue, RunValueTooLarge),
    doc="A checkpoint, or the end of an execution: completed, failed or yielded.",
)  # fmt: skip
report = operation(
    "jobs.report", Reports, Verdicts,
    rest=f"POST {PATH}/reports", scope="workers:write", under_way=True,
    errors=(InvalidReport, InvalidRunValue, RunValueTooLarge),
    doc="Several job updates at once, each with its own verdict.",
)  # fmt: skip
