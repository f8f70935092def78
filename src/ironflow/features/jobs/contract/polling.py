"""Claiming jobs: the assignments that a poll answers, and the start of their leases."""

from datetime import datetime
from typing import Annotated

from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.engine.errors import StaleExecution
from ironflow.features.entities.contract import JobEntity
from ironflow.features.jobs.contract.workers import PATH, WorkerNotFound, WorkerStatus


class PollJobs(Message, kw_only=True):
    """wait: seconds to hold an empty poll, at most 25.

    Ours: acked: jobs come with a lease that has begun. grace_ms: how much longer than the function's timeout their
    leases last, because the worker ends the executions itself: at most a minute. incarnation, number: of the worker's
    process, and of the poll, counted there: their leases know them, so that jobs of a lost answer are given back.
    """

    worker: str
    available: Annotated[int, field(ge=0)] = 1
    wait: Annotated[float, field(ge=0)] = 0
    acked: bool = False
    grace_ms: Annotated[int, field(ge=0)] = 0
    incarnation: str = ""
    number: Annotated[int, field(ge=0)] = 0


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


class AckJob(Message, kw_only=True):
    worker: str
    job: str
    run_id: str = ""
    execution_seq: int | None = None
    lease_token: str = ""


poll = operation(
    "jobs.poll", PollJobs, Assignments,
    rest=f"GET {PATH}/jobs", scope="workers:write", under_way=True, errors=(WorkerNotFound,),
    holds=True, empty_when="jobs", response_headers={"Ironflow-Poll-Wait": "held_s"},
    doc="Claims up to `available` jobs; with `wait`, holds the answer until there is one.",
)  # fmt: skip
ack = operation(
    "jobs.ack", AckJob, WorkerStatus,
    rest=f"PUT {PATH}/jobs/{{job}}/ack", scope="workers:write", under_way=True, errors=(StaleExecution,),
    doc="Starts the lease of a claimed job, before user code runs.",
)  # fmt: skip
