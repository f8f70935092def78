"""What a run is: its state, its lease, its policy and its recorded steps.

Payloads (outputs, errors, inputs) are JSON texts; times are milliseconds.
"""

from typing import Literal

import msgspec

from ironflow.base.time import Millis

# pending: a job is ready. running: a worker holds the lease. waiting: a timer, event or child will wake it.
# paused: a person will. The rest are ends.
Status = Literal["pending", "running", "waiting", "paused", "completed", "failed", "cancelled"]
ENDED: frozenset[str] = frozenset({"completed", "failed", "cancelled"})

# Why a run waits or is paused; empty otherwise.
Reason = Literal["", "sleep", "wait_event", "invoke", "retry", "throttle", "slot", "injection", "exhausted", "diverged"]

# Which facts of a run are kept: none, all, all but signs of life, or those of the run without its steps. `expired`:
# they were kept and are gone. Source: docs/concepts/time_travel.md, "Profiles".
Recording = Literal["", "all", "steps", "run_lifecycle", "expired"]

# queued: waits for a slot of its concurrency key. ready: waits for a worker.
LeaseState = Literal["queued", "ready", "reserved", "held"]


class Policy(msgspec.Struct, frozen=True):
    """The rules a run was created with; a later registration does not change them.

    max_attempts counts the first one. timeout_ms bounds one execution, from ack to its end. Source: DESIGN.md 4.
    """

    max_attempts: int = 3
    initial_delay_ms: int = 1_000
    backoff_factor: float = 2.0
    max_delay_ms: int = 300_000
    on_exhausted: Literal["fail", "pause"] = "fail"
    timeout_ms: int = 600_000


class Lease(msgspec.Struct, frozen=True):
    """Leave to make one execution: `queued` for a slot, `ready` for a worker, handed out (`reserved`), begun (`held`).

    ready_at: when it came into the queue. token, execution_seq: the fence. expires_at: when it is lost unless
    renewed, never after deadline_at, the end of the function's timeout. sequence_base: the first free step sequence
    when it was handed out. log_position: the log's head then; a wait looks back to it. avoid: a worker that said it
    lacks the function.
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

    @property
    def live(self) -> bool:
        """Whether a worker has it."""
        return self.state in ("reserved", "held")


class Step(msgspec.Struct, frozen=True):
    """One recorded step. step_id: the SDK's, byte for byte; number: its place of arrival in the run, from 0.

    type: invoke, sleep, wait_for_event, compensate or invoke_function. status: completed, failed, sleeping, waiting,
    timed_out.
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
    child_run_id: str | None = None
    original_output: str | None = None
    patched_at: Millis | None = None
    patched_by: str | None = None
    injected: bool = False


class Run(msgspec.Struct, frozen=True):
    """One run of a function.

    steps: those that were loaded for the decision at hand, by step id; step_count and next_sequence speak of all.
    last_report: token and status of the last update that ended an execution, so that its repetition is recognised.
    losses: leases lost one after another without any new step. next_at: when a waiting run goes on, if by time.
    open_step: the step that a waiting run waits in. paused_from: what a paused run waited for when it was paused,
    `slot` when it queued for one. slot_key: the concurrency slot it needs, None when its function has no limit;
    limit_key: the second one, of a function that has a limit beside its actor key.
    holds_slot: a slot that it has when it is paused stays its own. watched: events may cancel it. recorded: which of
    its facts are kept.
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
    pause_requested: bool = False
    paused_from: Reason = ""
    slot_key: str | None = None
    limit_key: str | None = None
    holds_slot: bool = True
    watched: bool = False
    recorded: Recording = ""
    lease: Lease | None = None
    steps: dict[str, Step] = {}

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def slot_keys(self) -> tuple[str, ...]:
        """The slots that it needs, all at the same time."""
        return tuple(key for key in (self.slot_key, self.limit_key) if key is not None)


class ErrorValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it is recorded with a run or a step."""

    message: str
    code: str = ""
    retryable: bool = False
    stack: str = ""
    retry_after_ms: int | None = None


_encode_error = msgspec.json.Encoder().encode


def error_text(error: ErrorValue) -> str:
    return _encode_error(error).decode()
