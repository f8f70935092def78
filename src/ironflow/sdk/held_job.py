"""A job that a worker holds: its execution, and which of its steps the server knows already."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from ironflow.sdk.assignment import Assignment
from ironflow.sdk.execution import Execution
from ironflow.sdk.pace import Pace
from ironflow.sdk.report import JobUpdate, Outcome, StepRow, add_outcome
from ironflow.sdk.reporter import Fate, Reporter

logger = logging.getLogger("ironflow.worker")

CHECKPOINT_STEPS_MAX = 500


class HeldJob:
    """One assignment in work, with its checkpoints.

    A checkpoint goes out a moment after a step was recorded, so that a killed worker loses little. They follow one
    another; steps whose checkpoint was not acknowledged go again with the next report.
    on_stale: called when the server says that the execution is another's.
    """

    def __init__(self, job: Assignment, reporter: Reporter, pace: Pace, on_stale: Callable[["HeldJob"], None]) -> None:
        self.job = job
        self.started_at = datetime.now(UTC)
        self.leased = False
        self.dropped = False
        self.task: asyncio.Task[None] | None = None
        self._execution: Execution | None = None
        self._reporter = reporter
        self._pace = pace
        self._on_stale = on_stale
        self._known = 0
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._checkpoints = pace.checkpoint > 0

    async def run(self, execution: Execution) -> Outcome:
        self._execution = execution
        return await execution.run()

    def running(self) -> list[StepRow]:
        """The steps whose bodies run at this moment."""
        return list(self._execution.running.values()) if self._execution is not None else []

    def forget_checkpoints(self) -> None:
        """The server may not have kept what it was told: every step goes again with the next report."""
        self._known = 0

    @property
    def _unknown(self) -> list[StepRow]:
        """The steps that the server has not acknowledged."""
        return self._execution.rows[self._known :] if self._execution is not None else []

    # Checkpoints.

    def recorded(self) -> None:
        """Makes sure that a checkpoint is coming."""
        if self._checkpoints and self._timer is None and self._sending is None:
            self._send_after(self._pace.checkpoint)

    def _send_after(self, pause_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._send_soon)

    def _send_soon(self) -> None:
        self._timer = None
        self._sending = asyncio.create_task(self.send_checkpoint())
        self._sending.add_done_callback(self._sent)

    def _sent(self, sending: "asyncio.Task[None]") -> None:
        self._sending = None
        if not sending.cancelled() and (fault := sending.exception()) is not None:
            # Mostly a refused key, which ends the worker at its next poll. The steps go with the last report.
            logger.warning("checkpoint failed", extra={"run_id": self.job.run_id, "fault": str(fault)})
            self._checkpoints = False
        if self._unknown and self._checkpoints and self._timer is None and not self.dropped:
            self._send_after(self._next_pause())

    def _next_pause(self) -> float:
        if self._failures:
            return min(self._pace.checkpoint * 2.0**self._failures, self._pace.checkpoint_retry_max)
        return 0.0 if len(self._unknown) > CHECKPOINT_STEPS_MAX else self._pace.checkpoint

    async def send_checkpoint(self) -> None:
        """Reports the next steps that the server does not know, at most 500."""
        rows = self._unknown[:CHECKPOINT_STEPS_MAX]
        if not rows:
            return
        verdict = await self._reporter.send(self.job, self._update("progress", rows), final=False)
        match verdict.fate:
            case Fate.APPLIED:
                self._known += len(rows)
                self._failures = 0
            case Fate.STALE:
                self._on_stale(self)
            case Fate.REFUSED:
                self._checkpoints = False
            case Fate.LOST:
                self._failures += 1

    async def checkpoints_done(self) -> None:
        """Starts no more checkpoints and waits for the one on its way."""
        self._checkpoints = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sending is not None:
            await asyncio.wait([self._sending])

    # The end.

    def final(self, outcome: Outcome, with_steps: bool = True) -> JobUpdate:
        """The last report, with the steps that the server does not know."""
        return add_outcome(self._update("", self._unknown if with_steps else []), outcome)

    def drop(self) -> None:
        """Stops the handler; nothing more is reported."""
        self.dropped = True
        if self._execution is not None:
            self._execution.stop()
        if self.task is not None:
            self.task.cancel()

    def close(self) -> None:
        """Lets go of timers and requests."""
        self._checkpoints = False
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()

    def _update(self, status: str, rows: list[StepRow]) -> JobUpdate:
        return JobUpdate(
            status=status,
            execution_seq=self.job.execution_seq,
            lease_token=self.job.lease_token,
            steps=rows,
            step_offset=self.job.step_sequence_base + self._known,
        )
