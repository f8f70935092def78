"""What a run is: its state, its lease, its policy and its recorded steps.

Payloads (outputs, errors, inputs) are JSON texts; times are milliseconds.
"""

from typing import Any, Literal

import msgspec

from ironflow.base.time import Millis

# pending: a job is ready. running: a worker holds the lease. waiting: a timer, event or child will wake it.
# paused: a person will resume it. The others are final.
Status = Literal["pending", "running", "waiting", "paused", "completed", "failed", "cancelled"]
ENDED: frozenset[str] = frozenset({"completed", "failed", "cancelled"})

# Why a run waits or is paused; empty otherwise.
Reason = Literal["", "sleep", "wait_event", "invoke", "retry", "throttle", "slot", "injection", "exhausted", "diverged"]

# Which facts of a run are kept: none, all, all but lease renewals, or those of the run without its steps. `expired`:
# they were kept and have been purged. Source: docs/concepts/time_travel.md, "Profiles".
Recording = Literal["", "all", "steps", "run_lifecycle", "expired"]

# queued: waits for a slot of its concurrency key. ready: waits for a worker.
LeaseState = Literal["queued", "ready", "reserved", "held"]


class Policy(msgspec.Struct, frozen=True):
    """The retry and timeout settings a run was created with; a later registration does not change them.

    max_attempts counts the first one. timeout_ms bounds one execution, from ack to its end. compensation_timeout_ms
    bounds the execution that runs the compensations of a run that failed without its worker; 0: there is none.
    compensates_on_cancel: a cancel has such an execution, too. Source: DESIGN.md 4.
    """

    max_attempts: int = 3
    initial_delay_ms: int = 1_000
    backoff_factor: float = 2.0
    max_delay_ms: int = 300_000
    on_exhausted: Literal["fail", "pause"] = "fail"
    timeout_ms: int = 600_000
    compensation_timeout_ms: int = 0
    compensates_on_cancel: bool = False


class Lease(msgspec.Struct, frozen=True):
    """The right to make one execution, which the job row holds.

    state: `queued` for a slot, `ready` for a worker, handed out (`reserved`), begun (`held`).
    ready_at: when it entered the queue. token, execution_seq: the fence. expires_at: when it is lost unless
    renewed, never after ends_at. deadline_at: the end of the function's timeout. grace_ms: how long after that its
    worker may still end it itself. sequence_base: the first free step sequence when it was handed out.
    log_position: the head of the log then; a wait looks back to it. avoid: a worker that reported that it lacks the
    function. node: the incarnation of the server that the execution ends with, empty when it survives its server.
    """

    state: LeaseState
    ready_at: Millis
    job_id: str = ""
    execution_seq: int = 0
    token: str = ""
    worker_id: str = ""
    expires_at: Millis = 0
    deadline_at: Millis = 0
    sequence_base: int = 0
    log_position: int = 0
    avoid: str = ""
    grace_ms: Millis = 0
    node: str = ""

    @property
    def ends_at(self) -> Millis:
        """When the lease of a held job ends at the latest."""
        return self.deadline_at + self.grace_ms

    @property
    def live(self) -> bool:
        """Whether a worker has the job."""
        return self.state in ("reserved", "held")


# Of a failed step. `kept`: every replay raises the failure again. `released`: an attempt ended because of it, and the
# step runs anew. Empty: the worker keeps no failures of bodies; those of invoked functions are kept all the same.
FailureState = Literal["", "kept", "released"]

# For how long a run keeps its slot: empty, for each execution; `run`, to its end; `kept`, it has it.
Hold = Literal["", "run", "kept"]

# What a point of priority is worth. A run is overtaken for so long per point and no longer, so that none starves.
POINT_MS = 60_000

# What a time-out does: empty, it fails the run (a wait) or the step (an invoke); `answer`, the handler gets it.
OnTimeout = Literal["", "answer"]


