"""What a polling worker can ask. Source: protocol/worker-rest.md, protocol/rest.md 5."""

from datetime import datetime
from typing import Annotated

from ironflow.base.duration import LONGEST_MS
from ironflow.base.errors import InvalidArgument, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.engine.errors import StaleExecution
from ironflow.features.entities.contract import ChangedState, JobEntity
from ironflow.features.functions.contract import ATTEMPTS_MAX
from ironflow.features.log_lines.contract import ReportedLine
from ironflow.features.values.contract import InvalidRunValue, RunValueTooLarge, SetValue


class WorkerNotFound(NotFound):
    """This server does not know the worker, or has evicted it. Register again."""

    code = "WORKER_NOT_FOUND"


class InvalidWorker(InvalidArgument):
    """A worker has an id without spaces, `*` or `>` and at least one function id."""

    code = "INVALID_WORKER"


class InvalidReport(InvalidArgument):
    """A job update has a status of progress, completed, failed or yielded, and the matching body."""

    code = "INVALID_REPORT"


class WorkerVersion(Message, kw_only=True):
    sdk: str = ""
    runtime: str = ""


class RegisterWorker(Message, kw_only=True):
    """code_versions (ours): by function id, the version of its code that the worker serves."""

    worker: str
    hostname: str = ""
    function_ids: list[str] = []
    max_concurrent_jobs: Annotated[int, field(also=("max_concurrent",), ge=1)] = 10
    labels: dict[str, str] = {}
    version: WorkerVersion | None = None
    code_versions: dict[str, str] = {}


class WorkerStatus(Message, kw_only=True):
    status: str


class HeldJob(Message, kw_only=True):
    job_id: str
    started_at: str = ""


class Heartbeat(Message, kw_only=True):
    """Renews the leases of exactly the jobs listed."""

    worker: str
    active_jobs: int = 0
    jobs: list[HeldJob] = []


class PollJobs(Message, kw_only=True):
    """wait: seconds to hold an empty poll, at most 25.

    Ours: acked: jobs come with a lease that has begun. grace_ms: how much longer than the function's timeout their
    leases last, because the worker ends the executions itself: at most a minute.
    """

    worker: str
    available: Annotated[int, field(ge=0)] = 1
    wait: Annotated[float, field(ge=0)] = 0
    acked: bool = False
    grace_ms: Annotated[int, field(ge=0)] = 0


class JobEvent(Message, kw_only=True):
    id: str
    name: str
    data: Json
    timestamp: datetime
    version: int = 1
    source: str | None = None
    idempotency_key: str | None = None
    metadata: Json | None = None
    emitted_by: str | None = None
    # Of an event of an entity's stream only.
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None


class CompletedStep(Message, kw_only=True):
    step_id: str
    name: str
    output: Json
    status: str | None = None
    error: Json | None = None
    # Only to workers that poll with `acked`: lets them notice that their code no longer fits, and which ended first.
    type: str | None = None
    ended_at: datetime | None = None
    # handler_at: when it ended as its worker measured it, where that is not ended_at.
    # Of a step that has not ended: the attempt that its body has next, and what the last one showed of its progress.
    attempt: int | None = None
    progress: Json | None = None
    handler_at: datetime | None = None
    child_run_id: str | None = None


class JobContext(Message, kw_only=True):
    secrets: dict[str, str] | None = None
    trace_id: str | None = None
    metadata: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"JobContext(secrets={', '.join(self.secrets or ())})"


class Assignment(Message, kw_only=True):
    """Leave to make one attempt. execution_seq and lease_token are the fence to echo in every report.

    compensating (ours): the error of a run that has failed; this execution only runs its compensations. timeout_ms
    (ours): how long the execution may take: the worker ends it then, and has the grace that it asked for to do so.
    log_level (ours): from which level on lines of the handler's logger are kept; absent when none are. run_started_at
    (ours): when the first execution of the run was handed out. function_version (ours): of the function when the run
    was created. entity (ours): what its function is a handler of.
    """

    job_id: str
    run_id: str
    function_id: str
    attempt: int
    event: JobEvent
    completed_steps: list[CompletedStep]
    execution_seq: int
    lease_token: str
    step_sequence_base: int
    max_attempts: int
    on_exhausted: str
    lease_expires_at: datetime
    actor_id: str | None = None
    context: JobContext | None = None
    compensating: Json | None = None
    timeout_ms: int | None = None
    log_level: str | None = None
    run_started_at: datetime | None = None
    function_version: int | None = None
    entity: JobEntity | None = None


