"""A job that a worker holds: its execution, and which of its steps the server knows already."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, assert_never

import msgspec

from ironflow.base.errors import IronflowError
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.report import (
    ChangedState,
    Completed,
    JobUpdate,
    Outcome,
    Restarted,
    SetValue,
    StepRow,
    Yielded,
    YieldedStep,
    add_outcome,
)
from ironflow.sdk.durable.run_logs import LogLine
from ironflow.sdk.durable.steps.current_step import STEP_PROGRESS
from ironflow.sdk.durable.steps.signals import Stopped
from ironflow.sdk.user_code.logs import SdkLogger
from ironflow.sdk.values.payload import Raw
from ironflow.sdk.worker.protocol import MESSAGE_VALUES
from ironflow.sdk.worker.report_once import send
from ironflow.sdk.worker.reporter import Reporter, ReportResult, ReportStatus
from ironflow.sdk.worker.running_steps import RunningSteps
from ironflow.sdk.worker.starts import Starts
from ironflow.sdk.worker.timing import WorkerTiming

logger = SdkLogger("ironflow.worker")

CHECKPOINT_STEPS_MAX = 500
# A checkpoint that a handler waits for is sent again after this, doubling with each failure in a row.
RESEND_S = 0.05
# Lines of a handler's logger wait this long for a report of steps before one is made for them.
LINES_AFTER_S = 0.5

# What a server refuses the state of an entity with.
_STATE_REFUSED = frozenset(
    {
        "ENTITY_STATE_READ_ONLY",
        "ENTITY_STATE_TOO_LARGE",
        "ENTITY_TYPE_CONFLICT",
        "INVALID_ENTITY_STATE",
        "SCHEMA_VIOLATION",
        "STREAM_DELETED",
    }
)

Recorded = asyncio.Future[IronflowError | Stopped | None]


class HeldJob:
    """One assignment in work, with its checkpoints.

    each: a step's call returns once the server has its result; what ends while a report is on its way goes into the
    next. Otherwise a checkpoint goes out a moment after a step was recorded, and the handler goes on at once.
    Steps whose report was not acknowledged go again with the next.
    on_over: called when the execution is over for this worker.
    """

    final = False

    def __init__(
        self,
        job: Assignment,
        reporter: Reporter,
        timing: WorkerTiming,
        each: bool,
        on_over: Callable[["HeldJob", str], None],
    ) -> None:
        self.job = job
        self.started_at = datetime.now(UTC)
        self.leased = False
        self.dropped = False
        # Of the execution while it runs; its end when the run is to be cancelled.
        self.limit: asyncio.Timeout | None = None
        self.winding_down = False
        self.task: asyncio.Task[Any] | None = None
        self._execution: Execution | None = None
        self.reporter = reporter
        self._timing = timing
        self._each = each
        self._on_over = on_over
        # Rows that the server has, and rows in the report on its way.
        self._known = 0
        self._sent = 0
        # The call that set the last value that the server has, and the last in the report on its way.
        self._known_value = self._sent_value = 0
        self._known_state = self._sent_state = 0
        # Requests of messages that carry values, or wait to; a report that waits for them, and what waits for a report.
        self._value_requests = 0
        self._one_value_request = asyncio.Lock()
        self._deferred = False
        self._until_settled: list[asyncio.Future[None]] = []
        # One row at a time, after a report of several was refused.
        self._one_by_one = False
        # Handlers that wait for the row before a number to be known.
        self._waiting: list[tuple[int, Recorded]] = []
        self._running_steps = RunningSteps()
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None
        self._submitted = False
        self._idle: asyncio.Future[None] | None = None
        self._checkpoints = timing.checkpoint > 0
        self._ending = self._warned = False
        self._sent_lines: tuple[LogLine, ...] = ()
        self.starts = Starts(self._submit)

    async def run(self, execution: Execution) -> Outcome:
        self._execution = execution
        loop = asyncio.get_running_loop()
        execution.count_unreported(lambda: len(self._unknown))
        execution.logs.on_line = partial(self._line_added, loop)
        return await execution.run()

    def running(self) -> list[StepRow]:
        """The steps whose bodies run at this moment."""
        return list(self._execution.running.values()) if self._execution is not None else []

    def reset_checkpoints(self) -> None:
        """Sends every step again with the next report: the server may not have stored earlier checkpoints."""
        self._known = self._known_value = self._known_state = 0

    @property
    def _unknown(self) -> list[StepRow]:
        """The steps that the server has not acknowledged."""
        return self._execution.rows[self._known :] if self._execution is not None else []

    # Checkpoints.

    def recorded(self, row: StepRow) -> "Recorded | None":
        """A step has ended. What is returned ends when its result is durable; None when the handler goes on at once."""
        self._running_steps.ended(row)
        if not self._each:
            self._checkpoint_later()
            return None
        recorded: Recorded = asyncio.get_running_loop().create_future()
        if self.dropped:
            recorded.set_result(Stopped())
            return recorded
        assert self._execution is not None
        self._waiting.append((len(self._execution.rows), recorded))
        self._submit()
        return recorded

    def announce(self, row: StepRow) -> None:
        """Reports that the step's body runs, once."""
        if not self._ending and self._running_steps.announce(row):
            self._submit()

    def progressed(self, row: StepRow, details: Raw) -> None:
        """The body of a step shows its progress. The last of each step is sent, about once a second."""
        if STEP_PROGRESS not in self.reporter.features or self._ending or self.dropped:
            return
        self._running_steps.progressed(row, details)
        self._send_progress()

    def _send_progress(self) -> None:
        if self._timer is None and not self._submitted:
            wait_s = self._running_steps.progress_due_in(asyncio.get_running_loop().time())
            self._submit() if wait_s <= 0 else self._submit_after(wait_s)

    def _checkpoint_later(self) -> None:
        if self._checkpoints and self._timer is None and not self._submitted and not self._ending:
            self._submit_after(self._timing.checkpoint)

    def _line_added(self, loop: asyncio.AbstractEventLoop) -> None:
        """A line waits for a report. Called in the thread that wrote it, which may outlive the loop."""
        if self._timer is None and not self._submitted:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._lines_later)

    def _lines_later(self) -> None:
        if self._lines and self._timer is None and not (self._submitted or self._ending or self.dropped):
            self._submit_after(min(LINES_AFTER_S * 2.0 ** min(self._failures, 20), self._timing.reconnect_max))

    @property
    def _lines(self) -> bool:
        """Whether there are lines that the server takes and does not have."""
        return self._checkpoints and bool(self._waiting_lines())

    def _waiting_lines(self) -> tuple[LogLine, ...]:
        if self._execution is None or not self.reporter.answers:
            return ()
        return self._execution.logs.waiting()

    def _submit_after(self, pause_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._submit)

    def _submit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._value_requests:
            self._deferred = True
        elif not self._submitted and not self.dropped:
            self._submitted = True
            self.reporter.submit(self)

    def build(self) -> JobUpdate:
        """A checkpoint of the next steps that the server does not know, at most 500."""
        rows = self._unknown[: 1 if self._one_by_one else CHECKPOINT_STEPS_MAX]
        self._sent = len(rows)
        update = self._update("progress", rows)
        if not rows and self.starts:
            update.yields = self.starts.next_report()
        at_work = {row.id for row in self.running()}
        if self.reporter.answers:
            running = len(at_work) + len(self._unknown) - len(rows)
            if running:
                # A pause waits for them: they end, and are recorded.
                update.running = running
        now = asyncio.get_running_loop().time()
        self._running_steps.add_to(update, at_work, now, announces=self.reporter.announces)
        return update

    def settle(self, result: ReportResult) -> None:
        self._submitted = False
        status = result.status
        match status:
            case ReportStatus.APPLIED:
                self._failures = 0
                self._one_by_one = False
                self._running_steps.acknowledge()
                self._acknowledge(None)
                if self._execution is not None:
                    self._execution.logs.reported(self._sent_lines)
                if not self.starts.settle(result.started):
                    self._failures += 1
                if result.control == "pause" and self._execution is not None:
                    self._execution.hold()
                elif result.control:
                    self._on_over(self, result.control)
            case ReportStatus.STALE:
                self._on_over(self, result.control or "lost")
            case ReportStatus.REFUSED:
                self._refused(result.fault)
            case ReportStatus.UNKNOWN:
                self._failures += 1
            case _:
                assert_never(status)
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self._wake_value_requests()
        self._go_on()

    def _acknowledge(self, refusal: IronflowError | None) -> None:
        """The rows that were sent are known, or the only one of them is refused."""
        self._known += self._sent
        if refusal is None:
            self._known_value, self._known_state = self._sent_value, self._sent_state
        while self._waiting and self._waiting[0][0] <= self._known:
            _, recorded = self._waiting.pop(0)
            if not recorded.done():
                recorded.set_result(refusal)

    def _refused(self, fault: IronflowError | None) -> None:
        if fault is not None and self.state_refused(fault):
            # The steps go again, without it.
            return
        if fault is not None and self.starts.refused(fault):
            return
        if not self._each:
            # The steps go with the last report, which fails the run; what is started comes after them.
            self._checkpoints = False
            if fault is not None:
                self.starts.refuse_all(fault)
        elif self._sent > 1:
            self._one_by_one = True
        elif self._sent == 1:
            # The handler gets the refusal as the step's failure, which is recorded instead.
            self._acknowledge(fault)
        else:
            self._running_steps.clear()

    def state_refused(self, fault: IronflowError) -> bool:
        """Whether the report had a state of the entity and may be refused because of it; it is not sent again."""
        if self._execution is None or self._sent_state == self._known_state or fault.code not in _STATE_REFUSED:
            return False
        self._execution.state.refused(fault)
        self._sent_state = self._known_state
        return True

    def _go_on(self) -> None:
        """Sends what has gathered while a report was on its way."""
        if self.dropped or self._ending:
            return
        if not (self._unknown or self._running_steps.to_announce or self.starts):
            self._lines_later()
            if self._running_steps.have_progress:
                self._send_progress()
            return
        if self._failures:
            first_s, longest_s = (
                (RESEND_S, self._timing.reconnect_max)
                if self._each
                else (self._timing.checkpoint * 2, self._timing.checkpoint_retry_max)
            )
            if self._each or self._checkpoints or self.starts:
                self._submit_after(min(first_s * 2.0 ** min(self._failures - 1, 20), longest_s))
        elif self._each or self._running_steps.to_announce or self.starts or len(self._unknown) > CHECKPOINT_STEPS_MAX:
            self._submit()
        else:
            self._checkpoint_later()

    async def flush(self) -> None:
        """Reports the next steps that the server does not know; for a handler that was cancelled."""
        rows = self._unknown[:CHECKPOINT_STEPS_MAX]
        if rows or self._lines:
            await send(self.reporter, self.job, lambda: self._update("progress", rows), final=False, pauses=())

    async def checkpoints_done(self) -> None:
        """Starts no more checkpoints and waits for the one on its way."""
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._submitted:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    # Ending.

    def final_update(self, outcome: Outcome, with_steps: bool = True) -> JobUpdate:
        """The last report, with the steps that the server does not know; else without what may have been refused."""
        update = add_outcome(self._update("", self._unknown if with_steps else []), outcome, self.reporter.many_waits)
        if not with_steps:
            update.values = msgspec.UNSET
        if not self.reporter.answers:
            update.caused_by = msgspec.UNSET
        if self._execution is not None and isinstance(outcome, Completed | Restarted | Yielded):
            self._add_unasked(update, self._execution.unasked())
        return update

    def _add_unasked(self, update: JobUpdate, names: list[str]) -> None:
        """Names the recorded steps that the handler did not ask for, once in the log and in each last report."""
        if names and self.reporter.many_waits:
            update.unasked_steps = names
        if names and not self._warned:
            self._warned = True
            fields = {"run_id": self.job.run_id, "function_id": self.job.function_id, "steps": names}
            logger.warning("recorded steps were not asked for", extra=fields)

    def waits_in_advance(self, steps: Sequence[YieldedStep]) -> JobUpdate:
        """A report of waits that are more than one report takes; the last ones follow with the last report."""
        update = self._update("progress", [])
        update.yields = steps
        return update

    def begin(self, limit: asyncio.Timeout) -> None:
        """limit: of the execution, which begins."""
        self.limit = limit
        if self.winding_down:
            limit.reschedule(asyncio.get_running_loop().time())

    def wind_down(self) -> None:
        """Ends the execution as a time-out does: the run is to be cancelled."""
        if not self.winding_down and not self.dropped:
            self.winding_down = True
            if self.limit is not None:
                self.limit.reschedule(asyncio.get_running_loop().time())

    def drop(self) -> None:
        """Stops the handler; nothing more is reported."""
        self.dropped = True
        if self._execution is not None:
            self._execution.stop()
        self._release()
        if self.task is not None:
            self.task.cancel()

    def close(self) -> None:
        """Sends no more checkpoints."""
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
        self._release()

    def _release(self) -> None:
        """Handlers, and tasks and threads of theirs, that wait for a report end here."""
        self.starts.end(Stopped())
        self._wake_value_requests()
        waiting, self._waiting = self._waiting, []
        for _, recorded in waiting:
            if not recorded.done():
                recorded.set_result(Stopped())

    @asynccontextmanager
    async def sends_values(self) -> AsyncIterator[Sequence[SetValue]]:
        """The values that the server does not have, for a request that records them. Raises Stopped.

        Steps that other branches have just ended are reported first; with `batched` their values go with them.
        Reports and such requests wait for each other: of two values of one moment, the one that comes last stays.
        """
        if self._execution is None or MESSAGE_VALUES not in self.reporter.features:
            yield ()
            return
        needed = self._execution.values.rows_before(self._known_value) if self._each else 0
        while self._known < needed:
            await self._settled()
        if not self._unsent_values(self._known)[0]:
            yield ()
            return
        self._value_requests += 1
        try:
            async with self._one_value_request:
                while self._submitted:
                    await self._settled()
                values, sent = self._unsent_values(self._known)
                yield values
                self._known_value = sent
        finally:
            self._value_requests -= 1
            if self._deferred and not self._value_requests:
                self._deferred = False
                if not self._ending:
                    self._submit()

    async def _settled(self) -> None:
        """Waits for the outcome of a report. Raises Stopped."""
        if not (self.dropped or self._ending):
            settled = asyncio.get_running_loop().create_future()
            self._until_settled.append(settled)
            await settled
        if self.dropped or self._ending:
            raise Stopped

    def _wake_value_requests(self) -> None:
        waiting, self._until_settled = self._until_settled, []
        for settled in waiting:
            if not settled.done():
                settled.set_result(None)

    def _unsent_values(self, rows: int) -> tuple[list[SetValue], int]:
        """The values that go to a server that knows so many rows, and the call that set the last of them."""
        if self._execution is None or not self.reporter.many_waits:
            return [], self._known_value
        return self._execution.values.unsent(self._known_value, rows)

    def _state(self, rows: int) -> ChangedState | None:
        """The state of the entity that goes with a report after which the server knows so many rows."""
        state = self._execution.state.unsent(self._known_state, rows) if self._execution is not None else None
        self._sent_state = self._known_state if state is None else state.number
        return state

    def _update(self, status: str, rows: list[StepRow]) -> JobUpdate:
        cancels = self._execution.cancels if self._execution is not None else []
        self._sent_lines = self._waiting_lines()
        values, self._sent_value = self._unsent_values(self._known + len(rows))
        state = self._state(self._known + len(rows))
        return JobUpdate(
            state=state or msgspec.UNSET,
            values=values or msgspec.UNSET,
            cancels=tuple(cancels) if cancels and self.reporter.many_waits else msgspec.UNSET,
            status=status,
            execution_seq=self.job.execution_seq,
            lease_token=self.job.lease_token,
            steps=rows if self.reporter.answers else [_plain(row) for row in rows],
            step_offset=self.job.step_sequence_base + self._known,
            logs=self._sent_lines or msgspec.UNSET,
        )


def _plain(row: StepRow) -> StepRow:
    """The row as the plain protocol has it."""
    ours = ("keeps_failure", "announced", "attempt", "attempts_max", "progress")
    given = {name: msgspec.UNSET for name in ours if getattr(row, name) is not msgspec.UNSET}
    return msgspec.structs.replace(row, **given) if given else row
