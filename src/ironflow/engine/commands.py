"""What can be asked of a run. Ids, tokens and times are given, so that deciding is pure."""

from typing import Literal

import msgspec

from ironflow.base.time import Millis
from ironflow.engine.model import ErrorValue, Policy, Recording


class Command(msgspec.Struct, frozen=True):
    """Base of all commands."""


class Create(Command, frozen=True, kw_only=True):
    """slot_key: the concurrency slot it needs, None without a limit; limit_key: a second one. start_at: not before.

    refused: why it cannot start; it fails at once.
    """

    run_id: str
    environment: str
    function_id: str
    function_version: int
    event_id: str
    event_name: str
    policy: Policy
    actor_id: str | None = None
    parent_run_id: str | None = None
    parent_step_id: str | None = None
    slot_key: str | None = None
    limit_key: str | None = None
    holds_slot: bool = True
    watched: bool = False
    recorded: Recording = ""
    start_at: Millis | None = None
    refused: ErrorValue | None = None


class Admit(Command, frozen=True):
    """The slots that the run needs are free."""


class Claim(Command, frozen=True):
    """A worker takes the ready job. acked: it begins at once, without an ack. log_position: the log's head."""

    worker_id: str
    job_id: str
    token: str
    acked: bool
    lease_ms: int
    reservation_ms: int
    log_position: int = 0


class GiveBack(Command, frozen=True):
    """A job that was handed out did not reach its worker."""

    job_id: str


class Fence(msgspec.Struct, frozen=True):
    """What an execution must know to be heard."""

    job_id: str
    execution_seq: int | None
    token: str


class Ack(Command, frozen=True):
    fence: Fence
    lease_ms: int


class Renew(Command, frozen=True):
    """A heartbeat that lists the job."""

    job_id: str
    worker_id: str
    lease_ms: int


class StepReport(msgspec.Struct, frozen=True):
    """A step as a worker ran it; payloads as JSON texts."""

    step_id: str
    name: str
    type: str
    status: Literal["completed", "failed"]
    output: str | None
    error: str | None
    started_at: Millis | None = None
    ended_at: Millis | None = None
    duration_ms: int | None = None
    compensation_for: str | None = None


class Sleep(msgspec.Struct, frozen=True):
    """The execution yields until a time."""

    step_id: str
    name: str
    until: Millis


LookBack = Literal["execution", "run"]


class WaitForEvent(msgspec.Struct, frozen=True):
    """The execution yields until an event comes.

    event: a name or pattern. path, value: what its data must hold (empty path: no matter). expression: CEL, or empty.
    payload: kept as the step's input. look_back: since when an event counts, the start of the execution or of the run.
    found: a matching event that came since then, as JSON text.
    """

    step_id: str
    name: str
    event: str
    path: str
    value: str
    expression: str
    timeout_ms: int
    payload: str | None = None
    look_back: LookBack = "execution"
    found: str | None = None


class Invoke(msgspec.Struct, frozen=True):
    """The execution yields for another function.

    asynchronous: only for its start. child_run_id: the id the child will have. refusal: why it cannot start, or empty.
    """

    step_id: str
    name: str
    function_id: str
    input: str
    timeout_ms: int
    asynchronous: bool
    child_run_id: str = ""
    refusal: str = ""


YieldFor = Sleep | WaitForEvent | Invoke


class Report(Command, frozen=True, kw_only=True):
    """A checkpoint (`progress`) or the end of an execution.

    step_offset: sequence of steps[0]. elsewhere: another live worker lists the function.
    """

    fence: Fence
    kind: Literal["progress", "completed", "failed", "yielded"]
    lease_ms: int
    steps: tuple[StepReport, ...] = ()
    step_offset: int = 0
    output: str | None = None
    error: ErrorValue | None = None
    yielded: YieldFor | None = None
    elsewhere: bool = False


class SleepOver(Command, frozen=True):
    """The timer of a sleeping step is due."""

    step_id: str


class RetryDue(Command, frozen=True):
    """The delay before the next attempt is over."""


class StartDue(Command, frozen=True):
    """A run that had to wait for its start may start."""


class EventCame(Command, frozen=True):
    """An event that a waiting step matches; `event` as the JSON text that the step returns."""

    step_id: str
    event: str


class WaitTimedOut(Command, frozen=True):
    """No event came in time."""

    step_id: str


class ChildEnded(Command, frozen=True):
    """The run that a step waits for has ended. error: why it failed, as text; None when it completed."""

    step_id: str
    child_run_id: str
    function_id: str
    output: str | None
    error: str | None


class InvokeTimedOut(Command, frozen=True):
    """The invoked function did not end in time; it goes on by itself."""

    step_id: str
    function_id: str


class LeaseExpired(Command, frozen=True):
    """Nobody renewed the lease, or the worker of job_id says that it has the job no more.

    losses_max: lost leases in a row, without a new step, after which the run fails.
    """

    losses_max: int
    job_id: str = ""


class Cancel(Command, frozen=True):
    cause: str


class Pause(Command, frozen=True):
    """Hold the run at the next step boundary."""


class Resume(Command, frozen=True):
    """Goes on from where it stopped, or from a step. from_sequence: that step's, None to keep all steps."""

    from_step: str = ""
    from_sequence: int | None = None


class Inject(Command, frozen=True):
    """Replaces the output (JSON text) of a finished step of a paused run."""

    step_id: str
    output: str
    reason: str


class Patch(Command, frozen=True):
    """Replaces the output (JSON text) of a step. by: who asks."""

    step_id: str
    output: str
    reason: str
    by: str
