"""What can be asked of functions.

Source of shapes and numbers: protocol/connectrpc.json, protocol/worker-rest.md 3, protocol/rest.md 4.
"""

from datetime import datetime
from typing import Annotated, Any

from ironflow.base.duration import LONGEST_MS
from ironflow.base.errors import ID_SHOWN_CHARS, FailedPrecondition, InvalidArgument, NotFound
from ironflow.base.fields import Message, WireEnum, field
from ironflow.base.json import Json
from ironflow.base.operation import operation

# More attempts than a run can have in the time for which it is kept.
ATTEMPTS_MAX = 1_000_000


class FunctionNotFound(NotFound):
    """There is no function of that id in this environment. Register it, or start the worker that does."""

    code = "FUNCTION_NOT_FOUND"

    def __init__(self, message: str | None = None, *, function_id: str = "", **more: Any) -> None:
        super().__init__(message, **more)
        if function_id:
            self.details["function_id"] = function_id[:ID_SHOWN_CHARS]

    @property
    def function_id(self) -> str:
        """The one that was asked for; empty where a server of an older release does not say it."""
        return str(self.details.get("function_id", ""))


class FunctionNotActive(FailedPrecondition):
    """The function is paused or archived. Set its status to active first."""

    code = "FUNCTION_NOT_ACTIVE"


class InvalidFunction(InvalidArgument):
    """The function's configuration is not valid."""

    code = "INVALID_FUNCTION"


class ExecutionMode(WireEnum):
    PUSH = "push"
    PULL = "pull"

    @classmethod
    def prefix(cls) -> str:
        return "EXECUTION_MODE_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"push": 1, "pull": 2}

    @property
    def sent_by_rest(self) -> str:
        """As it is: existing clients pass the text on."""
        return self.value


