"""The commands that a run accepts. Ids, tokens and times are given, so that deciding is pure."""

from typing import Literal

import msgspec

from ironflow.base.time import Millis
from ironflow.base.trace_context import TraceContext
from ironflow.engine.model import EntityState, ErrorValue, Hold, OnTimeout, Policy, Recording, RunValue


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """Creates a run.

    slot_key: the concurrency slot it needs, None without a limit; limit_key: a second one. start_at: the earliest
    start, None for at once. refused: why it cannot start; the run fails at once. key: as of `Run`.
    superseded_by: the run that replaces it in the commit that creates it; it is cancelled at once.
    parent_timeout_ms: how long its parent waits from its start, 0 where that is counted from the call.
    restarted_from, first_run_id, link: as of `Run`. paused: it is held for a person from its beginning.
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
    key: str | None = None
    superseded_by: str | None = None
    parent_timeout_ms: int = 0
    hold: Hold = ""
    priority: int = 0
    entity: str | None = None
    restarted_from: str | None = None
    first_run_id: str | None = None
    link: int = 0
    paused: bool = False


class Admit(msgspec.Struct, frozen=True):
    """The slots that the run needs are free."""


class Claim(msgspec.Struct, frozen=True):
    """A worker takes the ready job. acked: it begins at once, without an ack. log_position: the head of the log.

    grace_ms: what an acked lease may last beyond the function's timeout, for the worker to end what still runs.
    node: the incarnation of the server that the execution ends with, if it does.
    """

    worker_id: str
    job_id: str
    token: str
    acked: bool
    lease_ms: int
    reservation_ms: int
    log_position: int = 0
    grace_ms: int = 0
    node: str = ""


class GiveBack(msgspec.Struct, frozen=True):
    """A job that was handed out did not reach its worker."""

    job_id: str


class Fence(msgspec.Struct, frozen=True):
    """What a request of an execution must carry; it is refused unless all three are those of the live lease."""

    job_id: str
    execution_seq: int | None
    token: str


class Ack(msgspec.Struct, frozen=True):
    """The worker begins the execution that it was handed."""

    fence: Fence
    lease_ms: int


class Renew(msgspec.Struct, frozen=True):
    """A heartbeat that lists the job."""

    job_id: str
    worker_id: str
    lease_ms: int


class StepReport(msgspec.Struct, frozen=True):
    """A step as a worker ran it; payloads as JSON texts.

    keeps_failure: replays raise the failure again. announced: an earlier report announced the start of its body.
    attempt: of a step with a retry of its own, from 1; 0 for others. attempts_max: how many it may have. retry_in_ms:
    how long it rests before the next one; None when there is none. progress, source: see `Step`.
    """

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
    keeps_failure: bool = False
    announced: bool = False
    attempt: int = 0
    attempts_max: int = 0
    retry_in_ms: int | None = None
    progress: str | None = None
    source: str | None = None


class StepProgress(msgspec.Struct, frozen=True):
    """What the body of a step shows. details: JSON text. attempt, attempts_max: as in StepReport."""

    step_id: str
    name: str
    type: str
    details: str
    started_at: Millis | None = None
    attempt: int = 0
    attempts_max: int = 0


class Sleep(msgspec.Struct, frozen=True):
    """The execution ends, and its run waits for a time. source: see `Step`."""

    step_id: str
    name: str
    until: Millis
    source: str | None = None


LookBack = Literal["execution", "run"]


class WaitForEvent(msgspec.Struct, frozen=True):
    """The execution ends, and its run waits for an event.

    event: a name or pattern. path, value: the value that its data must have there; an empty path matches any data.
    expression: CEL, or empty. payload: kept as the step's input. look_back: earlier events count from the start of the
    execution or of the run. found: a matching event since then, as JSON text. on_timeout, source: see `Step`.
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
    on_timeout: OnTimeout = ""
    source: str | None = None


class Invoke(msgspec.Struct, frozen=True):
    """The execution ends, and its run waits for a run of another function, its child.

    asynchronous: the step completes as soon as the child is created. child_run_id: the id the child will have.
    refusal: why the child cannot start, or empty. on_timeout, source: see `Step`. handle: it is started, joined later.
    delay_ms: until the child may start. from_start: timeout_ms counts from the child's start.
    with_triggers: the function may have triggers. trace: the span that invokes it. entity_key: of the entity that the
    function is a handler of; empty for that in the input. cancelled: an event that cancels the child has come since the
    one that started the run.
    """

    step_id: str
    name: str
    function_id: str
    input: str
    timeout_ms: int
    asynchronous: bool
    child_run_id: str = ""
    refusal: str = ""
    on_timeout: OnTimeout = ""
    handle: bool = False
    delay_ms: int = 0
    from_start: bool = False
    with_triggers: bool = False
    trace: TraceContext | None = None
    source: str | None = None
    entity_key: str = ""
    cancelled: bool = False


class JoinHandles(msgspec.Struct, frozen=True):
    """The execution ends, and its run waits for handles. step_id: of one of them. The rest is as in `facts.Join`."""

    step_id: str
    left: int
    known_failed: int | None = None


class Rest(msgspec.Struct, frozen=True):
    """The execution ends, and its run waits for the next attempt of a step, whose failed one is reported."""

    step_id: str
    name: str


