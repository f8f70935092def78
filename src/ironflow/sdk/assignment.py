"""A job as the server hands it out: leave to make one attempt at a run.

Own structs and not the contract's, because every server that speaks protocol/worker-rest.md 6 must be understood:
what that page calls optional may be missing here.
"""

from datetime import datetime
from typing import Any

import msgspec

from ironflow.base.errors import Internal
from ironflow.sdk.payload import NOTHING, Raw


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
    """A step that is not run again. status: `failed` only for an invoked function; error says why then.

    type: invoke, sleep, wait_for_event, compensate or invoke_function, where the server says it.
    """

    step_id: str
    name: str = ""
    output: Raw = NOTHING
    status: str | None = None
    error: Any = None
    type: str | None = None

    @property
    def failed(self) -> bool:
        return self.status == "failed"


class JobContext(msgspec.Struct, kw_only=True):
    secrets: dict[str, str] = {}


class Assignment(msgspec.Struct, kw_only=True):
    """execution_seq and lease_token are the fence, echoed in every report; max_attempts 0 means not told."""

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

    @property
    def secrets(self) -> dict[str, str]:
        return self.context.secrets if self.context is not None else {}


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
