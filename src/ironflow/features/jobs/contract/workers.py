"""A worker as the server knows it: registered, alive, its jobs to end, leaving."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import InvalidArgument, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation

PATH = "/api/v1/workers/{worker}"


class WorkerNotFound(NotFound):
    """This server does not know the worker, or has evicted it. Register again."""

    code = "WORKER_NOT_FOUND"


class InvalidWorker(InvalidArgument):
    """A worker has an id without spaces, `*` or `>` and at least one function id."""

    code = "INVALID_WORKER"


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
    """Renews the leases of exactly the jobs listed.

    Ours: incarnation, polls_before: polls of this process with lower numbers are over, and `jobs` are all that the
    worker has of them: their other leases end. answer_lost: the last poll failed, so that this is no loss of the run.
    """

    worker: str
    active_jobs: int = 0
    jobs: list[HeldJob] = []
    incarnation: str = ""
    polls_before: Annotated[int, field(ge=0)] = 0
    answer_lost: bool = False


class WatchJobs(Message, kw_only=True):
    """jobs: ids of the jobs that the worker holds. wait: seconds to hold an empty answer, at most 25."""

    worker: str
    jobs: list[str] = []
    wait: Annotated[float, field(ge=0)] = 0


class JobControl(Message, kw_only=True):
    """A job that the worker has lost or must end. control: as in a verdict, never `pause`."""

    job_id: str
    control: str


class JobControls(Message, kw_only=True):
    jobs: list[JobControl]


class LeaveWorker(Message, kw_only=True):
    worker: str


class Worker(Message, kw_only=True):
    """registered_by (ours): the key that it registered with, where there is authentication."""

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
    registered_by: str | None = None


class ListWorkers(Message, kw_only=True):
    limit: Annotated[int, field(ge=1, le=10_000)] = 10_000
    cursor: str = ""


class Workers(Message, kw_only=True):
    workers: list[Worker]
    count: int
    next_cursor: str | None = None


register = operation(
    "jobs.register_worker", RegisterWorker, WorkerStatus,
    rest=(f"POST {PATH}/register", f"PUT {PATH}/register"), scope="workers:write",
    under_way=True, errors=(InvalidWorker,),
    doc="Registers a worker or its new configuration; its live leases stay.",
)  # fmt: skip
heartbeat = operation(
    "jobs.heartbeat", Heartbeat, WorkerStatus,
    rest=(f"POST {PATH}/heartbeat", f"PUT {PATH}/heartbeat"), scope="workers:write",
    under_way=True, errors=(WorkerNotFound,),
    doc="Keeps a worker and the leases of the jobs it lists alive.",
)  # fmt: skip
control = operation(
    "jobs.control", WatchJobs, JobControls,
    rest=f"POST {PATH}/control", scope="workers:write", errors=(WorkerNotFound,), holds=True,
    doc="The worker's jobs whose run was cancelled or whose lease has ended; with `wait`, held until there is one.",
)  # fmt: skip
leave = operation(
    "jobs.leave", LeaveWorker, WorkerStatus,
    rest=f"DELETE {PATH}", scope="workers:write",
    doc="The worker has drained: its actors are free, and it is listed no more.",
)  # fmt: skip
list_workers = operation(
    "jobs.list_workers", ListWorkers, Workers,
    rest="GET /api/v1/workers", scope="workers:read",
    doc="The workers that are alive.",
)  # fmt: skip
