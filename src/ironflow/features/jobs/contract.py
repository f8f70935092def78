"""What a polling worker can ask. Source: protocol/worker-rest.md, protocol/rest.md 5."""

from datetime import datetime
from typing import Annotated

from ironflow.base.duration import LONGEST_MS
from ironflow.base.errors import InvalidArgument, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.engine.errors import StaleExecution


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
    worker: str
    hostname: str = ""
    function_ids: list[str] = []
    max_concurrent_jobs: Annotated[int, field(also=("max_concurrent",), ge=1)] = 10
    labels: dict[str, str] = {}
    version: WorkerVersion | None = None


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
    """wait: seconds to hold an empty poll, at most 25. acked: jobs come with a lease that has begun (ours)."""

    worker: str
    available: Annotated[int, field(ge=0)] = 1
    wait: Annotated[float, field(ge=0)] = 0
    acked: bool = False


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
    # Only to workers that poll with `acked`: lets them notice that their code no longer fits.
    type: str | None = None


class JobContext(Message, kw_only=True):
    secrets: dict[str, str] | None = None
    trace_id: str | None = None
    metadata: dict[str, str] | None = None


class Assignment(Message, kw_only=True):
    """Leave to make one attempt. execution_seq and lease_token are the fence to echo in every report."""

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


class Assignments(Message, kw_only=True):
    """held_s: seconds that an empty poll was held; absent when it was not."""

    jobs: list[Assignment]
    held_s: Annotated[int, field(only="rpc")] | None = None


class AckJob(Message, kw_only=True):
    worker: str
    job: str
    run_id: str = ""
    execution_seq: int | None = None
    lease_token: str = ""


class ReportedStep(Message, kw_only=True):
    """A step as the worker ran it. error is an object with message and retryable, or a text."""

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


class ReportedError(Message, kw_only=True):
    message: str = ""
    code: str = ""
    retryable: bool = False
    retry_after_ms: float | None = None
    stack: str | None = None


class EventFilter(Message, kw_only=True):
    """Which event a wait is for. look_back (ours): `execution`, the default, or `run`: since when an event counts."""

    event: str = ""
    match: str = ""
    match_value: str | None = None
    payload: Json | None = None
    timeout: str = "7d"
    look_back: str = ""


class Yield(Message, kw_only=True):
    """Why the handler stopped: a sleep, a wait for an event, or an invoked function."""

    type: str
    step_id: str
    step_name: str = ""
    until: datetime | None = None
    event_filter: EventFilter | None = None
    function_id: str = ""
    input: Json | None = None
    invoke_timeout_ms: Annotated[int, field(ge=0, le=LONGEST_MS)] = 30_000


class UpdateJob(Message, kw_only=True):
    """status: progress (a checkpoint), completed, failed or yielded. step_offset: sequence of steps[0]."""

    worker: str = ""
    job: Annotated[str, field(also=("job_id",))]
    status: str
    output: Json | None = None
    error: ReportedError | None = None
    yielded: Annotated[Yield, field(also=("yield",))] | None = None
    steps: list[ReportedStep] = []
    step_offset: Annotated[int, field(ge=0)] = 0
    execution_seq: int | None = None
    lease_token: str = ""


class Reports(Message, kw_only=True):
    """Several job updates in one request (ours): each gets its own verdict, all share one commit."""

    worker: str
    reports: list[UpdateJob]


class Verdict(Message, kw_only=True):
    """error: STALE_EXECUTION or another code; absent when the update was applied."""

    job_id: str
    status: str
    error: str | None = None
    message: str | None = None


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
    limit: Annotated[int, field(ge=1, le=1000)] = 1000
    cursor: str = ""


class Workers(Message, kw_only=True):
    workers: list[Worker]
    count: int
    next_cursor: str | None = None


_WORKER = "/api/v1/workers/{worker}"

register = operation(
    "jobs.register_worker", RegisterWorker, WorkerStatus,
    rest=(f"POST {_WORKER}/register", f"PUT {_WORKER}/register"), scope="workers:write", errors=(InvalidWorker,),
    doc="Registers a worker or its new configuration; its live leases stay.",
)  # fmt: skip
heartbeat = operation(
    "jobs.heartbeat", Heartbeat, WorkerStatus,
    rest=(f"POST {_WORKER}/heartbeat", f"PUT {_WORKER}/heartbeat"), scope="workers:write", errors=(WorkerNotFound,),
    doc="Keeps a worker and the leases of the jobs it lists alive.",
)  # fmt: skip
poll = operation(
    "jobs.poll", PollJobs, Assignments,
    rest=f"GET {_WORKER}/jobs", scope="workers:write", errors=(WorkerNotFound,),
    holds=True, empty_when="jobs", response_headers={"Ironflow-Poll-Wait": "held_s"},
    doc="Claims up to `available` jobs; with `wait`, holds the answer until there is one.",
)  # fmt: skip
ack = operation(
    "jobs.ack", AckJob, WorkerStatus,
    rest=f"PUT {_WORKER}/jobs/{{job}}/ack", scope="workers:write", errors=(StaleExecution,),
    doc="Starts the lease of a claimed job, before user code runs.",
)  # fmt: skip
update = operation(
    "jobs.update", UpdateJob, WorkerStatus,
    rest=f"PUT {_WORKER}/jobs/{{job}}", scope="workers:write", errors=(StaleExecution, InvalidReport),
    doc="A checkpoint, or the end of an execution: completed, failed or yielded.",
)  # fmt: skip
report = operation(
    "jobs.report", Reports, Verdicts,
    rest=f"POST {_WORKER}/reports", scope="workers:write", errors=(InvalidReport,),
    doc="Several job updates at once, each with its own verdict.",
)  # fmt: skip
list_workers = operation(
    "jobs.list_workers", ListWorkers, Workers,
    rest="GET /api/v1/workers", scope="workers:read",
    doc="The workers that are alive.",
)  # fmt: skip
