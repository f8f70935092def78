"""One execution of a run: the handler replayed over what is recorded, new steps run, and how it ended.

Knows nothing of HTTP: a worker gives it a job and sends what comes out.
"""

from collections.abc import Callable
from typing import Any, cast

import msgspec

from ironflow.base.errors import InvalidArgument, SerializationError, ValidationError
from ironflow.base.time import Clock, SystemClock, to_datetime
from ironflow.sdk import current
from ironflow.sdk.assignment import Assignment, CompletedStep, JobEvent
from ironflow.sdk.blocking import BlockingSteps, Bridge
from ironflow.sdk.bodies import Bodies
from ironflow.sdk.compensations import Compensations, decide_compensation
from ironflow.sdk.context import Context, RunInfo, Secrets
from ironflow.sdk.divergence import Diverged, diverged
from ironflow.sdk.event import Event, event_of
from ironflow.sdk.failure import run_failure
from ironflow.sdk.function import FunctionDefinition
from ironflow.sdk.payload import from_payload, is_redacted, to_payload
from ironflow.sdk.publishing import Publish, nowhere
from ironflow.sdk.report import Completed, Failed, Outcome, StepRow, Yielded, YieldedStep
from ironflow.sdk.signals import Stopped, Yield, first_yield
from ironflow.sdk.stepids import Scope
from ironflow.sdk.steps import Steps
from ironflow.sdk.upcasting import NO_UPCASTERS, UpcasterRegistry
from ironflow.sdk.usercode import call, is_async

_SYSTEM_CLOCK = SystemClock()


