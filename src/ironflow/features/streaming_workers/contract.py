"""The frames of a streaming worker and of the server. Source: protocol/worker-stream.md 2 and 3.

A frame has exactly one of its fields set. Every frame of a worker about a job carries the fence that came with it.

Fields with numbers from 100 are ours (ADR 0027): a worker that asks for batches is sent jobs whose leases have begun,
and reports as a polling worker does. What batches hold is JSON, spelled as in protocol/worker-rest.md 6 and 8.
"""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import InvalidArgument
from ironflow.base.fields import Message, WireEnum, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.features.jobs.contract import InvalidWorker
from ironflow.features.runs.contract import StepType, WireError


class InvalidFrame(InvalidArgument):
    """The first frame registers the worker, and every later one has exactly one field."""

    code = "INVALID_FRAME"


class NackReason(WireEnum):
    """Why a worker gives a job back."""

    AT_CAPACITY = "at_capacity"
    DRAINING = "draining"

    @classmethod
    def prefix(cls) -> str:
        return "JOB_NACK_REASON_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"at_capacity": 1, "draining": 2}


class LeaseState(WireEnum):
    """What a heartbeat did for a job: its lease is renewed, another execution has the run, or there is none."""

    REFRESHED = "refreshed"
    STALE = "stale"
    UNKNOWN = "unknown"

    @classmethod
    def prefix(cls) -> str:
        return "LEASE_STATE_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"refreshed": 1, "stale": 2, "unknown": 3}


class Version(Message, kw_only=True):
    sdk: Annotated[str, field(1)] = ""
    runtime: Annotated[str, field(2)] = ""


class Register(Message, kw_only=True):
    worker_id: Annotated[str, field(1)] = ""
    hostname: Annotated[str, field(2)] = ""
    function_ids: Annotated[list[str], field(3)] = []
    max_concurrent_jobs: Annotated[int, field(4)] = 0
    labels: Annotated[dict[str, str], field(5)] = {}
    version: Annotated[Version, field(6)] | None = None
    batches: Annotated[bool, field(100)] = False
    # As `PollJobs.grace_ms`.
    grace_ms: Annotated[int, field(101, ge=0)] = 0
    code_versions: Annotated[dict[str, str], field(102)] = {}
    # As of `PollJobs`; number: of the stream.
    incarnation: Annotated[str, field(103)] = ""
    number: Annotated[int, field(104, ge=0)] = 0


class ActiveJob(Message, kw_only=True):
    """A job that the worker has. Some workers know only its id."""

    job_id: Annotated[str, field(1)] = ""
    started_at: Annotated[datetime, field(2)] | None = None
    run_id: Annotated[str, field(3)] = ""
    execution_seq: Annotated[int, field(4, int64=True)] = 0
    lease_token: Annotated[str, field(5)] = ""


class WorkerMetrics(Message, kw_only=True):
    cpu_percent: Annotated[float, field(1)] = 0.0
    memory_percent: Annotated[float, field(2)] = 0.0
    jobs_completed: Annotated[int, field(3, int64=True)] = 0
    jobs_failed: Annotated[int, field(4, int64=True)] = 0


class Heartbeat(Message, kw_only=True):
    worker_id: Annotated[str, field(1)] = ""
    active_jobs: Annotated[int, field(2)] = 0
    jobs: Annotated[list[ActiveJob], field(3)] = []
    metrics: Annotated[WorkerMetrics, field(4)] | None = None


class StepStarted(Message, kw_only=True):
    """A step's body begins. The only frame that carries the name of the step."""

    job_id: Annotated[str, field(1)] = ""
    step_id: Annotated[str, field(2)] = ""
    name: Annotated[str, field(3)] = ""
    step_type: Annotated[StepType, field(4)] | None = None
    execution_seq: Annotated[int, field(5, int64=True)] = 0
    lease_token: Annotated[str, field(6)] = ""


class StepCompleted(Message, kw_only=True):
    job_id: Annotated[str, field(1)] = ""
    step_id: Annotated[str, field(2)] = ""
    output: Annotated[Json, field(3, twin=7)] | None = None
    duration_ms: Annotated[int, field(4)] = 0
    execution_seq: Annotated[int, field(5, int64=True)] = 0
    lease_token: Annotated[str, field(6)] = ""


class StepFailed(Message, kw_only=True):
    job_id: Annotated[str, field(1)] = ""
    step_id: Annotated[str, field(2)] = ""
    error: Annotated[WireError, field(3)] | None = None
    duration_ms: Annotated[int, field(4)] = 0
    execution_seq: Annotated[int, field(5, int64=True)] = 0
    lease_token: Annotated[str, field(6)] = ""