class Assignments(Message, kw_only=True):
    """held_s: seconds that an empty poll was held; absent when it was not."""

    jobs: list[Assignment]
    held_s: Annotated[int, field(only="rpc")] | None = None


class WatchJobs(Message, kw_only=True):
    """jobs: ids of the jobs that the worker holds. wait: seconds to hold an empty answer, at most 25."""

    worker: str
    jobs: list[str] = []
    wait: Annotated[float, field(ge=0)] = 0


class JobControl(Message, kw_only=True):
    """A job that is the worker's no more, or that it is to end: control is as in a verdict, but not `pause`."""

    job_id: str
    control: str


class JobControls(Message, kw_only=True):
    jobs: list[JobControl]


class LeaveWorker(Message, kw_only=True):
    worker: str


class AckJob(Message, kw_only=True):
    worker: str
    job: str
    run_id: str = ""
    execution_seq: int | None = None
    lease_token: str = ""


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
    reports: list[UpdateJob]


class StartedRun(Message, kw_only=True):
    """What a report asked to start: the run that was started, or why none was, as JSON text."""

    step_id: str
    run_id: str | None = None
    error: str | None = None


class Verdict(Message, kw_only=True):
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


class Worker(Message, kw_only=True):
    id: str
    hostname: str
    function_ids: list[str]
    active_jobs: int
    max_concurrent: int
    labels: dict[str, str]
    version: WorkerVersion
    transport: str
    registered_at: datetime
    last_heartbeat: datetime


class ListWorkers(Message, kw_only=True):
    limit: Annotated[int, field(ge=1, le=10_000)] = 10_000
    cursor: str = ""


class Workers(Message, kw_only=True):
    workers: list[Worker]
    count: int
    next_cursor: str | None = None


_WORKER = "/api/v1/workers/{worker}"

register = operation(
    "jobs.register_worker", RegisterWorker, WorkerStatus,
    rest=(f"POST {_WORKER}/register", f"PUT {_WORKER}/register"), scope="workers:write",
    under_way=True, errors=(InvalidWorker,),
    doc="Registers a worker or its new configuration; its live leases stay.",
)  # fmt: skip
heartbeat = operation(
    "jobs.heartbeat", Heartbeat, WorkerStatus,
    rest=(f"POST {_WORKER}/heartbeat", f"PUT {_WORKER}/heartbeat"), scope="workers:write",
    under_way=True, errors=(WorkerNotFound,),
    doc="Keeps a worker and the leases of the jobs it lists alive.",
)  # fmt: skip
poll = operation(
    "jobs.poll", PollJobs, Assignments,
    rest=f"GET {_WORKER}/jobs", scope="workers:write", under_way=True, errors=(WorkerNotFound,),
    holds=True, empty_when="jobs", response_headers={"Ironflow-Poll-Wait": "held_s"},
    doc="Claims up to `available` jobs; with `wait`, holds the answer until there is one.",
)  # fmt: skip
ack = operation(
    "jobs.ack", AckJob, WorkerStatus,
    rest=f"PUT {_WORKER}/jobs/{{job}}/ack", scope="workers:write", under_way=True, errors=(StaleExecution,),
    doc="Starts the lease of a claimed job, before user code runs.",
)  # fmt: skip
update = operation(
    "jobs.update", UpdateJob, WorkerStatus,
    rest=f"PUT {_WORKER}/jobs/{{job}}", scope="workers:write", under_way=True,
    errors=(StaleExecution, InvalidReport, InvalidRunValue, RunValueTooLarge),
    doc="A checkpoint, or the end of an execution: completed, failed or yielded.",
)  # fmt: skip
report = operation(
    "jobs.report", Reports, Verdicts,
    rest=f"POST {_WORKER}/reports", scope="workers:write", under_way=True,
    errors=(InvalidReport, InvalidRunValue, RunValueTooLarge),
    doc="Several job updates at once, each with its own verdict.",
)  # fmt: skip
control = operation(
    "jobs.control", WatchJobs, JobControls,
    rest=f"POST {_WORKER}/control", scope="workers:write", errors=(WorkerNotFound,), holds=True,
    doc="The worker's jobs whose run was cancelled or whose lease has ended; with `wait`, held until there is one.",
)  # fmt: skip
leave = operation(
    "jobs.leave", LeaveWorker, WorkerStatus,
    rest=f"DELETE {_WORKER}", scope="workers:write",
    doc="The worker has drained: its actors are free, and it is listed no more.",
)  # fmt: skip
list_workers = operation(
    "jobs.list_workers", ListWorkers, Workers,
    rest="GET /api/v1/workers", scope="workers:read",
    doc="The workers that are alive.",
)  # fmt: skip
