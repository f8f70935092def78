"""A job that a worker holds: its execution, and which of its steps the server knows already."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, assert_never

import msgspec

from ironflow.base.errors import IronflowError
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.report import (
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
from ironflow.sdk.durable.steps.current_step import STEP_PROGRESS
from ironflow.sdk.durable.steps.signals import Stopped
from ironflow.sdk.user_code.logs import SdkLogger
from ironflow.sdk.values.payload import Raw
from ironflow.sdk.worker.report_once import send
from ironflow.sdk.worker.reporter import Reporter, ReportResult, ReportStatus
from ironflow.sdk.worker.running_steps import RunningSteps
from ironflow.sdk.worker.starts import Starts
from ironflow.sdk.worker.timing import WorkerTiming
from ironflow.sdk.worker.unreported import Unreported
from ironflow.sdk.worker.value_requests import ValueRequests

logger = SdkLogger("ironflow.worker")

CHECKPOINT_STEPS_MAX = 500
# A checkpoint that a handler waits for is sent again after this, doubling with each failure in a row.
RESEND_S = 0.05
# Lines of a handler's logger wait this long for a report of steps before one is made for them.
LINES_AFTER_S = 0.5

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
        self._unreported = Unreported(job, reporter)
        self._value_requests = ValueRequests(self._unreported, self)
        # One row at a time, after a report of several was refused.
        self._one_by_one = False
        # Handlers that wait for the row before a number to be known.
        self._waiting: list[tuple[int, Recorded]] = []
        self._running_steps = RunningSteps()
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None
        self.submitted = False
        self._idle: asyncio.Future[None] | None = None
        self._checkpoints = timing.checkpoint > 0
        self._ending = self._warned = False
        self.starts = Starts(self.submit)

    async def run(self, execution: Execution) -> Outcome:
        self._execution = self._unreported.execution = execution
        loop = asyncio.get_running_loop()
        execution.count_unreported(lambda: self._unreported.count)
        execution.logs.on_line = partial(self._line_added, loop)
        return await execution.run()

    def running(self) -> list[StepRow]:
        """The steps whose bodies run at this moment."""
        return list(self._execution.running.values()) if self._execution is not None else []

    def reset_checkpoints(self) -> None:
        """Sends every step again with the next report: the server may not have stored earlier checkpoints."""
        self._unreported.reset()

    @property
    def over(self) -> bool:
        """Whether no more checkpoints are sent."""
        return self.dropped or self._ending

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
        self.submit()
        return recorded

    def announce(self, row: StepRow) -> None:
        """Reports that the step's body runs, once."""
        if not self._ending and self._running_steps.announce(row):
            self.submit()

    def progressed(self, row: StepRow, details: Raw) -> None:
        """The body of a step shows its progress. The last of each step is sent, about once a second."""
        if STEP_PROGRESS not in self.reporter.features or self._ending or self.dropped:
            return
        self._running_steps.progressed(row, details)
        self._send_progress()

    def _send_progress(self) -> None:
        if self._timer is None and not self.submitted:
            wait_s = self._running_steps.progress_due_in(asyncio.get_running_loop().time())
            self.submit() if wait_s <= 0 else self._submit_after(wait_s)

    def _checkpoint_later(self) -> None:
        if self._checkpoints and self._timer is None and not self.submitted and not self._ending:
            self._submit_after(self._timing.checkpoint)

    def _line_added(self, loop: asyncio.AbstractEventLoop) -> None:
        """A line waits for a report. Called in the thread that wrote it, which may outlive the loop."""
        if self._timer is None and not self.submitted:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._lines_later)

    def _lines_later(self) -> None:
        if self._lines and self._timer is None and not (self.submitted or self.over):
            self._submit_after(min(LINES_AFTER_S * 2.0 ** min(self._failures, 20), self._timing.reconnect_max))

    @property
    def _lines(self) -> bool:
        """Whether there are lines that the server takes and does not have."""
        return self._checkpoints and bool(self._unreported.lines())

    def _submit_after(self, pause_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(pause_s, self.submit)

    def submit(self) -> None:
        """Asks for a report as soon as one can be made."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._value_requests.defer():
            return
        if not self.submitted and not self.dropped:
            self.submitted = True
            self.reporter.submit(self)

    def build(self) -> JobUpdate:
        """A checkpoint of the next steps that the server does not know, at most 500."""
        unknown = self._unreported.rows
        most = 1 if self._one_by_one else CHECKPOINT_STEPS_MAX
        rows = unknown[:most] if len(unknown) > most else unknown
        self._unreported.sent = len(rows)
        update = self._unreported.update("progress", rows)
        if not rows and self.starts:
            update.yields = self.starts.next_report()
        at_work = self._execution.running if self._execution is not None else {}
        if self.reporter.answers:
            running = len(at_work) + len(unknown) - len(rows)
            if running:
                # A pause waits for them: they end, and are recorded.
                update.running = running
        if self._running_steps:
            now = asyncio.get_running_loop().time()
            self._running_steps.add_to(update, at_work, now, announces=self.reporter.announces)
        return update

    def settle(self, result: ReportResult) -> None:
        self.submitted = False
        status = result.status
        match status:
            case ReportStatus.APPLIED:
                self._failures = 0
                self._one_by_one = False
                if self._running_steps:
                    self._running_steps.acknowledge()
                self._acknowledge(None)
                self._unreported.lines_reported()
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
        self._value_requests.wake()
        self._go_on()

    def _acknowledge(self, refusal: IronflowError | None) -> None:
        """Counts the rows of the last report as known. refused: it had one row, which the server refused."""
        self._unreported.acknowledge(refused=refusal is not None)
        while self._waiting and self._waiting[0][0] <= self._unreported.known:
            _, recorded = self._waiting.pop(0)
            if not recorded.done():
                recorded.set_result(refusal)

    def _refused(self, fault: IronflowError | None) -> None:
        if fault is not None and self._unreported.state_refused(fault):
            # The steps go again, without it.
            return
        if fault is not None and self.starts.refused(fault):
            return
        if not self._each:
            # The steps go with the last report, which fails the run; what is started comes after them.
            self._checkpoints = False
            if fault is not None:
                self.starts.refuse_all(fault)
        elif self._unreported.sent > 1:
            self._one_by_one = True
        elif self._unreported.sent == 1:
            # The handler gets the refusal as the step's failure, which is recorded instead.
            self._acknowledge(fault)
        else:
            self._running_steps.clear()

    def state_refused(self, fault: IronflowError) -> bool:
        """Whether the last report may be refused because of the state of the entity; it is not sent again."""
        return self._unreported.state_refused(fault)

    def _go_on(self) -> None:
        """Sends what has gathered while a report was on its way."""
        if self.over:
            return
        unknown = self._unreported.count
        if not (unknown or self._running_steps.to_announce or self.starts):
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
        elif self._each or self._running_steps.to_announce or self.starts or unknown > CHECKPOINT_STEPS_MAX:
            self.submit()
        else:
            self._checkpoint_later()

    async def flush(self) -> None:
        """Reports the next steps that the server does not know; for a handler that was cancelled."""
        await self.checkpoints_done()
        rows = self._unreported.rows[:CHECKPOINT_STEPS_MAX]
        if rows or self._lines:
            await send(
                self.reporter, self.job, lambda: self._unreported.update("progress", rows), final=False, pauses=()
            )

    async def checkpoints_done(self) -> None:
        """Starts no more checkpoints and waits for the one on its way."""
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.submitted:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    # Ending.

    def final_update(self, outcome: Outcome, with_steps: bool = True) -> JobUpdate:
        """The last report, with the steps that the server does not know; else without what may have been refused."""
        update = add_outcome(
            self._unreported.update("", self._unreported.rows if with_steps else []), outcome, self.reporter.many_waits
        )
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
        update = self._unreported.update("progress", [])
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
        self._value_requests.wake()
        waiting, self._waiting = self._waiting, []
        for _, recorded in waiting:
            if not recorded.done():
                recorded.set_result(Stopped())

    def sends_values(self) -> AbstractAsyncContextManager[Sequence[SetValue]]:
        """The values that the server does not have, for a request that records them. Raises Stopped."""
        return self._value_requests.values(behind_rows=self._each)
