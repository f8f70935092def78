"""The facts of a run, which `evolve` folds into its state. Where recording is on they are kept for time travel."""

import msgspec

from ironflow.base.time import Millis
from ironflow.engine.model import EntityState, Hold, Lease, NotBegun, Policy, Reason, Recording, RunValue, Step


class FactBase(msgspec.Struct, frozen=True, tag=True):
    """at: when it happened."""

    at: Millis


class RunCreated(FactBase, frozen=True, tag="run.created", kw_only=True):
    """start_at: the earliest start, None for at once. restarted_from, first_run_id, link: as of `Run`."""

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
    key: str | None = None
    parent_timeout_ms: int = 0
    hold: Hold = ""
    priority: int = 0
    entity: str | None = None
    restarted_from: str | None = None
    first_run_id: str | None = None
    link: int = 0


class Admitted(FactBase, frozen=True, tag="run.admitted"):
    """The run has the slots that it needs; its job is ready."""


class Leased(FactBase, frozen=True, tag="execution.leased"):
    """A worker was handed the job."""

    lease: Lease


class LeaseRenewed(FactBase, frozen=True, tag="execution.renewed"):
    """The execution began, or its worker renewed the lease."""

    lease: Lease


class LeaseLost(FactBase, frozen=True, tag="execution.lost"):
    """The lease expired; the run goes back into the queue."""

    losses: int


class JobReturned(FactBase, frozen=True, tag="execution.returned"):
    """The job came back before the execution began. avoid: a worker that is not offered it again, or empty."""

    avoid: str


class StepsRecorded(FactBase, frozen=True, tag="steps.recorded"):
    """Steps were added or changed, by an execution or by the end of a sleep, wait or invoke.

    announced: ids of those whose start was published before.
    """

    steps: tuple[Step, ...]
    announced: tuple[str, ...] = ()


class StepsProgressed(FactBase, frozen=True, tag="steps.progressed"):
    """Bodies have shown their progress; it is kept with their steps."""

    steps: tuple[Step, ...]


class StepsReleased(FactBase, frozen=True, tag="steps.released"):
    """An attempt ended because of the failures of these steps: they are not replayed, the steps run anew."""

    step_ids: tuple[str, ...]


class StepsUnasked(FactBase, frozen=True, tag="steps.unasked"):
    """The handler went past these recorded steps without asking for them: its code has changed.

    names: of these steps.
    """

    names: tuple[str, ...]


class ValuesSet(FactBase, frozen=True, tag="values.set"):
    """The handler has set values."""

    values: tuple[RunValue, ...]


class StateChanged(FactBase, frozen=True, tag="entity.state_changed"):
    """The handler has changed the state of its entity."""

    state: EntityState


class StepInjected(FactBase, frozen=True, tag="step.injected"):
    """A person replaced the output of a finished step of a paused run."""

    step: Step
    reason: str


class StepPatched(FactBase, frozen=True, tag="step.patched"):
    """A person replaced the output of a step."""

    step: Step
    reason: str


class StepsDropped(FactBase, frozen=True, tag="steps.dropped"):
    """Steps from this sequence on were removed; they run again."""

    from_sequence: int


class Join(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run goes on with at most `left` open handles, or with more than `known_failed` failed ones; None: never."""

    left: int
    known_failed: int | None = None


class Waiting(FactBase, frozen=True, tag="run.waiting"):
    """The execution ended and the run waits. until: when a timer wakes it, None without a timer.

    join: it waits for handles.
    """

    reason: Reason
    until: Millis | None
    step_id: str
    report: str
    join: Join | None = None


class WakeScheduled(FactBase, frozen=True, tag="run.wake_scheduled"):
    """Some of many open steps have ended: the run goes on at `wake_at`, with those that end until then."""

    wake_at: Millis


class Woken(FactBase, frozen=True, tag="run.woken"):
    """The run no longer waits; it is back in the queue."""


class AttemptFailed(FactBase, frozen=True, tag="attempt.failed"):
    """The attempt failed and another follows at `retry_at`."""

    error: str
    retry_at: Millis
    report: str


class RetryStarted(FactBase, frozen=True, tag="attempt.started"):
    """The next attempt is in the queue."""

    attempt: int


class PauseRequested(FactBase, frozen=True, tag="run.pause_requested"):
    """The run will pause at the next step boundary. by: the principal that asks; note: the reason it gives."""

    by: str = ""
    note: str = ""


class PauseWithdrawn(FactBase, frozen=True, tag="run.pause_withdrawn"):
    """The requested pause is not wanted any more; the execution goes on. by, note: as of PauseRequested."""

    by: str = ""
    note: str = ""


class RunPaused(FactBase, frozen=True, tag="run.paused"):
    """report: `report_id` of the update that caused it, empty when none did. by, note: as of PauseRequested, of a
    pause that takes effect at once."""

    reason: Reason
    error: str | None
    report: str
    by: str = ""
    note: str = ""


class RunResumed(FactBase, frozen=True, tag="run.resumed"):
    """attempt: the one that goes on; 1 where the budget is fresh. from_step, by, note: as in the command."""

    attempt: int
    from_step: str
    by: str = ""
    note: str = ""


class CancelRequested(FactBase, frozen=True, tag="run.cancel_requested"):
    """The run is to be cancelled, once its compensations have run."""

    cause: str


class CompensationStarted(FactBase, frozen=True, tag="run.compensating"):
    """The run has failed without its worker, or is to be cancelled: one more execution runs its compensations.

    retry_at: compensations have failed, or could not begin; the execution tries them again then. None: it is ready at
    once. not_begun: why the execution before could not begin.
    """

    error: str
    report: str
    retry_at: Millis | None = None
    not_begun: NotBegun | None = None


class RunCompleted(FactBase, frozen=True, tag="run.completed"):
    """restarted_as: the run that goes on in its place."""

    output: str
    report: str
    restarted_as: str | None = None


class RunFailed(FactBase, frozen=True, tag="run.failed"):
    """not_begun: why its compensations have not run; None when they have, or when there was nothing to undo."""

    error: str
    report: str
    not_begun: NotBegun | None = None


class RunCancelled(FactBase, frozen=True, tag="run.cancelled"):
    """not_begun: as of a run that has failed."""

    cause: str
    report: str = ""
    not_begun: NotBegun | None = None


# Facts that make a run wait or pause, and the one that ends a pause.
Interruption = Waiting | AttemptFailed | PauseRequested | PauseWithdrawn | RunPaused | RunResumed
# All facts.
Fact = (
    RunCreated
    | Admitted
    | Leased
    | LeaseRenewed
    | LeaseLost
    | JobReturned
    | StepsRecorded
    | StepsProgressed
    | StepsReleased
    | StepsUnasked
    | ValuesSet
    | StateChanged
    | StepInjected
    | StepPatched
    | StepsDropped
    | Waiting
    | WakeScheduled
    | Woken
    | AttemptFailed
    | RetryStarted
    | PauseRequested
    | PauseWithdrawn
    | RunPaused
    | RunResumed
    | CancelRequested
    | CompensationStarted
    | RunCompleted
    | RunFailed
    | RunCancelled
)


def tag_of(fact: Fact) -> str:
    """The kind of the fact as it is stored, such as `run.created`."""
    return str(type(fact).__struct_config__.tag)