class Step(msgspec.Struct, frozen=True):
    """One recorded step. step_id: the SDK's, byte for byte; number: its order of arrival in the run, from 0.

    type: invoke, sleep, wait_for_event, compensate, invoke_function or start_function. status: completed, failed,
    sleeping, waiting, timed_out, or cancelled where the handler stopped waiting; retrying, pending or running as
    `step_attempts` says. on_timeout: `answer` when the handler gets the time-out. failure: whether a failed step is
    replayed or runs anew. attempts_max: of a step with a retry of its own, whose attempts `attempt` counts. attempts:
    those that failed, as a JSON array. sleep_until: also when the next of them is due. progress: what its body showed
    last, as JSON. handler_at: when it ended as its worker measured it, where that is not `ended_at`. source: where the
    handler calls it, as FILE:LINE.
    """

    step_id: str
    name: str
    type: str
    status: str
    sequence: int
    number: int
    attempt: int
    created_at: Millis
    updated_at: Millis
    output: str | None = None
    error: str | None = None
    started_at: Millis | None = None
    ended_at: Millis | None = None
    duration_ms: int | None = None
    compensation_for: str | None = None
    sleep_until: Millis | None = None
    input: str | None = None
    wait_event: str | None = None
    wait_until: Millis | None = None
    on_timeout: OnTimeout = ""
    child_run_id: str | None = None
    original_output: str | None = None
    patched_at: Millis | None = None
    patched_by: str | None = None
    failure: FailureState = ""
    attempts_max: int | None = None
    attempts: str | None = None
    progress: str | None = None
    handler_at: Millis | None = None
    source: str | None = None
    injected: bool = False

    @property
    def open(self) -> bool:
        """Whether a timer, an event or a child will end it, or its rest."""
        return self.status in ("sleeping", "waiting", "retrying")

    @property
    def handle(self) -> bool:
        """Whether it stands for a run that was started, and that the handler may join later."""
        return self.type == HANDLE


# The type of a step that is a handle.
HANDLE = "start_function"


