"""What happened to a run. Facts are all that `evolve` knows; where recording is on they are kept for time travel."""

import msgspec

from ironflow.base.time import Millis
from ironflow.engine.model import Lease, Policy, Reason, Recording, Step


class Fact(msgspec.Struct, frozen=True, tag=True):
    """Base: `at` is when it happened."""

    at: Millis


class RunCreated(Fact, frozen=True, tag="run.created", kw_only=True):
    """start_at: when it may start, None for at once."""

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


class Admitted(Fact, frozen=True, tag="run.admitted"):
    """The slots that it needs are its own; it waits for a worker now."""


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
    """Steps new or changed by an execution, or by what it waited for."""

    steps: tuple[Step, ...]


class StepInjected(Fact, frozen=True, tag="step.injected"):
    """A person replaced the output of a finished step of a paused run."""

    step: Step
    reason: str


class StepPatched(Fact, frozen=True, tag="step.patched"):
    """A person replaced the output of a step."""

    step: Step
    reason: str


class StepsDropped(Fact, frozen=True, tag="steps.dropped"):
    """Steps from this sequence on are forgotten; they run again."""

    from_sequence: int


class Waiting(Fact, frozen=True, tag="run.waiting"):
    """The execution yielded. until: when it goes on by itself, None when something else must happen."""

    reason: Reason
    until: Millis | None
    step_id: str
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


class PauseRequested(Fact, frozen=True, tag="run.pause_requested"):
    """The run will pause at the next step boundary."""


class RunPaused(Fact, frozen=True, tag="run.paused"):
    """report: token and status of the update that brought it, empty when none did."""

    reason: Reason
    error: str | None
    report: str


class RunResumed(Fact, frozen=True, tag="run.resumed"):
    """attempt: the one that goes on; 1 where the budget is fresh. from_step: as it was asked for."""

    attempt: int
    from_step: str


class RunCompleted(Fact, frozen=True, tag="run.completed"):
    output: str
    report: str


class RunFailed(Fact, frozen=True, tag="run.failed"):
    error: str
    report: str


class RunCancelled(Fact, frozen=True, tag="run.cancelled"):
    cause: str


AnyFact = (
    RunCreated
    | Admitted
    | Leased
    | LeaseRenewed
    | LeaseLost
    | JobReturned
    | StepsRecorded
    | StepInjected
    | StepPatched
    | StepsDropped
    | Waiting
    | Woken
    | AttemptFailed
    | RetryStarted
    | PauseRequested
    | RunPaused
    | RunResumed
    | RunCompleted
    | RunFailed
    | RunCancelled
)


def tag_of(fact: Fact) -> str:
    """The word for this kind of fact, such as `run.created`."""
    return str(type(fact).__struct_config__.tag)