class SleepYield(Message, kw_only=True):
    until: Annotated[datetime, field(1)] | None = None


class WaitEventYield(Message, kw_only=True):
    """timeout: the moment at which the wait ends; absent means after seven days. look_back: as in a polled report."""

    event_name: Annotated[str, field(1)] = ""
    match_expression: Annotated[str, field(2)] = ""
    match_value: Annotated[str, field(3)] = ""
    timeout: Annotated[datetime, field(4)] | None = None
    payload_json: Annotated[bytes, field(5)] = b""
    look_back: Annotated[str, field(100)] = ""


class InvokeYield(Message, kw_only=True):
    """invoke_timeout_ms: 0 or less means 30 s."""

    function_id: Annotated[str, field(1)] = ""
    input_json: Annotated[bytes, field(2)] = b""
    invoke_timeout_ms: Annotated[int, field(3, int64=True)] = 0


class InvokeAsyncYield(Message, kw_only=True):
    function_id: Annotated[str, field(1)] = ""
    input_json: Annotated[bytes, field(2)] = b""


class StepYielded(Message, kw_only=True):
    """The execution ends here until what it waits for has come."""

    job_id: Annotated[str, field(1)] = ""
    step_id: Annotated[str, field(2)] = ""
    sleep: Annotated[SleepYield, field(3)] | None = None
    wait_event: Annotated[WaitEventYield, field(4)] | None = None
    execution_seq: Annotated[int, field(5, int64=True)] = 0
    lease_token: Annotated[str, field(6)] = ""
    invoke_function: Annotated[InvokeYield, field(7)] | None = None
    invoke_function_async: Annotated[InvokeAsyncYield, field(8)] | None = None


class JobCompleted(Message, kw_only=True):
    job_id: Annotated[str, field(1)] = ""
    output: Annotated[Json, field(2, twin=6)] | None = None
    duration_ms: Annotated[int, field(3)] = 0
    execution_seq: Annotated[int, field(4, int64=True)] = 0
    lease_token: Annotated[str, field(5)] = ""


class ExecutedStep(Message, kw_only=True):
    id: Annotated[str, field(1)] = ""
    name: Annotated[str, field(2)] = ""
    type: Annotated[str, field(3)] = ""
    status: Annotated[str, field(4)] = ""
    output: Annotated[Json, field(5, twin=9)] | None = None
    error: Annotated[WireError, field(6)] | None = None
    compensation_for: Annotated[str, field(7)] = ""
    duration_ms: Annotated[int, field(8)] = 0


class JobFailed(Message, kw_only=True):
    """steps: the compensations that ran, or all that the execution ran."""

    job_id: Annotated[str, field(1)] = ""
    error: Annotated[WireError, field(2)] | None = None
    duration_ms: Annotated[int, field(3)] = 0
    steps: Annotated[list[ExecutedStep], field(4)] = []
    execution_seq: Annotated[int, field(5, int64=True)] = 0
    lease_token: Annotated[str, field(6)] = ""


class JobAck(Message, kw_only=True):
    job_id: Annotated[str, field(1)] = ""
    run_id: Annotated[str, field(2)] = ""
    execution_seq: Annotated[int, field(3, int64=True)] = 0
    lease_token: Annotated[str, field(4)] = ""


class JobNack(Message, kw_only=True):
    """The worker cannot take the job: it goes back into the queue and no attempt is used."""

    job_id: Annotated[str, field(1)] = ""
    run_id: Annotated[str, field(2)] = ""
    execution_seq: Annotated[int, field(3, int64=True)] = 0
    lease_token: Annotated[str, field(4)] = ""
    reason: Annotated[NackReason, field(5)] | None = None


class JobReports(Message, kw_only=True):
    """Reports of several jobs. number: comes back with their verdicts. body: as that of POST /workers/{id}/reports."""

    number: Annotated[int, field(1)] = 0
    body: Annotated[Json, field(2, read_later=True)]


class WorkerMessage(Message, kw_only=True):
    """A frame from a worker: one of these."""

    register: Annotated[Register, field(1)] | None = None
    heartbeat: Annotated[Heartbeat, field(2)] | None = None
    step_started: Annotated[StepStarted, field(3)] | None = None
    step_completed: Annotated[StepCompleted, field(4)] | None = None
    step_failed: Annotated[StepFailed, field(5)] | None = None
    step_yielded: Annotated[StepYielded, field(6)] | None = None
    job_completed: Annotated[JobCompleted, field(7)] | None = None
    job_failed: Annotated[JobFailed, field(8)] | None = None
    job_ack: Annotated[JobAck, field(9)] | None = None
    job_nack: Annotated[JobNack, field(10)] | None = None
    reports: Annotated[JobReports, field(100)] | None = None