class FunctionStatus(WireEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"

    @classmethod
    def prefix(cls) -> str:
        return "FUNCTION_STATUS_"

    @classmethod
    def numbers(cls) -> dict[str, int]:
        return {"active": 1, "paused": 2, "archived": 3}

    @property
    def sent_by_rest(self) -> str:
        """As it is: existing clients pass the text on."""
        return self.value


class Trigger(Message, kw_only=True):
    """Either `event` (a name or pattern, with an optional CEL `expression`) or `cron`.

    overlap: what a tick does while runs of earlier ticks have not ended: all (the default), skip, one, cancel_running.
    """

    event: Annotated[str, field(1)] = ""
    expression: Annotated[str, field(2)] = ""
    cron: Annotated[str, field(3)] = ""
    timezone: Annotated[str, field(None, also=("tz",))] = ""
    overlap: Annotated[str, field(100)] = ""


class RetryConfig(Message, kw_only=True):
    """max_attempts counts the first one; 0 and absent mean the server's default. on_exhausted: `fail` or `pause`."""

    max_attempts: Annotated[int, field(1, ge=0)] = 0
    initial_delay_ms: Annotated[int, field(2, ge=0, le=LONGEST_MS)] = 0
    backoff_factor: Annotated[float, field(3, ge=0)] = 0
    max_delay_ms: Annotated[int, field(4, ge=0, le=LONGEST_MS)] = 0
    on_exhausted: Annotated[str, field(5)] = ""


class ConcurrencyConfig(Message, kw_only=True):
    """scope: the name of a limit that functions share; empty for one of the function's own.

    hold: `execution`, a slot is held by each execution, or `run`, from the first execution to the end of the run.
    """

    limit: Annotated[int, field(1, ge=0)] = 0
    key: Annotated[str, field(2)] = ""
    scope: Annotated[str, field(100)] = ""
    hold: Annotated[str, field(101)] = ""


class EntityConfig(Message, kw_only=True):
    """The function is a handler of the entity `name`, of the key at the path `key` in the event's data (ours).

    access: `write` (default): the handlers of one key run one at a time; `read`: beside them, without changing it.
    """

    name: str
    key: str
    access: str = ""


class DebounceConfig(Message, kw_only=True):
    period_ms: Annotated[int, field(1, ge=0, le=LONGEST_MS)] = 0
    key: Annotated[str, field(2)] = ""
    max_wait_ms: Annotated[int, field(3, int64=True, ge=0, le=LONGEST_MS)] = 0


class ThrottleConfig(Message, kw_only=True):
    limit: Annotated[int, field(1, ge=0)] = 0
    period_ms: Annotated[int, field(2, ge=0, le=LONGEST_MS)] = 0
    key: Annotated[str, field(3)] = ""


class CircuitBreakerConfig(Message, kw_only=True):
    failure_threshold: Annotated[int, field(1, ge=0)] = 0
    open_duration_ms: Annotated[int, field(2, ge=0, le=LONGEST_MS)] = 0
    max_open_duration_ms: Annotated[int, field(3, ge=0, le=LONGEST_MS)] = 0


class CancelOnSpec(Message, kw_only=True):
    event: Annotated[str, field(1)] = ""
    match: Annotated[str, field(2)] = ""


class RegisterFunction(Message, kw_only=True):
    id: Annotated[str, field(1)]
    name: Annotated[str, field(2)] = ""
    description: Annotated[str, field(3)] = ""
    triggers: Annotated[list[Trigger], field(4)] = []
    retry: Annotated[RetryConfig, field(5)] | None = None
    timeout_ms: Annotated[int, field(6, ge=0, le=LONGEST_MS)] = 0
    concurrency: Annotated[ConcurrencyConfig, field(7)] | None = None
    preferred_mode: Annotated[ExecutionMode | None, field(8)] = None
    endpoint_url: Annotated[str, field(9)] = ""
    actor_key: Annotated[str, field(10)] = ""
    secrets: Annotated[list[str], field(11)] = []
    recording: Annotated[bool, field(12)] = False
    recording_retention: Annotated[str, field(13)] = ""
    pause_behavior: Annotated[str, field(14)] = ""
    metadata: Annotated[dict[str, Json], field(15)] = {}
    change_reason: Annotated[str, field(16)] = ""
    debounce: Annotated[DebounceConfig, field(17)] | None = None
    compensate_on_cancel: Annotated[bool, field(18)] = False
    cancel_on: Annotated[list[CancelOnSpec], field(19)] = []
    recording_profile: Annotated[str, field(20)] = ""
    circuit_breaker: Annotated[CircuitBreakerConfig, field(21)] | None = None
    throttle: Annotated[ThrottleConfig, field(22)] | None = None
    # Ours. A worker of the function runs compensations in an execution of their own, bounded by this; 0: it cannot.
    # With compensate_on_cancel there is such an execution before a run is cancelled, too.
    compensation_timeout_ms: Annotated[int, field(None, ge=0, le=LONGEST_MS)] = 0
    # Ours. Only workers that have all of these labels are handed its jobs.
    labels: Annotated[dict[str, str], field(None)] = {}
    # Ours, with an endpoint. The time for one request to it; 0: the server's default. push_checkpoints: the endpoint
    # records each step by a call back to the server before its handler goes on.
    push_budget_ms: Annotated[int, field(None, ge=0, le=LONGEST_MS)] = 0
    push_checkpoints: Annotated[bool, field(None)] = False
    # Ours. CEL over the event that gives the key of a run, and what a start does whose key a run has: use (default),
    # refuse or replace.
    run_key: Annotated[str, field(None)] = ""
    if_running: Annotated[str, field(None)] = ""
    priority: Annotated[str, field(None)] = ""
    # Ours. What becomes of runs under way when the code changes: continue, warn, pause or pin; empty: the server's.
    on_code_change: Annotated[str, field(None)] = ""
    entity: Annotated[EntityConfig, field(None)] | None = None


class Function(Message, kw_only=True):
    """A registered function. version rises when the configuration changes, not when it is registered again.

    warnings (ours): settings that were taken and have no effect, such as a trigger that no event can ever fire.
    """

    id: Annotated[str, field(1)]
    name: Annotated[str, field(2)]
    description: Annotated[str, field(3)] = ""
    triggers: Annotated[list[Trigger], field(4)] = []
    retry: Annotated[RetryConfig, field(5)] | None = None
    timeout_ms: Annotated[int, field(6)] = 0
    concurrency: Annotated[ConcurrencyConfig, field(7)] | None = None
    preferred_mode: Annotated[ExecutionMode, field(8)] = ExecutionMode.PULL
    endpoint_url: Annotated[str, field(9)] = ""
    actor_key: Annotated[str, field(10)] = ""
    status: Annotated[FunctionStatus, field(11)] = FunctionStatus.ACTIVE
    version: Annotated[int, field(12)] = 1
    created_at: Annotated[datetime, field(13)]
    updated_at: Annotated[datetime, field(14)]
    recording: Annotated[bool, field(15)] = False
    recording_retention: Annotated[str, field(16)] = ""
    pause_behavior: Annotated[str, field(17)] = ""
    metadata: Annotated[dict[str, Json], field(18)] = {}
    debounce: Annotated[DebounceConfig, field(19)] | None = None
    compensate_on_cancel: Annotated[bool, field(20)] = False
    cancel_on: Annotated[list[CancelOnSpec], field(21)] = []
    recording_profile: Annotated[str, field(22)] = ""
    next_run: Annotated[datetime, field(23)] | None = None
    circuit_breaker: Annotated[CircuitBreakerConfig, field(24)] | None = None
    throttle: Annotated[ThrottleConfig, field(25)] | None = None
    code_hash: str = ""
    compensation_timeout_ms: Annotated[int, field(None)] = 0
    labels: Annotated[dict[str, str], field(None)] = {}
    push_budget_ms: Annotated[int, field(None)] = 0
    push_checkpoints: Annotated[bool, field(None)] = False
    run_key: Annotated[str, field(None)] = ""
    if_running: Annotated[str, field(None)] = ""
    priority: Annotated[str, field(None)] = ""
    on_code_change: Annotated[str, field(None)] = ""
    entity: Annotated[EntityConfig, field(None)] | None = None
    warnings: Annotated[list[str], field(None)] = []


class Registered(Message, kw_only=True):
    function: Annotated[Function, field(1)]
    created: Annotated[bool, field(2)]


class GetFunction(Message, kw_only=True):
    id: Annotated[str, field(1)]


class ListFunctions(Message, kw_only=True):
    status: Annotated[FunctionStatus | None, field(1)] = None
    limit: Annotated[int, field(2, ge=0, le=10_000)] = 0
    cursor: Annotated[str, field(3)] = ""
    name: Annotated[str, field(4)] = ""
    mode: Annotated[str, field(5)] = ""
    offset: Annotated[int, field(6, ge=0)] = 0


class Functions(Message, kw_only=True):
    functions: Annotated[list[Function], field(1)]
    next_cursor: Annotated[str, field(2)] | None = None
    total_count: Annotated[int, field(3)] = 0


class UpdateFunctionStatus(Message, kw_only=True):
    id: Annotated[str, field(1)]
    status: Annotated[FunctionStatus, field(2)]


class ListFunctionTicks(Message, kw_only=True):
    function_id: str
    limit: Annotated[int, field(ge=1, le=100)] = 10


class FunctionTick(Message, kw_only=True):
    at: datetime
    cron: str
    timezone: str = ""


class FunctionTicks(Message, kw_only=True):
    """ticks: the next first."""

    ticks: list[FunctionTick]


register = operation(
    "functions.register", RegisterFunction, Registered,
    rpc="IronflowService/RegisterFunction", rest="POST /api/v1/functions", spelling="both",
    scope="functions:write", errors=(InvalidFunction,),
    doc="Creates or updates a function. Registering the same configuration again changes nothing.",
)  # fmt: skip
get = operation(
    "functions.get", GetFunction, Function,
    rpc="IronflowService/GetFunction", rest="GET /api/v1/functions/{id...}", spelling="both",
    scope="functions:read", errors=(FunctionNotFound,),
    doc="One function by id.",
)  # fmt: skip
list_ = operation(
    "functions.list", ListFunctions, Functions,
    rpc="IronflowService/ListFunctions", rest="GET /api/v1/functions", spelling="both", scope="functions:read",
    rest_defaults={"limit": 10_000},
    doc="Functions by id. `name` matches a part of id or name, `mode` is push or pull.",
)  # fmt: skip
update_status = operation(
    "functions.update_status", UpdateFunctionStatus, Function,
    rpc="IronflowService/UpdateFunctionStatus", scope="functions:write", errors=(FunctionNotFound,),
    doc="Sets a function active, paused (starts no new runs) or archived (hidden, starts none).",
)  # fmt: skip
delete = operation(
    "functions.delete", GetFunction, None,
    rpc="IronflowService/DeleteFunction", rest="DELETE /api/v1/functions/{id...}", scope="functions:write",
    errors=(FunctionNotFound,),
    doc="Deletes a function. Its runs and their history stay.",
)  # fmt: skip
list_ticks = operation(
    "functions.list_ticks", ListFunctionTicks, FunctionTicks,
    rest="GET /api/v1/function-ticks", scope="functions:read", errors=(FunctionNotFound,),
    doc="The next times of a function's cron triggers; none while it is not active.",
)  # fmt: skip