YieldFor = Sleep | WaitForEvent | Invoke | Rest


class Restart(msgspec.Struct, frozen=True):
    """The run ends, and another goes on in its place. input: JSON text. run_id: the id that the other will have."""

    input: str
    run_id: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint (`progress`) or the end of an execution.

    step_offset: sequence of steps[0]. yields: what the handler waits for, at least one of kind `yielded` without a
    join; of a checkpoint, waits that are open already, and handles. cancels: see `decide_step_cancels`.
    uncompensated: the failure ends the run before its compensations have run. running: bodies that still run beside
    a checkpoint; a pause waits for them. caused_by: the failed steps that ended the attempt; they run anew.
    uncompensated_steps: compensations that failed in this execution. unasked_steps: names of recorded steps that
    the handler did not ask for. values: that it has set since its last report. state: of its entity, when it has
    changed. progress: of bodies that run.
    elsewhere: another live worker has the function. restart: of kind `completed`: the run does not end but restarts.
    """

    fence: Fence
    kind: Literal["progress", "completed", "failed", "yielded"]
    lease_ms: int
    steps: tuple[StepReport, ...] = ()
    step_offset: int = 0
    output: str | None = None
    error: ErrorValue | None = None
    yields: tuple[YieldFor, ...] = ()
    cancels: tuple[str, ...] = ()
    uncompensated: bool = False
    running: int = 0
    caused_by: tuple[str, ...] = ()
    uncompensated_steps: tuple[str, ...] = ()
    unasked_steps: tuple[str, ...] = ()
    values: tuple[RunValue, ...] = ()
    progress: tuple[StepProgress, ...] = ()
    elsewhere: bool = False
    join: JoinHandles | None = None
    state: EntityState | None = None
    restart: Restart | None = None


class SleepDue(msgspec.Struct, frozen=True):
    """The timer of a sleeping step is due."""

    step_id: str


class RestDue(msgspec.Struct, frozen=True):
    """The next attempt of a step is due."""

    step_id: str


class RetryDue(msgspec.Struct, frozen=True):
    """The delay before the next attempt has passed."""


class WakeDue(msgspec.Struct, frozen=True):
    """Waits have ended, and the time in which more could end has passed."""


class StartDue(msgspec.Struct, frozen=True):
    """The earliest start of the run has come."""


class EventReceived(msgspec.Struct, frozen=True):
    """An event matches the condition of a waiting step. event: the JSON text that the step returns."""

    step_id: str
    event: str


class WaitTimedOut(msgspec.Struct, frozen=True):
    """No event came in time."""

    step_id: str


class ChildEnded(msgspec.Struct, frozen=True):
    """The child that a step waits for has ended. error: why it failed, as text; None when it completed.

    failure: the error of a child that failed.
    """

    step_id: str
    child_run_id: str
    function_id: str
    output: str | None
    error: str | None
    failure: ErrorValue = ErrorValue(message="")


class ChildStarted(msgspec.Struct, frozen=True):
    """The child that a step waits for has begun. timeout_ms: how long the step waits from now."""

    step_id: str
    child_run_id: str
    timeout_ms: int


class InvokeTimedOut(msgspec.Struct, frozen=True):
    """The child did not end in time; it goes on by itself."""

    step_id: str
    function_id: str


class LeaseExpired(msgspec.Struct, frozen=True):
    """The lease was not renewed in time, or its worker reports that it no longer has job_id.

    losses_max: lost leases in a row, without a new step, after which the run fails. no_loss: the server's node
    ended that passed the job on, or an answer was lost that its worker never read: this says nothing about the run.
    """

    losses_max: int
    job_id: str = ""
    no_loss: bool = False


class Cancel(msgspec.Struct, frozen=True):
    """Ends the run as cancelled, where its function says so after its compensations. cause: the recorded reason.

    force: without them. by_request: of a client; a second one is as `force`, others change nothing in a run that is
    cancelled already.
    """

    cause: str
    force: bool = False
    by_request: bool = False


class Pause(msgspec.Struct, frozen=True):
    """Hold the run at the next step boundary. by: the principal or bulk job that asks; note: its reason."""

    by: str = ""
    note: str = ""


class Resume(msgspec.Struct, frozen=True):
    """Continues the run where it stopped, or from a step. from_sequence: of that step, None to keep all steps.

    by, note: as of Pause.
    """

    from_step: str = ""
    from_sequence: int | None = None
    by: str = ""
    note: str = ""


class Inject(msgspec.Struct, frozen=True):
    """Replaces the output (JSON text) of a finished step of a paused run."""

    step_id: str
    output: str
    reason: str


class Patch(msgspec.Struct, frozen=True):
    """Replaces the output (JSON text) of a step. by: the principal that asks."""

    step_id: str
    output: str
    reason: str
    by: str


# Commands that people give.
Control = Cancel | Pause | Resume | Inject | Patch
RunCommand = (
    Admit
    | Claim
    | GiveBack
    | Ack
    | Renew
    | Report
    | SleepDue
    | RestDue
    | RetryDue
    | WakeDue
    | StartDue
    | EventReceived
    | WaitTimedOut
    | ChildEnded
    | ChildStarted
    | InvokeTimedOut
    | LeaseExpired
    | Control
)
# All commands; Create alone needs no run.
Command = Create | RunCommand
