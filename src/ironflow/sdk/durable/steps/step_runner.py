"""Running step bodies and recording their results. Source: protocol/step-semantics.md 2, 3 and 9."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from ironflow.base.errors import IronflowError, NonRetryableError, SecretInOutput, SerializationError
from ironflow.base.secret_texts import is_shown, leak_message
from ironflow.base.time import Clock, Millis, to_datetime, to_millis
from ironflow.sdk.durable.job.failure import (
    SECRET,
    SERIALIZATION,
    TIMEOUT,
    failure_error,
    step_failure,
    steps_behind,
    without_secrets,
)
from ironflow.sdk.durable.job.report import StepFailure, StepRow
from ironflow.sdk.durable.run_logs import in_step
from ironflow.sdk.durable.steps.awaiting import Calls
from ironflow.sdk.durable.steps.compensations import Compensation, undoing
from ironflow.sdk.durable.steps.current_step import CurrentStep, entered, left
from ironflow.sdk.durable.steps.retrying import Attempts, Rests, decide_step_retry
from ironflow.sdk.durable.steps.signals import Stopped
from ironflow.sdk.durable.steps.step_ids import Scope
from ironflow.sdk.user_code.call import TimedOut, call
from ironflow.sdk.user_code.calling import calling_line
from ironflow.sdk.user_code.cancellation import Cancellation
from ironflow.sdk.values.codec import Codec
from ironflow.sdk.values.payload import Raw, to_payload
from ironflow.sdk.values.results import result_of

if TYPE_CHECKING:
    from ironflow.sdk.durable.execution_trace import ExecutionTrace

# Called with each row of a step that has ended. What it returns is awaited before the step's call returns: it gives
# why the server refuses the row, or Stopped when the execution is over. None: the handler goes on at once.
OnRecorded = Callable[[StepRow], Awaitable[IronflowError | Stopped | None] | None]


# Of a step without a retry of its own.
ONCE = Attempts(1, None)


class StepWithinStep(NonRetryableError):
    """The body of a step uses another step. Call steps one after another, in the handler."""

    code = "STEP_WITHIN_STEP"


# The step whose body runs, and the runner of its execution.
_body: "ContextVar[tuple[StepRunner, str] | None]" = ContextVar("ironflow_step_body", default=None)


class StepRunner:
    """The steps that one execution runs.

    rows: in the order in which they ended. running: those that have not, by id. raised: what failed steps raised,
    also in replays, with their ids.
    limit_s: for steps that name no timeout, None for no limit.
    on_recorded: called after each row. clock: for the rows' times.
    """

    def __init__(self, limit_s: float | None, on_recorded: OnRecorded | None, clock: Clock) -> None:
        self.rows: list[StepRow] = []
        self.running: dict[str, StepRow] = {}
        # Steps whose bodies have ended, and whose result is on its way to the server.
        self._unrecorded = 0
        # How many rows are not acknowledged, also of steps for which the handler does not wait.
        self.unreported: Callable[[], int] = lambda: 0
        self.raised: list[tuple[BaseException, str]] = []
        # Of step methods.
        self.calls = Calls()
        self.cancellation = Cancellation()
        self._limit_s = limit_s
        self._on_recorded = on_recorded
        self._clock = clock
        self._idle: asyncio.Future[None] | None = None
        # Called with the row of a step that runs and what its body shows. Of the execution: its end, and its attempt.
        self.on_progress: Callable[[StepRow, Raw], None] | None = None
        self.ends_at: Millis | None = None
        self.attempt = 1
        # Failures of compensations that ran in this execution, by id.
        self.uncompensated: dict[str, StepFailure] = {}
        # Failed steps that made them fail.
        self.behind_uncompensated: list[str] = []
        # When steps of this execution ended, by id.
        self.ended_at: dict[str, Millis] = {}
        self.progress: dict[str, Raw] = {}
        # Makes the spans of bodies; None while nothing records spans.
        self.trace: ExecutionTrace | None = None
        # The texts that are not recorded.
        self.secret_texts: tuple[str, ...] = ()
        # Whether the server keeps where steps are called.
        self.has_sources = False
        # Encodes what is recorded; None records it as it is.
        self.codec: Codec | None = None

    async def step(
        self,
        step_id: str,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout_s: float | None,
        attempts: Attempts = ONCE,
    ) -> Any:
        """Runs a step and gives what its call gives. Raises StepError, StepTimeoutError, SerializationError.

        timeout_s: None takes the function's, 0 is none. Returns or raises once the result is recorded.
        Raises Rests when the body has failed, and the step has another attempt.
        """
        limit_s = self._limit_s if timeout_s is None else timeout_s or None
        row = self._new_row(step_id, name, "invoke")
        if attempts.most:
            row.attempt, row.attempts_max = attempts.number, attempts.most
        value, error = await self._run(row, fn, args, kwargs, limit_s, attempts)
        if error is None:
            try:
                payload = self._payload(value, f"the output of step {name!r}")
                row.output = self.encoded(payload)
            except SecretInOutput as fault:
                error, failure = (
                    fault,
                    StepFailure(message=fault.message, retryable=False, code=fault.code, kind=SECRET),
                )
            except SerializationError as fault:
                error, failure = fault, StepFailure(message=fault.message, retryable=False, kind=SERIALIZATION)
            else:
                refusal = await self._record(row)
                if refusal is None:
                    return result_of(value, payload, fn)
                error, failure = refusal, step_failure(refusal)
        elif isinstance(error, TimedOut):
            message = f"step {name!r} ran longer than its timeout of {limit_s:.3g} s"
            details = {"timeout_ms": round((limit_s or 0) * 1000)}
            failure = StepFailure(message=message, retryable=True, kind=TIMEOUT, details=details)
        else:
            failure = without_secrets(step_failure(error), self.secret_texts)
        failed = msgspec.structs.replace(row, status="failed", output=UNSET, error=failure, keeps_failure=True)
        retry_in_ms = decide_step_retry(attempts, failure, error)
        if retry_in_ms is not None:
            failed.keeps_failure, failed.retry_in_ms = UNSET, retry_in_ms
            await self._record(failed)
            raise Rests
        if attempts.most and failure.retryable:
            # Its attempts are its own: those of the run are for what has none.
            failed.error = failure = msgspec.structs.replace(failure, retryable=False, exhausted=True)
        await self._record(failed)
        raise self.failed(failure, step_id, name) from error

    def check_outside(self, name: str) -> None:
        """Raises StepWithinStep when the body of a step of this execution asks for the step `name`."""
        found = _body.get()
        if found is not None and found[0] is self:
            raise StepWithinStep(
                f"step {name!r} is called within step {found[1]!r}. Its result would not be recorded by itself: "
                "call it before or after, in the handler."
            )

    def failed(self, failure: StepFailure, step_id: str, name: str) -> BaseException:
        """What the call of a failed step raises, now or in a replay."""
        seen = failure_error(failure, step_id, name)
        self.raises(seen, step_id)
        return seen

    def raises(self, error: BaseException, step_id: str) -> None:
        """A call of this step is about to raise `error`."""
        self.calls.look()
        self.raised.append((error, step_id))

    async def compensate(self, step_id: str, compensation: Compensation) -> bool:
        """Undoes a step. A failure is recorded, and stops nothing: False, when trying again may help.

        Raises Yield when the compensation waits in a step, Stopped.
        """
        row = self._new_row(step_id, compensation.name, "compensate")
        row.compensation_for = compensation.step_name
        token = undoing.set(Scope(step_id))
        try:
            value, error = await self._run(row, compensation.fn, (), {}, self._limit_s)
            if error is None:
                row.output = self.encoded(self._payload(value, f"the output of {compensation.name!r}"))
        except (SecretInOutput, SerializationError) as fault:
            error = fault
        finally:
            undoing.reset(token)
        if error is not None:
            self.behind_uncompensated += steps_behind(error, self.raised)
            row.status, row.error = "failed", without_secrets(step_failure(error), self.secret_texts)
            self.uncompensated[step_id] = row.error
        await self._record(row)
        return row.error is UNSET or not row.error.retryable

    def _payload(self, value: Any, what: str) -> Raw:
        """Raises SerializationError, SecretInOutput."""
        payload = to_payload(value, what)
        check_shows_no_secret(payload, what, self.secret_texts)
        return payload

    def encoded(self, payload: Raw) -> Raw:
        """What the server is given for a payload. Raises CannotEncode."""
        return payload if self.codec is None else self.codec.encoded(payload)

    async def settled(self) -> None:
        """Waits for bodies that still run beside a handler that has ended, so that their results are not lost."""
        if self.running:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    async def _run(
        self,
        row: StepRow,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        limit_s: float | None,
        attempts: Attempts = ONCE,
    ) -> tuple[Any, BaseException | None]:
        """What the body returned, what it raised; the row is given its times."""
        begun = perf_counter()
        self.running[row.id] = row
        token = _body.set((self, row.name)) if row.type == "invoke" else None
        body = call if self.trace is None else self.trace.of_step(row)
        with self.cancellation.of_step() as cancellation, in_step(row.id):
            inside = entered(self._current(row, limit_s, attempts, cancellation))
            try:
                return await body(fn, args, kwargs, limit_s)
            finally:
                left(inside)
                # A thread of a body that was left behind sees it.
                cancellation.request()
                if token is not None:
                    _body.reset(token)
                self._ended(row, begun)

    def _current(
        self, row: StepRow, limit_s: float | None, attempts: Attempts, cancellation: Cancellation
    ) -> CurrentStep:
        ends = [] if limit_s is None else [self._clock.now() + round(limit_s * 1000)]
        ends += [] if self.ends_at is None else [self.ends_at]
        return CurrentStep(
            row.id,
            row.name,
            attempt=attempts.number if attempts.most else self.attempt,
            deadline=to_datetime(min(ends)) if ends else None,
            details=attempts.progress,
            cancellation=cancellation,
            on_progress=lambda details: self._progressed(row, details),
        )

    def _progressed(self, row: StepRow, details: Raw) -> None:
        """On the loop. What a body shows after its end is not sent."""
        if self.running.get(row.id) is not row or is_shown(bytes(details).decode(), self.secret_texts):
            return
        details = self.encoded(details)
        self.progress[row.id] = details
        if self.on_progress is not None:
            self.on_progress(row, details)

    def _ended(self, row: StepRow, begun: float) -> None:
        self.ended_at[row.id] = now = self._clock.now()
        row.ended_at = to_datetime(now)
        row.duration_ms = round((perf_counter() - begun) * 1000)
        row.progress = self.progress.get(row.id, UNSET)
        del self.running[row.id]
        if not self.running and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def ended_there(self, step_id: str, ended_at: datetime | None) -> None:
        """Notes that the server has recorded a step meanwhile. ended_at: the time that a replay goes on with."""
        if ended_at is not None:
            self.ended_at[step_id] = to_millis(ended_at)

    def _new_row(self, step_id: str, name: str, kind: str) -> StepRow:
        """A row with status completed, which a failed body changes."""
        now = to_datetime(self._clock.now())
        row = StepRow(id=step_id, name=name, type=kind, status="completed", started_at=now, ended_at=now, duration_ms=0)
        if self.has_sources and kind == "invoke":
            row.source = calling_line() or UNSET
        return row

    @property
    def unfinished(self) -> int:
        """How many steps run, or have ended and are not recorded so far."""
        return len(self.running) + max(self._unrecorded, self.unreported())

    async def _record(self, row: StepRow) -> IronflowError | None:
        """Adds the row; returns when the handler may go on, with why the server refuses the row.

        Raises Stopped when the execution is over.
        """
        self.rows.append(row)
        recorded = self._on_recorded(row) if self._on_recorded is not None else None
        self._unrecorded += 1
        try:
            fault = await recorded if recorded is not None else None
        finally:
            self._unrecorded -= 1
        if isinstance(fault, Stopped):
            raise fault
        return fault


def check_shows_no_secret(payload: Raw, what: str, texts: tuple[str, ...]) -> None:
    """Raises SecretInOutput. what: such as `the output of step 'charge'`."""
    if texts and is_shown(bytes(payload).decode(), texts):
        raise SecretInOutput(leak_message(what[0].upper() + what[1:]))
