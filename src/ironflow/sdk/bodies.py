"""Running the bodies of steps and recording how they ended. Source: protocol/step-semantics.md 2, 3 and 9."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from ironflow.base.errors import NonRetryableError, SerializationError, StepTimeoutError
from ironflow.base.time import Clock, to_datetime
from ironflow.sdk.compensations import Compensation
from ironflow.sdk.failure import step_error, step_failure
from ironflow.sdk.payload import to_payload
from ironflow.sdk.report import StepFailure, StepRow
from ironflow.sdk.results import result_of
from ironflow.sdk.signals import Stopped, Yield
from ironflow.sdk.usercode import TimedOut, call


class NoStepsHere(NonRetryableError):
    """A compensation runs when its run has failed; it cannot use steps."""

    code = "NO_STEPS_HERE"


class Bodies:
    """The steps that one execution runs.

    rows: in the order in which they ended. running: those that have not, by id.
    limit_s: for steps that name no timeout, None for no limit.
    on_recorded: called after each row. clock: for the rows' times.
    """

    def __init__(self, limit_s: float | None, on_recorded: Callable[[], None] | None, clock: Clock) -> None:
        self.rows: list[StepRow] = []
        self.running: dict[str, StepRow] = {}
        self._limit_s = limit_s
        self._on_recorded = on_recorded
        self._clock = clock
        self._idle: asyncio.Future[None] | None = None

    async def step(
        self,
        step_id: str,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout_s: float | None,
    ) -> Any:
        """Runs a step and gives what its call gives. Raises StepError, StepTimeoutError, SerializationError.

        timeout_s: None takes the function's, 0 is none. A body whose output is no JSON is not recorded.
        """
        limit_s = self._limit_s if timeout_s is None else timeout_s or None
        row = self._new_row(step_id, name, "invoke")
        value, error = await self._run(row, fn, args, kwargs, limit_s)
        if error is None:
            row.output = to_payload(value, f"the output of step {name!r}")
            self._record(row)
            return result_of(value, row.output, fn)
        row.status = "failed"
        if isinstance(error, TimedOut):
            seen = StepTimeoutError(
                f"step {name!r} ran longer than its timeout of {limit_s:.3g} s", step_id=step_id, step_name=name
            )
            row.error = StepFailure(message=seen.message, retryable=True)
        else:
            seen, row.error = step_error(error, step_id, name), step_failure(error)
        self._record(row)
        raise seen from error

    async def compensate(self, step_id: str, compensation: Compensation) -> None:
        """Undoes a step. A failure is recorded, and stops nothing."""
        row = self._new_row(step_id, compensation.name, "compensate")
        row.compensation_for = compensation.step_name
        try:
            value, error = await self._run(row, compensation.fn, (), {}, self._limit_s)
            if error is None:
                row.output = to_payload(value, f"the output of {compensation.name!r}")
        except SerializationError as fault:
            error = fault
        except (Yield, Stopped):
            error = NoStepsHere()
        if error is not None:
            row.status, row.error = "failed", step_failure(error)
            # Nobody tries it again.
            row.error.retryable = False
        self._record(row)

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
    ) -> tuple[Any, BaseException | None]:
        """What the body returned, what it raised; the row is given its times."""
        begun = perf_counter()
        self.running[row.id] = row
        try:
            return await call(fn, args, kwargs, limit_s)
        finally:
            row.ended_at = to_datetime(self._clock.now())
            row.duration_ms = round((perf_counter() - begun) * 1000)
            del self.running[row.id]
            if not self.running and self._idle is not None and not self._idle.done():
                self._idle.set_result(None)

    def _new_row(self, step_id: str, name: str, kind: str) -> StepRow:
        """A row that says completed until the body says otherwise."""
        now = to_datetime(self._clock.now())
        return StepRow(
            id=step_id, name=name, type=kind, status="completed", started_at=now, ended_at=now, duration_ms=0
        )

    def _record(self, row: StepRow) -> None:
        self.rows.append(row)
        if self._on_recorded is not None:
            self._on_recorded()
