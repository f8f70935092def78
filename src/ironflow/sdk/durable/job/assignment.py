"""A job as the server hands it out: leave to make one attempt at a run.

Own structs and not the contract's, because every server that speaks protocol/worker-rest.md 6 must be readable:
what that page calls optional may be missing here.
"""

from datetime import datetime
from typing import Any

import msgspec

from ironflow.base.errors import Internal
from ironflow.base.trace_context import TraceContext, of_mapping
from ironflow.sdk.values.payload import NOTHING, Raw


class JobEvent(msgspec.Struct, kw_only=True):
    """The event that started the run; data is JSON as it was sent. entity_...: of a stream's event only."""

    id: str
    name: str
    data: Raw
    timestamp: datetime
    version: int = 1
    source: str | None = None
    idempotency_key: str | None = None
    metadata: Any = None
    emitted_by: str | None = None
    emitted_by_camel: str | None = msgspec.field(default=None, name="emittedBy")
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None


class CompletedStep(msgspec.Struct, kw_only=True):
    """A step that is not run again. status: `failed` only for an invoked function; `timed_out` for a wait.

    Of a handle, with its child_run_id, also `waiting`: the run has not ended; and `cancelled`.

    error: the reason. ended_at: where the server sends it.

    type: invoke, sleep, wait_for_event, compensate or invoke_function, where the server sends it.
    Of a step that has not ended, with status `retrying` while it rests, `pending` or `running`: attempt: the one that
    its body has next; progress: what the last one showed. handler_at: the time that the handler goes on with.
    """

    step_id: str
    name: str = ""
    output: Raw = NOTHING
    status: str | None = None
    error: Any = None
    type: str | None = None
    ended_at: datetime | None = None
    attempt: int | None = None
    progress: Any = None
    handler_at: datetime | None = None
    child_run_id: str | None = None

    @property
    def ended(self) -> bool:
        return self.status not in ("retrying", "pending", "running")

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    @property
    def timed_out(self) -> bool:
        return self.status == "timed_out"


class JobContext(msgspec.Struct, kw_only=True):
    """metadata: of the execution, such as the span of its run (`traceparent`)."""

    secrets: dict[str, str] = {}
    metadata: Any = None

    def __repr__(self) -> str:
        return f"JobContext(secrets={', '.join(self.secrets)})"


class JobEntity(msgspec.Struct, kw_only=True):
    """The entity that the function is a handler of. state: what the execution begins with. is_new: there is none.

    number: of the last change that an earlier execution has made; 0 for none.
    """

    entity: str
    key: str
    state: Raw = NOTHING
    is_new: bool = False
    read_only: bool = False
    number: int = 0


class Assignment(msgspec.Struct, kw_only=True):
    """execution_seq and lease_token are the fence, echoed in every report; max_attempts 0 means unknown.

    compensating: the error of a run that has failed: this execution only runs its compensations. timeout_ms: how long
    the execution may take; 0 where the server watches that alone. log_level: from which level on lines of its logger
    are reported; empty for none. run_started_at: when the first execution of the run was handed out.
    function_version: of the function when the run was created; 0 where the server does not say it.
    entity: None for other functions.
    """

    job_id: str
    run_id: str
    function_id: str
    event: JobEvent
    execution_seq: int
    lease_token: str
    attempt: int = 1
    completed_steps: list[CompletedStep] = []
    step_sequence_base: int = 0
    max_attempts: int = 0
    on_exhausted: str = "fail"
    context: JobContext | None = None
    compensating: Any = None
    timeout_ms: int = 0
    log_level: str = ""
    run_started_at: datetime | None = None
    function_version: int = 0
    entity: JobEntity | None = None

    @property
    def secrets(self) -> dict[str, str]:
        return self.context.secrets if self.context is not None else {}

    @property
    def trace(self) -> TraceContext | None:
        """The span that an execution is below: its run's, else the one that emitted the event; None for neither."""
        own = of_mapping(self.context.metadata) if self.context is not None else None
        return own or of_mapping(self.event.metadata)


class _Batch(msgspec.Struct):
    jobs: list[Assignment]


class _Slices(msgspec.Struct):
    jobs: list[Raw]


_read_batch = msgspec.json.Decoder(_Batch).decode
_read_slices = msgspec.json.Decoder(_Slices).decode
_read_one = msgspec.json.Decoder(Assignment).decode


def read_jobs(body: bytes) -> tuple[list[Assignment], list[str]]:
    """The jobs in a poll's answer, and what is wrong with those that cannot be read; the others are sound.

    Raises Internal for a body that is no list of jobs.
    """
    try:
        return _read_batch(body).jobs, []
    except msgspec.MsgspecError:
        pass
    try:
        slices = _read_slices(body).jobs
    except msgspec.MsgspecError as fault:
        raise Internal(f"The server's answer to a poll cannot be understood: {fault}") from fault
    jobs: list[Assignment] = []
    faults: list[str] = []
    for each in slices:
        try:
            jobs.append(_read_one(each))
        except msgspec.MsgspecError as fault:
            faults.append(str(fault))
    return jobs, faults
