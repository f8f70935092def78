"""What a worker reports of an execution: its steps and how it ended.

Source: protocol/worker-rest.md 8, protocol/step-semantics.md 2 to 6. This is the one place that knows how outcomes and
yields look on the wire. Fields that are UNSET are left out.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, assert_never

import msgspec
from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import replace

from ironflow.base.errors import SerializationError
from ironflow.sdk.durable.run_logs import LogLine
from ironflow.sdk.values.payload import Raw


class StepFailure(Struct, kw_only=True):
    """A failed step's error. kind: which exception the step raises: `timeout`, `serialization`, else StepError.

    retry_after_ms: when the body's exception asks for the next attempt. code, details: of an IronflowError.
    error_class: the name of the exception's class. exhausted: the step has used up attempts of its own.
    """

    message: str
    retryable: bool
    code: str | UnsetType = UNSET
    kind: str | UnsetType = UNSET
    exhausted: bool | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    stack: str | UnsetType = UNSET
    error_class: str | UnsetType = UNSET
    details: Any = UNSET


class StepRow(Struct, kw_only=True):
    """A step that ran. type: `invoke` or `compensate`; status: `completed` with output, or `failed` with error.

    keeps_failure: replays raise the error again. announced: the server knows that its body has begun.
    attempt, attempts_max: of a step with a retry of its own. retry_in_ms: how long it rests before the next attempt.
    progress: what its body has shown last. source: where the handler calls it, as FILE:LINE.
    """

    id: str
    name: str
    type: str
    status: str
    started_at: datetime
    ended_at: datetime
    duration_ms: int
    output: Raw | UnsetType = UNSET
    error: StepFailure | UnsetType = UNSET
    compensation_for: str | UnsetType = UNSET
    keeps_failure: bool | UnsetType = UNSET
    announced: bool | UnsetType = UNSET
    attempt: int | UnsetType = UNSET
    attempts_max: int | UnsetType = UNSET
    retry_in_ms: int | UnsetType = UNSET
    progress: Raw | UnsetType = UNSET
    source: str | UnsetType = UNSET


class StartedStep(Struct, kw_only=True):
    """A step whose body runs."""

    id: str
    name: str
    type: str
    started_at: datetime


class SetValue(Struct, kw_only=True):
    """A value that the handler has set. number: of the call that set it, the same in every replay."""

    name: str
    value: Raw
    number: int


class StepProgress(Struct, kw_only=True):
    """What the body of a step shows while it runs. attempt: of the step's own, where it has a retry."""

    id: str
    name: str
    type: str
    details: Raw
    started_at: datetime
    attempt: int | UnsetType = UNSET
    attempts_max: int | UnsetType = UNSET


class Sleep(Struct, kw_only=True, tag_field="type", tag="sleep"):
    step_id: str
    step_name: str
    until: datetime
    source: str | UnsetType = UNSET


class EventFilter(Struct, kw_only=True):
    """match: a path or an expression; match_value: what is at the path; payload: shown with the wait."""

    event: str
    timeout: str
    match: str | UnsetType = UNSET
    match_value: str | UnsetType = UNSET
    look_back: str | UnsetType = UNSET
    payload: Raw | UnsetType = UNSET


class WaitForEvent(Struct, kw_only=True, tag_field="type", tag="wait_for_event"):
    """on_timeout: `answer`, the handler gets the time-out, where the server supports it."""

    step_id: str
    step_name: str
    event_filter: EventFilter
    on_timeout: str | UnsetType = "answer"
    source: str | UnsetType = UNSET