class Registered(Message, kw_only=True):
    """batches: the server sends and takes them, as the worker asked."""

    worker_id: Annotated[str, field(1)]
    heartbeat_interval_ms: Annotated[int, field(2)]
    batches: Annotated[bool, field(100)] = False


class StreamEvent(Message, kw_only=True):
    id: Annotated[str, field(1)]
    name: Annotated[str, field(2)]
    data: Annotated[Json, field(3, twin=12)]
    idempotency_key: Annotated[str, field(4)] = ""
    source: Annotated[str, field(5)] = ""
    timestamp: Annotated[datetime, field(6)]
    metadata: Annotated[Json, field(7)] | None = None
    version: Annotated[int, field(8)] = 1
    entity_id: Annotated[str, field(9)] = ""
    entity_type: Annotated[str, field(10)] = ""
    entity_version: Annotated[int, field(11, int64=True)] = 0
    emitted_by: Annotated[str, field(13)] = ""


class MemoStep(Message, kw_only=True):
    """A recorded step. output_json: the exact JSON that was stored; status `failed` only for failed invocations."""

    step_id: Annotated[str, field(1)]
    name: Annotated[str, field(2)]
    output: Annotated[Json, field(3, twin=4)]
    status: Annotated[str, field(5)] = ""
    error_json: Annotated[bytes, field(6)] = b""
    output_json: Annotated[bytes, field(7)] = b""


class StreamContext(Message, kw_only=True):
    trace_id: Annotated[str, field(1)] = ""
    metadata: Annotated[dict[str, str], field(2)] = {}
    secrets: Annotated[dict[str, str], field(3)] = {}

    def __repr__(self) -> str:
        return f"StreamContext(secrets={', '.join(self.secrets)})"


class Job(Message, kw_only=True):
    """Leave to make one attempt. execution_seq and lease_token are the fence to echo in every frame."""

    job_id: Annotated[str, field(1)]
    run_id: Annotated[str, field(2)]
    function_id: Annotated[str, field(3)]
    event: Annotated[StreamEvent, field(4)]
    completed_steps: Annotated[list[MemoStep], field(5)] = []
    actor_id: Annotated[str, field(6)] = ""
    attempt: Annotated[int, field(7)]
    context: Annotated[StreamContext, field(8)] | None = None
    execution_seq: Annotated[int, field(9, int64=True)]
    lease_token: Annotated[str, field(10)]
    lease_expires_at: Annotated[datetime, field(11)]
    max_attempts: Annotated[int, field(12)]
    on_exhausted: Annotated[str, field(13)]


class CancelJob(Message, kw_only=True):
    """control (ours): `cancelling`, as in `Verdict.control`: the worker ends the execution and reports it."""

    job_id: Annotated[str, field(1)]
    reason: Annotated[str, field(2)] = ""
    control: Annotated[str, field(100)] = ""


class Shutdown(Message, kw_only=True):
    reason: Annotated[str, field(1)] = ""
    drain_timeout_ms: Annotated[int, field(2)] = 0


class Segment(Message, kw_only=True):
    run_id: Annotated[str, field(1)]
    execution_seq: Annotated[int, field(2, int64=True)]
    state: Annotated[LeaseState, field(3)]


class LeaseRefresh(Message, kw_only=True):
    segments: Annotated[list[Segment], field(1)]


class JobBatch(Message, kw_only=True):
    """Jobs whose leases have begun. body: as the answer of GET /workers/{id}/jobs."""

    body: Annotated[Json, field(1)]


class JobVerdicts(Message, kw_only=True):
    """What became of reports, once it is durable. body: as the answer of POST /workers/{id}/reports."""

    number: Annotated[int, field(1)]
    body: Annotated[Json, field(2)]


class EngineMessage(Message, kw_only=True):
    """A frame from the server: one of these. Existing workers know nothing to do with numbers 3 and 4."""

    registered: Annotated[Registered, field(1)] | None = None
    job: Annotated[Job, field(2)] | None = None
    cancel: Annotated[CancelJob, field(5)] | None = None
    shutdown: Annotated[Shutdown, field(6)] | None = None
    lease_refresh: Annotated[LeaseRefresh, field(7)] | None = None
    jobs: Annotated[JobBatch, field(100)] | None = None
    verdicts: Annotated[JobVerdicts, field(101)] | None = None


connect = operation(
    "streaming_workers.connect", WorkerMessage, EngineMessage,
    rpc="WorkerService/Connect", streaming="bidi", drains=True,
    scope="workers:write", errors=(InvalidFrame, InvalidWorker),
    doc="A worker's stream: it registers, is sent jobs, and reports steps and ends as they happen.",
)  # fmt: skip
