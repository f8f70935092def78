"""What the steps of one execution share: the recorded steps, the runner of new ones, and how the handler was left."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import UNSET

from ironflow.base.errors import InvokeError, IronflowError, Unimplemented
from ironflow.base.time import Millis, to_millis
from ironflow.sdk.definition.controls import Retry
from ironflow.sdk.durable.job.assignment import Assignment, CompletedStep
from ironflow.sdk.durable.job.event import Event
from ironflow.sdk.durable.job.failure import recorded_failure
from ironflow.sdk.durable.job.report import (
    HANDLE,
    InvokeFunction,
    InvokeFunctionAsync,
    Join,
    Rest,
    Start,
    Started,
    StartFunction,
    YieldedStep,
)
from ironflow.sdk.durable.steps.compensations import CLEAN_UP, Compensation, Compensations, undoing
from ironflow.sdk.durable.steps.determinism import HANDLER_TIME, Course
from ironflow.sdk.durable.steps.divergence import Diverged, diverged
from ironflow.sdk.durable.steps.invoke import output_of, started_step
from ironflow.sdk.durable.steps.messages import Inbox
from ironflow.sdk.durable.steps.publish import Publish
from ironflow.sdk.durable.steps.retrying import Attempts, Rests, RetryLike, step_retry
from ironflow.sdk.durable.steps.signals import Stopped, Yield
from ironflow.sdk.durable.steps.step_ids import Scope, is_in_scope
from ironflow.sdk.durable.steps.step_runner import ONCE, StepRunner
from ironflow.sdk.user_code.calling import calling_line
from ironflow.sdk.values.payload import Read, from_payload
from ironflow.sdk.values.upcasting import UpcasterRegistry

if TYPE_CHECKING:
    from ironflow.sdk.durable.execution_trace import ExecutionTrace

OnAsked = Callable[[str, str], None]
# Starts runs, and gives what became of each once that is durable. Raises Stopped when the execution is over.
# Pauses between tries of a request that may be repeated.
REPEATS_S = (0.1, 0.3, 1.0, 3.0, 10.0)
Answer = TypeVar("Answer")
OnStart = Callable[[Sequence[Start]], Awaitable[Sequence[Started]]]

# What a server has where functions that are not waited for start while the execution goes on.
ASYNC_STARTS = "async-starts"


class Replay:
    """The state that `Steps` of all scopes work on.

    waits: what the handler waits for, by step id. cancels: steps, and scopes of steps, that it waits for no more.
    many_waits: the server takes several waits of one execution. features: what it has besides. step_retry: of steps
    that name none. diverged: the error of a handler whose code does not
    fit the recorded steps. held: the run pauses, and no more steps are started.
    on_asked: called with the id and type of each step that the handler asks for; it may raise Stopped.
    """

    def __init__(
        self,
        job: Assignment,
        runner: StepRunner,
        *,
        now: Callable[[], Millis],
        publish: Publish,
        upcasters: UpcasterRegistry,
        many_waits: bool = True,
        features: frozenset[str] = frozenset(),
        step_retry: Retry | None = None,
        on_asked: OnAsked | None = None,
        on_start: OnStart | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        self.job = job
        self.runner = runner
        self.now = now
        self.publish = publish
        self.compensations = Compensations()
        self.root = Scope(job.run_id)
        self.waits: dict[str, YieldedStep] = {}
        self.cancels: list[str] = []
        self.calls = runner.calls
        self.many_waits = many_waits
        self.features = features
        self.step_retry = step_retry
        self.diverged: Diverged | None = None
        self.held = False
        self._upcasters = upcasters
        self._on_asked = on_asked
        self._on_start = on_start
        self.inbox = inbox
        # Where this execution is in a trace; None while nothing records spans.
        self.trace: ExecutionTrace | None = None
        self._began_at = now()
        # By the id of a join's step: one of its handles, how many have to end, whether a failure counts.
        self._joins: dict[str, tuple[str, int, bool]] = {}
        self._memo = {step.step_id: step for step in job.completed_steps}
        self._open = True
        self._is_over = False
        # Steps that are answered while the execution goes on, and in a replay at once: they do not move its time.
        self.timeless: set[str] = set()
        self._recorded = {step.step_id for step in job.completed_steps if step.type != "compensate"}
        # Ids of steps that the handler has asked for, and scopes that it does not need any more.
        self._asked: set[str] = set()
        self._left: list[str] = []

    @property
    def has_time(self) -> bool:
        """Whether less than half of the function's timeout has passed; an execution that receives ends then."""
        return not self.job.timeout_ms or self.now() - self._began_at < self.job.timeout_ms / 2

    async def repeated(self, request: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to a request that may be repeated, tried again while the server is away. Raises IronflowError."""
        for pause_s in (*REPEATS_S, None):
            try:
                return await request()
            except IronflowError as fault:
                if pause_s is None or not fault.retryable:
                    raise
                await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Runs no more steps but those of compensations."""
        self._open = False

    def end(self) -> None:
        """Runs no more steps at all."""
        self.close()
        self._is_over = True

    def hold(self) -> None:
        """Starts no more steps: the run pauses at this boundary."""
        self.held = True
        self.close()

    def check_open(self) -> None:
        """Raises Stopped when the execution is over: a task or thread that outlives its handler starts no steps.

        The compensations that follow the handler may.
        """
        if self._open:
            return
        if self._is_over or self.held or self.diverged is not None or undoing.get() is None:
            raise Stopped

    def ended(self, step_id: str, kind: str) -> CompletedStep | None:
        """What is recorded of a step that ended, also of one that failed.

        kind: the step's type in the handler. Raises Stopped when another type is recorded: the code has changed since,
        and the run is reported as diverged.
        """
        found = self._memo.get(step_id)
        self._asked.add(step_id)
        if self._on_asked is not None:
            self._on_asked(step_id, kind)
        if found is not None and found.type is not None and found.type != kind:
            self.diverged = diverged(self.job.completed_steps, found, kind)
            self.close()
            raise Stopped
        return found

    def result(self, step_id: str, name: str) -> CompletedStep | None:
        """The recorded result of a step with a body; None when it is still to be run. Raises its recorded failure, and
        Yield for a step that rests."""
        found = self.ended(step_id, "invoke")
        if found is not None and not found.ended:
            if found.status == "retrying":
                raise self.wait(Rest(step_id=step_id, step_name=name))
            return None
        if found is not None and found.failed:
            raise self.runner.failed(recorded_failure(found.error), step_id, name)
        return found

    def attempts(self, step_id: str, name: str, retry: RetryLike) -> Attempts:
        """The attempts of a step that is to be run. retry: its own, None takes the function's.

        Raises ValidationError, Unimplemented for a server without retries of steps.
        """
        known = self._memo.get(step_id)
        given = step_retry(self.step_retry if retry is None else retry, name, self.features)
        if known is None or known.ended:
            return ONCE if given is None else Attempts(1, given)
        return Attempts(known.attempt or 1, given, known.progress)

    async def run(
        self,
        step_id: str,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout_s: float | None,
        attempts: Attempts,
    ) -> Any:
        """Runs a step that has not ended, as StepRunner.step. Raises Yield when it rests before its next attempt."""
        try:
            return await self.runner.step(step_id, name, fn, args, kwargs, timeout_s, attempts)
        except Rests:
            raise self.wait(Rest(step_id=step_id, step_name=name)) from None

    async def compensate_now(self) -> None:
        """Runs the registered compensations, the newest first; then raises the first failure of one."""
        self.runner.check_outside("compensate_now")
        self.check_open()
        failed: list[BaseException] = []
        for each in self.compensations.newest_first():
            step_id = self.root.next_id(each.name)
            failure = await self.undo(step_id, each)
            if failure is None:
                self.compensations.undone(each)
            else:
                failed.append(failure)
        if failed:
            raise failed[0]

    async def undo(self, step_id: str, compensation: Compensation) -> BaseException | None:
        """Runs a compensation that has not run. Returns what it failed with, now or before. Raises Yield, Stopped."""
        found = self.ended(step_id, "compensate")
        if found is None:
            await self.runner.compensate(step_id, compensation)
            failure = self.runner.uncompensated.get(step_id)
        else:
            self.settle(f"{step_id}:")
            failure = recorded_failure(found.error) if found.failed else None
        return None if failure is None else self.runner.failed(failure, step_id, compensation.name)

    def child_output(
        self, ended: CompletedStep, function_id: str, timeout_ms: int | None = None, read: Read = from_payload
    ) -> Any:
        """The output of an invoked function. timeout_ms: what it was given.

        Raises InvokeError when it failed, ValidationError of `read`.
        """
        try:
            return output_of(ended, function_id, timeout_ms, read)
        except InvokeError as error:
            self.runner.raises(error, ended.step_id)
            raise

    def completed(self, step_id: str, kind: str) -> CompletedStep | None:
        """What is recorded of a step that succeeded; None when it is still to be run. Otherwise as `ended`."""
        found = self.ended(step_id, kind)
        return None if found is None or found.failed or found.timed_out or not found.ended else found

    def leaving(self, reason: str) -> Yield:
        """The signal to raise in a branch that goes no further."""
        self.calls.look(leaving=True)
        return Yield(reason)

    def wait(self, step: YieldedStep) -> Yield:
        """The signal to raise in a branch that waits for `step`. Raises Unimplemented for a compensation that waits,
        and a server that does not wait for it."""
        if undoing.get() is not None and CLEAN_UP not in self.features:
            raise Unimplemented(f"step {step.step_name!r}: this server, or the plain protocol, undoes without waits.")
        if self.takes_steps:
            self._add_trace(step)
            self._add_source(step)
            self.waits[step.step_id] = step
        return self.leaving(f"waiting in step {step.step_name!r}")

    @property
    def starts_async(self) -> bool:
        """Whether functions that are not waited for start while the execution goes on."""
        return self._on_start is not None and ASYNC_STARTS in self.features

    async def start(self, steps: Sequence[Start]) -> None:
        """Starts runs, and goes on once they are durable. Raises Unimplemented where there are no handles, Stopped."""
        if self._on_start is None:
            raise Unimplemented(
                "This server, or this host, has no handles. Use invoke_async, or run the function in a worker."
            )
        for step in steps:
            self._add_trace(step)
            self._add_source(step)
        handles = {step.step_id for step in steps if isinstance(step, StartFunction)}
        for started in await self._on_start(steps):
            is_handle = started.step_id in handles
            self._memo[started.step_id] = started_step(started, is_handle=is_handle)

    def _add_trace(self, step: YieldedStep | Start) -> None:
        """A function that is invoked goes on below the span in which the handler asks for it."""
        if self.trace is not None and isinstance(step, InvokeFunction | InvokeFunctionAsync | StartFunction):
            for name, text in self.trace.fields().items():
                setattr(step, name, text)

    def _add_source(self, step: YieldedStep | Start) -> None:
        if self.runner.has_sources and not isinstance(step, Rest):
            step.source = calling_line() or UNSET

    def handle(self, step_id: str) -> CompletedStep:
        """The state of a handle. Raises KeyError for one of another run."""
        return self._memo[step_id]

    def join(self, step_id: str, name: str, handle_id: str, needed: int, *, fails_fast: bool) -> Yield:
        """The signal to raise in a branch that waits until `needed` more handles have ended."""
        if self.takes_steps:
            self._joins[step_id] = (handle_id, needed, fails_fast)
        return self.leaving(f"joining in step {name!r}")

    @property
    def joining(self) -> Join | None:
        """What of its handles the run waits for."""
        if not self._joins:
            return None
        handles = [step for step in self._memo.values() if step.type == HANDLE]
        opened = sum(step.status == "waiting" for step in handles)
        step_id, needed, _ = min(self._joins.values(), key=lambda each: each[1])
        fails_fast = any(each for _, _, each in self._joins.values())
        failed = sum(step.failed for step in handles)
        return Join(step_id=step_id, left=max(opened - needed, 0), known_failed=failed if fails_fast else UNSET)

    def cancel_step(self, step_id: str) -> None:
        """A step is waited for no more."""
        self.cancels.append(step_id)
        self._left.append(step_id)
        self.waits.pop(step_id, None)

    def check_running(self) -> None:
        """Raises Yield when the run has failed and only its compensations are run: no new body is started."""
        if not self.takes_steps:
            raise self.leaving("the run has failed")

    @property
    def takes_steps(self) -> bool:
        """Whether steps are run and waited for: those of a handler, or of its compensations."""
        return self.job.compensating is None or undoing.get() is not None

    def cancel(self, scope: str) -> None:
        """What steps in `scope` wait for is waited for no more. scope: its path, with a colon at the end."""
        self.cancels.append(scope)
        self._left.append(scope)
        self.waits = {step_id: step for step_id, step in self.waits.items() if not is_in_scope(step_id, scope)}
        self._joins = {step_id: each for step_id, each in self._joins.items() if not is_in_scope(step_id, scope)}

    def drop_waits(self) -> None:
        """The run fails, whatever the handler waits for."""
        self.waits.clear()
        self._joins.clear()

    def leave(self, scope: str, *, cancelled: bool) -> None:
        """The handler goes on without what steps in `scope` wait for. cancelled: it is waited for no more."""
        if cancelled:
            self.cancel(scope)
        else:
            self._left.append(scope)
            self.waits = {step_id: step for step_id, step in self.waits.items() if not step_id.startswith(scope)}
            self._joins = {step_id: each for step_id, each in self._joins.items() if not step_id.startswith(scope)}

    def pass_over(self, scope: str) -> None:
        """The handler needs no recorded step in `scope`."""
        self._left.append(scope)

    def settle(self, scope: str) -> None:
        """What was done in `scope` is over: its recorded steps are not ahead of the handler, and it needs none."""
        self.pass_over(scope)
        self._asked.update(step_id for step_id in self._memo if step_id.startswith(scope))

    @property
    def left(self) -> tuple[str, ...]:
        """Where the ids of steps begin that the handler does not need any more."""
        return tuple(self._left)

    def unasked(self) -> list[str]:
        """Names of recorded steps that the handler has gone past: without them it is as if it had never run them."""
        return [
            step.name or step_id
            for step_id, step in self._memo.items()
            if step_id not in self._asked
            and step.type not in (None, "compensate")
            and not any(step_id.startswith(scope) for scope in self._left)
        ]

    def is_replaying(self) -> bool:
        """Whether the handler is where an earlier execution has been: it has run no body, and recorded steps follow."""
        return not self.runner.rows and not self.runner.running and self.has_steps_ahead()

    def is_recorded(self, step_id: str) -> bool:
        return step_id in self._memo

    def has_steps_ahead(self) -> bool:
        """Whether steps are recorded that the handler has not asked for so far."""
        return bool(self._recorded - self._asked)

    def course(self) -> Course:
        """The time, ids and chance of this execution."""
        began_at = self.job.run_started_at or self.job.event.timestamp
        return Course(
            self.root,
            to_millis(began_at),
            self._ended,
            self.runner.check_outside,
            kept=self.job.run_started_at is not None and HANDLER_TIME in self.features,
        )

    def _ended(self, step_id: str) -> Millis | None:
        """When a step ended, as its worker measured it; the same when it is replayed. None: it moves no time."""
        if step_id in self.timeless:
            return None
        now = self.runner.ended_at.get(step_id)
        if now is not None:
            return now
        found = self._memo.get(step_id)
        ended_at = None if found is None else found.handler_at or found.ended_at
        return None if ended_at is None else to_millis(ended_at)

    def ended_at(self, scope: str) -> datetime:
        """When the last recorded step in `scope` ended."""
        ended = [step.ended_at for step_id, step in self._memo.items() if step_id.startswith(scope)]
        return max((at for at in ended if at is not None), default=self.job.event.timestamp)

    def ended_in(self, scope: str) -> Millis:
        """When the last step in `scope` ended, in this execution or before; 0 without any."""
        step_ids = {*self._memo, *self.runner.ended_at}
        return max((self._ended(each) or 0 for each in step_ids if each.startswith(scope)), default=0)

    def upcast(self, event: Event) -> Event:
        """An event that a step waited for, in its latest version. Raises UpcasterChainError."""
        return self._upcasters.apply(event)