class InvokeFunction(Struct, kw_only=True, tag_field="type", tag="invoke_function"):
    """timeout_from: `start` counts the time-out from the run's start. with_triggers: the function may have triggers.

    traceparent, tracestate: the span that invokes it, of a worker that traces. entity_key: of the function's entity.
    """

    step_id: str
    step_name: str
    function_id: str
    input: Raw
    invoke_timeout_ms: int
    on_timeout: str | UnsetType = "answer"
    delay_ms: int | UnsetType = UNSET
    timeout_from: str | UnsetType = UNSET
    with_triggers: bool | UnsetType = True
    traceparent: str | UnsetType = UNSET
    tracestate: str | UnsetType = UNSET
    source: str | UnsetType = UNSET
    entity_key: str | UnsetType = UNSET


class InvokeFunctionAsync(Struct, kw_only=True, tag_field="type", tag="invoke_function_async"):
    step_id: str
    step_name: str
    function_id: str
    input: Raw
    delay_ms: int | UnsetType = UNSET
    with_triggers: bool | UnsetType = True
    traceparent: str | UnsetType = UNSET
    tracestate: str | UnsetType = UNSET
    source: str | UnsetType = UNSET
    entity_key: str | UnsetType = UNSET


# The type of a handle.
HANDLE = "start_function"


class StartFunction(Struct, kw_only=True, tag_field="type", tag=HANDLE):
    """A run that is started, and that the handler may join later."""

    step_id: str
    step_name: str
    function_id: str
    input: Raw
    delay_ms: int | UnsetType = UNSET
    with_triggers: bool = True
    traceparent: str | UnsetType = UNSET
    tracestate: str | UnsetType = UNSET
    source: str | UnsetType = UNSET
    entity_key: str | UnsetType = UNSET


# What starts a run while the execution goes on.
Start = StartFunction | InvokeFunctionAsync


class Started(Struct, kw_only=True):
    """What became of a Start: a run, or why there is none."""

    step_id: str
    run_id: str | None = None
    error: Any = None


class Join(Struct, kw_only=True):
    """The handler joins handles. left: it goes on when at most so many runs of handles have not ended.

    known_failed: or when more than so many have failed. step_id: of one of the handles.
    """

    step_id: str
    left: int
    known_failed: int | UnsetType = UNSET


class Rest(Struct, kw_only=True, tag_field="type", tag="rest"):
    """A step that has failed, and whose next attempt is due later."""

    step_id: str
    step_name: str


YieldedStep = Sleep | WaitForEvent | InvokeFunction | InvokeFunctionAsync | Rest


class RunFailure(Struct, kw_only=True):
    """Why an attempt failed. retry_after_ms: when to try again instead of the backoff.

    exhausted: because a step has used up attempts of its own. error_class: the name of the exception's class.
    details: of an IronflowError.
    """

    message: str
    code: str
    retryable: bool
    retry_after_ms: int | UnsetType = UNSET
    stack: str | UnsetType = UNSET
    error_class: str | UnsetType = UNSET
    details: Any = UNSET
    exhausted: bool | UnsetType = UNSET


class Completed(Struct, frozen=True):
    """The handler returned."""

    output: Raw


class Restarted(Struct, frozen=True):
    """The handler returned a restart. data: the input of the run that goes on in its place."""

    data: Raw


class Failed(Struct, frozen=True):
    """The handler raised.

    caused_by: ids of the failed steps whose errors it raised, or raised another because of. uncompensated: the failure
    ends the run, and its compensations have not run. uncompensated_steps: ids of compensations that have, and failed.
    """

    error: RunFailure
    caused_by: tuple[str, ...] = ()
    uncompensated: bool = False
    uncompensated_steps: tuple[str, ...] = ()


class Yielded(Struct, frozen=True):
    """The handler waits for things that take no worker: at least one step, or handles that it joins."""

    steps: tuple[YieldedStep, ...]
    join: Join | None = None


class ChangedState(Struct, frozen=True):
    """A new state of the entity. number: of the change, from 1, the same in every replay."""

    state: Raw
    number: int


Outcome = Completed | Restarted | Failed | Yielded


class Restart(Struct, kw_only=True):
    """With `completed`: the run does not end, but another goes on in its place."""

    data: Raw


