"""What can be asked of a run. Ids, tokens and times are given, so that deciding is pure."""

from typing import Literal

import msgspec

from ironflow.base.time import Millis
from ironflow.engine.model import ErrorValue, Policy


class Command(msgspec.Struct, frozen=True):
    """Base of all commands."""


class Create(Command, frozen=True, kw_only=True):
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


class Claim(Command, frozen=True):
    """A worker takes the ready job. acked: it begins at once, without an ack of its own."""

    worker_id: str
    job_id: str
    token: str
    acked: bool
    lease_ms: int
    reservation_ms: int


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


class Unsupported(msgspec.Struct, frozen=True):
    """The execution yields for something that this server does not do."""

    step_id: str
    what: str


YieldFor = Sleep | Unsupported


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


class LeaseExpired(Command, frozen=True):
    """Nobody renewed the lease. losses_max: lost leases in a row, without a new step, after which the run fails."""

    losses_max: int


class Cancel(Command, frozen=True):
    cause: str