class Family(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run has to do with its children and its parent. Source: docs/guides/handles.md.

    open, failed: how many of its handles stand for runs that have not ended, and that have failed. left,
    known_failed: while it joins them it goes on with at most so many open ones, or with more failed ones than that;
    None for never. parent_timeout_ms: its parent waits for so long from its start.
    """

    open: int = 0
    failed: int = 0
    left: int | None = None
    known_failed: int | None = None
    parent_timeout_ms: int = 0

    @property
    def joined(self) -> bool:
        """Whether the run goes on that joins its handles."""
        enough = self.left is not None and self.open <= self.left
        return enough or (self.known_failed is not None and self.failed > self.known_failed)


NO_FAMILY = Family()
_decode_family = msgspec.json.Decoder(Family).decode
_encode_family = msgspec.json.Encoder().encode


def read_family(text: str | None) -> Family:
    return _decode_family(text) if text else NO_FAMILY


def family_text(family: Family) -> str | None:
    """None for a run without handles, so that most rows have nothing to decode."""
    return _encode_family(family).decode() if family != NO_FAMILY else None


class RunValue(msgspec.Struct, frozen=True):
    """A value that a run has set. number: of the call that set it, the same in every replay. value: JSON text.

    sequence: the first free step sequence when it was set: it is forgotten with the steps before it.
    """

    name: str
    value: str
    number: int
    sequence: int = 0
    updated_at: Millis = 0


class EntityState(msgspec.Struct, frozen=True):
    """A state of its entity that a run has set. value: JSON text. number: of the change within the run, from 1, the
    same in every replay."""

    value: str
    number: int


class Run(msgspec.Struct, frozen=True):
    """One run of a function. The store has its columns from here; tests/structure/test_run_fields.py holds the rest.

    steps: those loaded for the decision, by step id; values: those
    set by it, by name. step_count and next_sequence count all steps of the run.
    last_report: `report_id` of the last update that ended an execution, so that its repetition is recognised.
    losses: leases lost in a row without a new step. next_at: when a timer wakes a waiting run.
    open_step: the step that a waiting run waits in, of several the one that is due first. open_waits: how many steps
    are open. wake_at: when a run goes on whose first waits have ended. compensating: the error of a run that has failed
    and only runs its compensations. paused_from: what a paused run waited for when it was paused,
    `slot` when it queued for one. slot_key: the concurrency slot it needs, None when its function has no limit;
    limit_key: the second one, of a function that has a limit beside its actor key.
    holds_slot: it keeps its slot while it is paused. watched: events may cancel it. recorded: which of its facts are
    kept. unasked_steps: names of recorded steps that the handler no longer asks for, as a JSON array. key: a
    name of the user's own, unique among the runs of the function that have not ended. open_waits counts no handles;
    family: a `Family` as JSON text, None for a run without any. hold: `run` when it keeps its slot from its first
    execution to its end, over waits, and `kept` while it does. priority: each point has it queue as if it had come
    POINT_MS earlier. entity: the id of the stream of the entity that it is a handler of, None for other runs; without
    a slot it only reads it. restarted_from, restarted_as: the run that restarted as this one, and the one that this
    restarted as. Runs that follow one another so are a chain: first_run_id: of its first link, None for that itself;
    link: how many came before. cancelling: why it was to be cancelled, of a run that is undone first;
    cancel_requested_at: when. not_begun: a `NotBegun` as JSON text, of a run whose last execution for compensations
    could not begin. paused_by: the principal or bulk job that has paused it or asked for it; pause_note: its reason.
    """

    id: str
    environment: str
    function_id: str
    function_version: int
    event_id: str
    event_name: str
    status: Status
    policy: Policy
    created_at: Millis
    updated_at: Millis
    reason: Reason = ""
    attempt: int = 1
    execution_seq: int = 0
    step_count: int = 0
    next_sequence: int = 0
    losses: int = 0
    version: int = 1
    output: str | None = None
    error: str | None = None
    started_at: Millis | None = None
    ended_at: Millis | None = None
    next_at: Millis | None = None
    worker_id: str | None = None
    actor_id: str | None = None
    cancellation_cause: str | None = None
    parent_run_id: str | None = None
    parent_step_id: str | None = None
    last_report: str = ""
    open_step: str | None = None
    open_waits: int = 0
    wake_at: Millis | None = None
    compensating: str | None = None
    pause_requested: bool = False
    paused_from: Reason = ""
    slot_key: str | None = None
    limit_key: str | None = None
    holds_slot: bool = True
    watched: bool = False
    recorded: Recording = ""
    unasked_steps: str | None = None
    key: str | None = None
    family: str | None = None
    hold: Hold = ""
    priority: int = 0
    entity: str | None = None
    restarted_from: str | None = None
    restarted_as: str | None = None
    first_run_id: str | None = None
    link: int = 0
    cancelling: str | None = None
    cancel_requested_at: Millis | None = None
    not_begun: str | None = None
    paused_by: str | None = None
    pause_note: str | None = None
    lease: Lease | None = None
    steps: dict[str, Step] = {}
    values: dict[str, RunValue] = {}

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def chain_id(self) -> str:
        """The id of the first link of its chain."""
        return self.first_run_id or self.id

    @property
    def winding_down(self) -> bool:
        """Whether it is to be cancelled, and its last execution before that has not ended."""
        return self.cancelling is not None and self.compensating is None

    @property
    def slot_keys(self) -> tuple[str, ...]:
        """The keys of the slots that it needs, all at the same time."""
        return tuple(key for key in (self.slot_key, self.limit_key) if key is not None)


class NotBegun(msgspec.Struct, frozen=True):
    """Executions for compensations in a row that could not begin. message: why the last one could not."""

    times: int
    message: str


class ErrorValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it is recorded with a run or a step. error_class: the name of the exception's class.

    details: a JSON object of the exception's own. exhausted: a step has used up its own attempts.
    """

    message: str
    code: str = ""
    retryable: bool = False
    stack: str = ""
    retry_after_ms: int | None = None
    error_class: str = ""
    details: Any = None
    exhausted: bool = False


_decode_not_begun = msgspec.json.Decoder(NotBegun).decode


def read_not_begun(text: str | None) -> NotBegun:
    return NotBegun(0, "") if text is None else _decode_not_begun(text)


_encode_error = msgspec.json.Encoder().encode


_decode_error = msgspec.json.Decoder(ErrorValue, strict=False).decode


def error_text(error: ErrorValue) -> str:
    return _encode_error(error).decode()


def read_error(text: str) -> ErrorValue:
    """A recorded error; one without a code when it has another shape."""
    try:
        return _decode_error(text)
    except msgspec.MsgspecError:
        return ErrorValue(message=text)