class Execution:
    """A job in work.

    on_recorded: called after each step that ended. environment: what `ctx.run` shows. publish: where messages go.
    upcasters: bring events to their latest versions before the handler sees them.
    """

    def __init__(
        self,
        function: FunctionDefinition,
        job: Assignment,
        *,
        clock: Clock = _SYSTEM_CLOCK,
        environment: str = "",
        on_recorded: Callable[[], None] | None = None,
        publish: Publish = nowhere,
        upcasters: UpcasterRegistry | None = None,
    ) -> None:
        self.job = job
        self.bodies = Bodies(function.step_timeout_s, on_recorded, clock)
        self.compensations = Compensations()
        self.now = clock.now
        self.publish = publish
        self._function = function
        self._environment = environment
        self._upcasters = upcasters or NO_UPCASTERS
        self._memo = {step.step_id: step for step in job.completed_steps}
        self._root = Scope(job.run_id)
        self._open = True
        self._bridge: Bridge | None = None
        self._left: Yield | None = None
        self._diverged: Diverged | None = None

    @property
    def rows(self) -> list[StepRow]:
        """The steps run so far, in the order in which they ended; they are only ever added."""
        return self.bodies.rows

    @property
    def running(self) -> dict[str, StepRow]:
        """The steps whose bodies run, by id."""
        return self.bodies.running

    async def run(self) -> Outcome:
        """Runs the handler to its end or its next wait. Cancelling cancels the handler; then there is no outcome."""
        token = current.run_id.set(self.job.run_id)
        try:
            value, error = await self._handle()
            self._open = False
            await self.bodies.settled()
            if self._diverged is not None:
                # Nothing is undone: the run is held for a person, and its steps stand.
                return Failed(run_failure(self._diverged))
            if self._left is not None:
                # Also when the handler went on in spite of it: what it made of an open wait is worth nothing.
                return Yielded(self._left.step)
            return await self._ended(value, error)
        finally:
            self.stop()
            current.run_id.reset(token)

    async def _handle(self) -> tuple[Any, BaseException | None]:
        """What the handler returned or raised; (None, None) when it left for a wait."""
        event = self.job.event
        if event.source != "cron" and self._upcasters.is_outdated(event.name, event.version):
            # User's code, and not before every handler: whatever it raises fails the attempt.
            event, error = await call(self._latest, (event,))
            if error is not None:
                return None, error
        try:
            args = self._arguments(event)
        except InvalidArgument as error:
            return None, error
        try:
            return await call(self._function.handler, args)
        except Yield as left:
            self._left = left
        except Stopped:
            if self._diverged is None:
                raise
        except BaseExceptionGroup as group:
            # A task group puts what its tasks raise together, waits among them.
            self._left = first_yield(group) or self._left
            return None, group
        return None, None

    def _latest(self, event: JobEvent) -> JobEvent:
        """The event with its data in the latest version. Raises UpcasterChainError, SerializationError."""
        latest = self._upcasters.get_latest_version(event.name) or event.version
        data = self._upcasters.upcast(event.name, from_payload(event.data), event.version)
        payload = to_payload(data, f"event {event.name!r}, brought to version {latest},")
        return msgspec.structs.replace(event, data=payload, version=latest)

    def upcast(self, event: Event) -> Event:
        """An event that a step waited for, in its latest version. Raises UpcasterChainError."""
        return self._upcasters.apply(event)

    def _arguments(self, event: JobEvent) -> tuple[Any, ...]:
        """Raises ValidationError for data that is not of the declared type."""
        function, job = self._function, self.job
        # A clock tick carries no data of the user's.
        read = from_payload if event.source == "cron" else function.read_data
        if read is not from_payload and is_redacted(event.data):
            raise ValidationError(f"the data of event {event.id} was redacted; nothing of it can be read.")
        steps = Steps(self, self._root)
        if not is_async(function.handler):
            self._bridge = Bridge()
            # The same methods; a plain handler waits for them in its thread.
            steps = cast(Steps, BlockingSteps(steps, self._bridge))
        context = Context(
            event=event_of(event, from_payload if function.schema is None else read),
            step=steps,
            run=RunInfo(
                id=job.run_id,
                function_id=job.function_id,
                attempt=job.attempt,
                max_attempts=job.max_attempts,
                on_exhausted=job.on_exhausted,
                started_at=to_datetime(self.now()),
                environment=self._environment,
            ),
            secrets=Secrets(job.secrets),
        )
        if not function.takes_data:
            return (context,)
        return context, context.event.data if function.schema is not None else read(event.data)

    async def _ended(self, value: Any, error: BaseException | None) -> Outcome:
        if error is None:
            try:
                return Completed(to_payload(value, f"what function {self._function.id!r} returned"))
            except SerializationError as fault:
                error = fault
        failure = run_failure(error)
        if decide_compensation(failure, self.job):
            for each in self.compensations.newest_first():
                step_id = self._root.next_id(each.name)
                if self.completed(step_id, "compensate") is None:
                    await self.bodies.compensate(step_id, each)
        return Failed(failure)

    # What steps ask.

    def check_open(self) -> None:
        """Raises Stopped when the execution is over: a task or thread that outlived its handler starts no steps."""
        if not self._open:
            raise Stopped

    def stop(self) -> None:
        """No more steps are run, and threads wait for none; the handler has ended, or its lease is lost."""
        self._open = False
        if self._bridge is not None:
            self._bridge.close()

    def ended(self, step_id: str, kind: str) -> CompletedStep | None:
        """What is recorded of a step that ended, also of an invoked function that failed.

        kind: what the handler takes the step for. Raises Stopped when it is recorded as something else: the code is no
        longer the one that the history is of, and the run is reported so.
        """
        found = self._memo.get(step_id)
        if found is not None and found.type is not None and found.type != kind:
            self._diverged = diverged(self.job.completed_steps, found, kind)
            self._open = False
            raise Stopped
        return found

    def completed(self, step_id: str, kind: str) -> CompletedStep | None:
        """What is recorded of a step that succeeded; None when it is still to be run. As `ended` otherwise."""
        found = self.ended(step_id, kind)
        return None if found is None or found.failed else found

    def leaving(self, step: YieldedStep) -> Yield:
        """What to raise to end this execution and wait for `step`."""
        signal = Yield(step)
        self._left = self._left or signal
        return signal
