"""What happened to a run. Facts are all that `evolve` knows; where recording is on they are kept for time travel."""

import msgspec

from ironflow.base.time import Millis
from ironflow.engine.model import Lease, Policy, Reason, Step


class Fact(msgspec.Struct, frozen=True, tag=True):
    """Base: `at` is when it happened."""

    at: Millis


class RunCreated(Fact, frozen=True, tag="run.created", kw_only=True):
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


class Leased(Fact, frozen=True, tag="execution.leased"):
    """A worker was handed the run."""

    lease: Lease


class LeaseRenewed(Fact, frozen=True, tag="execution.renewed"):
    """The execution began, or showed that it is alive."""

    lease: Lease


class LeaseLost(Fact, frozen=True, tag="execution.lost"):
    """No word came in time; the run goes back into the queue."""

    losses: int


class JobReturned(Fact, frozen=True, tag="execution.returned"):
    """A worker gave the job back unrun; `avoid` is not offered it again."""

    avoid: str


class StepsRecorded(Fact, frozen=True, tag="steps.recorded"):
    """Steps new or changed."""

    steps: tuple[Step, ...]


class Waiting(Fact, frozen=True, tag="run.waiting"):
    """The execution yielded. until: when it goes on by itself, None when something else must happen."""

    reason: Reason
    until: Millis | None
    report: str


class Woken(Fact, frozen=True, tag="run.woken"):
    """What the run waited for has happened; it is back in the queue."""


class AttemptFailed(Fact, frozen=True, tag="attempt.failed"):
    """The attempt failed and another follows at `retry_at`."""

    error: str
    retry_at: Millis
    report: str


class RetryStarted(Fact, frozen=True, tag="attempt.started"):
    """The next attempt is in the queue."""

    attempt: int


class RunPaused(Fact, frozen=True, tag="run.paused"):
    reason: Reason
    error: str | None
    report: str


class RunCompleted(Fact, frozen=True, tag="run.completed"):
    output: str
    report: str


class RunFailed(Fact, frozen=True, tag="run.failed"):
    error: str
    report: str


class RunCancelled(Fact, frozen=True, tag="run.cancelled"):
    cause: str
