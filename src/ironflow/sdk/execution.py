"""One execution of a run: the handler replayed over what is recorded, new steps run, and how it ended.

Knows nothing of HTTP: a worker gives it a job and sends what comes out.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Never, cast

from ironflow.base.errors import InvalidArgument, SerializationError, StepTimeoutError
from ironflow.base.time import Clock, SystemClock
from ironflow.sdk import current
from ironflow.sdk.assignment import Assignment, CompletedStep
from ironflow.sdk.blocking import BlockingSteps
from ironflow.sdk.context import Context, Event, RunInfo, Secrets
from ironflow.sdk.failure import run_failure, step_error, step_failure
from ironflow.sdk.function import FunctionDefinition
from ironflow.sdk.payload import from_payload, to_payload
from ironflow.sdk.report import Completed, Failed, Outcome, StepFailure, StepRow, Yielded, YieldedStep
from ironflow.sdk.results import result_of
from ironflow.sdk.signals import Stopped, Yield
from ironflow.sdk.stepids import Scope
from ironflow.sdk.steps import Steps
from ironflow.sdk.usercode import TimedOut, call, is_async

_SYSTEM_CLOCK = SystemClock()


class Execution:
    """A job in work.

    rows: the steps run so far, in the order in which they ended; they are only ever added.
    on_recorded: called after each row. environment: what `ctx.run` shows.
    """

    def __init__(
        self,
        function: FunctionDefinition,
        job: Assignment,
        *,
        clock: Clock = _SYSTEM_CLOCK,
        environment: str = "",
        on_recorded: Callable[[], None] | None = None,
    ) -> None:
        self.job = job
        self.rows: list[StepRow] = []
        self.now = clock.now
        self._function = function
        self._environment = environment
        self._on_recorded = on_recorded
        self._memo = {step.step_id: step for step in job.completed_steps}
        self._open = True
        self._in_work = 0
        self._idle: asyncio.Future[None] | None = None
        self._left: Yield | None = None

    async def run(self) -> Outcome:
        """Runs the handler to its end or its next wait. Cancelling cancels the handler; then there is no outcome."""
        token = current.run_id.set(self.job.run_id)
        try:
            value, error = await self._handle()
            self._open = False
            await self._settled()
        finally:
            self._open = False
            current.run_id.reset(token)
        if self._left is not None:
            # Also when the handler went on in spite of it: what it made of a wait that is not over is worth nothing.
            return Yielded(self._left.step)
        return self._outcome(value, error)

    async def _handle(self) -> tuple[Any, BaseException | None]:
        """What the handler returned or raised; (None, None) when it left for a wait."""
        try:
            args = self._arguments()
        except InvalidArgument as error:
            return None, error
        try:
            return await call(self._function.handler, args)
        except Yield:
            return None, None
        except BaseExceptionGroup as group:
            # A task group puts what its tasks raise together, waits among them.
            return None, None if group.subgroup(Yield) else group

    def _arguments(self) -> tuple[Any, ...]:
        """Raises ValidationError for data that is not of the declared type."""
        function, job = self._function, self.job
        # A clock tick carries no data of the user's.
        read = from_payload if job.event.source == "cron" else function.read_data
        steps = Steps(self, Scope(job.run_id))
        if not is_async(function.handler):
            # The same methods; a plain handler waits for them in its thread.
            steps = cast(Steps, BlockingSteps(steps, asyncio.get_running_loop()))
        context = Context(
            event=Event.of(job.event, from_payload if function.schema is None else read),
            step=steps,
            run=RunInfo(
                id=job.run_id,
                function_id=job.function_id,
                attempt=job.attempt,
                max_attempts=job.max_attempts,
                on_exhausted=job.on_exhausted,
                started_at=datetime.now(UTC),
                environment=self._environment,
            ),
            secrets=Secrets(job.secrets),
        )
        if not function.takes_data:
            return (context,)
        return context, context.event.data if function.schema is not None else read(job.event.data)

    def _outcome(self, value: Any, error: BaseException | None) -> Outcome:
        if error is None:
            try:
                return Completed(to_payload(value, f"what function {self._function.id!r} returned"))
            except SerializationError as fault:
                error = fault
        return Failed(run_failure(error))

    # What steps ask.

    def check_open(self) -> None:
        """Raises Stopped when the execution is over: a task or thread that outlived its handler starts no steps."""
        if not self._open:
            raise Stopped

    def stop(self) -> None:
        """No more steps are run; the lease is lost or the worker ends."""
        self._open = False

    def memo(self, step_id: str) -> CompletedStep | None:
        """What is recorded of a step that succeeded; None when it is still to be run."""
        found = self._memo.get(step_id)
        return None if found is None or found.failed else found

    def leave(self, step: YieldedStep) -> Never:
        """Ends this execution to wait for `step`."""
        signal = Yield(step)
        self._left = self._left or signal
        raise signal

    async def perform(
        self,
        step_id: str,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout_s: float | None,
    ) -> Any:
        """Runs a step's body and records how it ended. Raises StepError, StepTimeoutError, SerializationError.

        timeout_s: None takes the function's, 0 is none.
        """
        limit_s = self._function.step_timeout_s if timeout_s is None else timeout_s or None
        started_at, begun = datetime.now(UTC), perf_counter()
        self._in_work += 1
        try:
            value, error = await call(fn, args, kwargs, limit_s)
        finally:
            self._in_work -= 1
            if self._in_work == 0 and self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
        row = StepRow(
            id=step_id,
            name=name,
            type="invoke",
            status="completed",
            started_at=started_at,
            ended_at=datetime.now(UTC),
            duration_ms=round((perf_counter() - begun) * 1000),
        )
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

    def _record(self, row: StepRow) -> None:
        self.rows.append(row)
        if self._on_recorded is not None:
            self._on_recorded()

    async def _settled(self) -> None:
        """Waits for bodies that still run beside a handler that has ended, so that their results are not lost."""
        if self._in_work:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
