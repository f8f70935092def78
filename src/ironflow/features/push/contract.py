"""The exchange of a push execution, and the call back of an endpoint that records its steps one by one.

Source: protocol/rest.md 6. What is marked as ours is sent to endpoints, and taken from endpoints, of this project.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.features.entities.contract import ChangedState
from ironflow.features.jobs.contract import ReportedError, ReportedStep, Reports, Restart, Verdicts, Yield
from ironflow.features.log_lines.contract import ReportedLine
from ironflow.features.values.contract import SetValue

REPORTS_PATH = "/api/v1/push/reports"


class PushEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The event that started the run. data: any JSON. metadata: an object, or absent."""

    id: str
    name: str
    data: msgspec.Raw
    timestamp: datetime
    version: int
    source: str | None = None
    idempotency_key: str | None = None
    metadata: msgspec.Raw | UnsetType = UNSET
    emitted_by: str | None = None
    entity_id: str | None = None
    entity_type: str | None = None
    entity_version: int | None = None


class PushStep(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A step that is not run again. error: JSON as text. Ours: the rest, as in a worker's assignment."""

    id: str
    name: str
    status: str
    output: msgspec.Raw | UnsetType = UNSET
    error: str | None = None
    type: str | None = None
    ended_at: datetime | None = None
    attempt: int | None = None
    progress: msgspec.Raw | UnsetType = UNSET
    handler_at: datetime | None = None


class PushEntity(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the function is a handler of, as in a worker's assignment. state: absent where there is none."""

    entity: str
    key: str
    state: msgspec.Raw | UnsetType = UNSET
    is_new: bool = False
    read_only: bool = False
    number: int = 0


class Callback(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Ours. Where finished steps are recorded before the handler goes on, with the fence of the execution.

    budget_ms: how long the server waits for the answer. compensating: the error of a run that has failed; the execution
    only runs its compensations. features: what the server has besides, as it announces them to workers.
    run_started_at: when the first execution of the run was handed out. function_version: of the function when the run
    was created.
    log_level: from which level on lines of its logger are kept; absent when none are. entity: of its handlers alone.
    """

    url: str
    job_id: str
    execution_seq: int
    lease_token: str
    step_sequence_base: int
    environment: str
    budget_ms: int
    compensating: msgspec.Raw | UnsetType = UNSET
    features: list[str] = []
    run_started_at: datetime | None = None
    function_version: int = 0
    log_level: str | None = None
    entity: PushEntity | None = None


class PushRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the server posts to an endpoint: one execution of a run. ironflow: ours."""

    run_id: str
    function_id: str
    attempt: int
    event: PushEvent
    steps: list[PushStep]
    max_attempts: int = 0
    on_exhausted: str = ""
    secrets: dict[str, str] | None = None
    ironflow: Callback | None = None


class PushResponse(Message, kw_only=True):
    """What an endpoint answers with status 200.

    status: completed (with result), yielded (with yield) or failed (with error); ours: dropped, for an execution that
    is over according to a call back. steps: those that were run.
    Ours: yields, all that the handler waits for; cancels, uncompensated, uncompensated_steps, unasked_steps, caused_by,
    step_offset, logs, values, state, restart as in a worker's report; job_id, the execution that is answered.
    """

    status: str
    steps: list[ReportedStep] = []
    result: Json | None = None
    yielded: Annotated[Yield | None, field(also=("yield",))] = None
    error: ReportedError | None = None
    yields: list[Yield] = []
    cancels: list[str] = []
    uncompensated: bool = False
    uncompensated_steps: list[str] = []
    unasked_steps: list[str] = []
    caused_by: list[str] = []
    step_offset: int = 0
    logs: list[ReportedLine] = []
    values: list[SetValue] = []
    state: ChangedState | None = None
    restart: Restart | None = None
    job_id: str = ""


report = operation(
    "push.report", Reports, Verdicts,
    rest=f"POST {REPORTS_PATH}", scope="public",
    doc="Records steps of push executions before their handlers go on. The fence of each report is its credential.",
)  # fmt: skip