class JobUpdate(Struct, kw_only=True):
    """One report. job_id: only in a batch; step_offset: sequence of steps[0].

    yields, cancels, uncompensated: for servers with `many-waits`; yielded, one of the waits, for others.
    Of ours, UNSET in the plain protocol: started, running: bodies that run beside a checkpoint; caused_by: as Failed;
    logs: lines of the handler's logger. progress: of bodies that run. state: of its entity. restart: see there.
    """

    job_id: str | UnsetType = UNSET
    status: str
    execution_seq: int
    lease_token: str
    steps: list[StepRow]
    step_offset: int
    output: Raw | UnsetType = UNSET
    error: RunFailure | UnsetType = UNSET
    yielded: YieldedStep | UnsetType = field(default=UNSET, name="yield")
    started: list[StartedStep] | UnsetType = UNSET
    running: int | UnsetType = UNSET
    caused_by: tuple[str, ...] | UnsetType = UNSET
    yields: Sequence[YieldedStep | StartFunction] | UnsetType = UNSET
    join: Join | UnsetType = UNSET
    cancels: Sequence[str] | UnsetType = UNSET
    uncompensated: bool | UnsetType = UNSET
    uncompensated_steps: Sequence[str] | UnsetType = UNSET
    unasked_steps: Sequence[str] | UnsetType = UNSET
    logs: Sequence[LogLine] | UnsetType = UNSET
    values: Sequence[SetValue] | UnsetType = UNSET
    progress: Sequence[StepProgress] | UnsetType = UNSET
    state: ChangedState | UnsetType = UNSET
    restart: Restart | UnsetType = UNSET


def add_outcome(update: JobUpdate, outcome: Outcome, many_waits: bool = True) -> JobUpdate:
    """`update` as the last report of an execution.

    many_waits: the server takes all waits at once, and time-outs as answers; another gets the first of them.
    """
    match outcome:
        case Completed():
            update.status, update.output = "completed", outcome.output
        case Restarted():
            update.status, update.restart = "completed", Restart(data=outcome.data)
        case Failed():
            update.status, update.error = "failed", outcome.error
            update.caused_by = outcome.caused_by or UNSET
            if many_waits and outcome.uncompensated:
                update.uncompensated = True
            if many_waits and outcome.uncompensated_steps:
                update.uncompensated_steps = outcome.uncompensated_steps
        case Yielded():
            update.status = "yielded"
            if many_waits:
                update.yields = outcome.steps
                update.join = UNSET if outcome.join is None else outcome.join
            else:
                update.yielded = _plain(outcome.steps[0])
        case _:
            assert_never(outcome)
    return update


# What the documented protocol does not have.
_NO_TRACE: dict[str, Any] = {"traceparent": UNSET, "tracestate": UNSET, "source": UNSET}


def _plain(step: YieldedStep) -> YieldedStep:
    """The wait in the documented protocol."""
    match step:
        case WaitForEvent():
            return replace(step, on_timeout=UNSET, source=UNSET)
        case InvokeFunction():
            return replace(
                step,
                on_timeout=UNSET,
                delay_ms=UNSET,
                timeout_from=UNSET,
                with_triggers=UNSET,
                entity_key=UNSET,
                **_NO_TRACE,
            )
        case InvokeFunctionAsync():
            return replace(step, delay_ms=UNSET, with_triggers=UNSET, entity_key=UNSET, **_NO_TRACE)
        case Sleep():
            return replace(step, source=UNSET)
        case Rest():
            return step
        case _:
            assert_never(step)


_encode = msgspec.json.Encoder().encode


def report_json(report: Struct) -> bytes:
    """Raises SerializationError for a text that is none in UTF-8."""
    try:
        return _encode(report)
    except (TypeError, ValueError, OverflowError, RecursionError) as fault:
        raise SerializationError(f"A report of the run cannot be written as JSON: {fault}.") from fault
