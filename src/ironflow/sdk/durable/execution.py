"""One execution of a run: the handler replayed over what is recorded, new steps run, and how it ended.

Knows nothing of HTTP: a worker gives it a job and sends what comes out.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from ironflow.base.errors import InvalidArgument, IronflowError, NonRetryableError, ValidationError
from ironflow.base.time import Clock, SystemClock, to_datetime
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.durable.context import Clients, Context, RunInfo, Secrets, SyncContext
from ironflow.sdk.durable.entity_state import EntityState
from ironflow.sdk.durable.job.assignment import Assignment, JobEvent
from ironflow.sdk.durable.job.event import event_of
from ironflow.sdk.durable.job.failure import run_failure, steps_behind, without_secrets
from ironflow.sdk.durable.job.report import Completed, Failed, Outcome, Restarted, RunFailure, StepRow, Yielded
from ironflow.sdk.durable.restarting import Restart, RestartNotReturned, Restarts
from ironflow.sdk.durable.run_logs import RunLogs
from ironflow.sdk.durable.run_values import RunValues
from ironflow.sdk.durable.steps.awaiting import StepNotAwaited
from ironflow.sdk.durable.steps.blocking import BlockingSteps
from ironflow.sdk.durable.steps.bridge import Bridge
from ironflow.sdk.durable.steps.changes import BlockingChanges, Changes
from ironflow.sdk.durable.steps.compensations import decide_compensation
from ironflow.sdk.durable.steps.messages import Inbox
from ironflow.sdk.durable.steps.publish import Publish, nowhere
from ironflow.sdk.durable.steps.replay import OnAsked, OnStart, Replay
from ironflow.sdk.durable.steps.retrying import RESTARTS
from ironflow.sdk.durable.steps.signals import Stopped, Yield
from ironflow.sdk.durable.steps.step_runner import OnRecorded, StepRunner, check_shows_no_secret
from ironflow.sdk.durable.steps.steps import Steps
from ironflow.sdk.user_code.call import call, is_async
from ironflow.sdk.user_code.calling import STEP_SOURCES
from ironflow.sdk.user_code.cancellation import Cancellation
from ironflow.sdk.user_code.threads import in_thread
from ironflow.sdk.values.codec import CannotDecode, Codec
from ironflow.sdk.values.payload import Raw, from_payload, is_redacted, to_payload
from ironflow.sdk.values.upcasting import NO_UPCASTERS, UpcasterRegistry
from ironflow.sdk.wire import current_run
from ironflow.sdk.wire.tracing import Tracing

if TYPE_CHECKING:
    from ironflow.sdk.durable.execution_trace import ExecutionTrace

_SYSTEM_CLOCK = SystemClock()


def trace_of(tracing: Tracing, job: Assignment, environment: str) -> "ExecutionTrace | None":
    """What makes the spans of an execution of `job`; None while nothing records spans."""
    spans = tracing.of_executions()
    if spans is None:
        return None
    from ironflow.sdk.durable.execution_trace import ExecutionTrace

    return ExecutionTrace(spans, job, environment)


class Execution:
    """A job in work.

    on_recorded: called with each step that ended; what it returns is awaited before the handler goes on. on_progress:
    called with the progress of a step that runs.
    environment: what `ctx.run` shows. publish: where messages go.
    upcasters: bring events to their latest versions before the handler sees them. runner: runs step bodies; of tests
    with mocks. many_waits, features: what the server takes. on_asked, on_start: as for Replay.
    on_unawaited: called where a step is called and never awaited; None fails the run.
    clients: of `ctx.client`; None without a server. trace: makes its spans, None while nothing records spans.
    codec: decodes the job, and encodes what is recorded.
    """

    def __init__(
        self,
        function: FunctionDefinition,
        job: Assignment,
        *,
        clock: Clock = _SYSTEM_CLOCK,
        environment: str = "",
        on_recorded: OnRecorded | None = None,
        on_progress: Callable[[StepRow, Raw], None] | None = None,
        publish: Publish = nowhere,
        upcasters: UpcasterRegistry | None = None,
        runner: StepRunner | None = None,
        many_waits: bool = True,
        features: frozenset[str] = frozenset(),
        on_asked: OnAsked | None = None,
        inbox: Inbox | None = None,
        on_start: OnStart | None = None,
        clients: Clients | None = None,
        trace: "ExecutionTrace | None" = None,
        codec: Codec | None = None,
        on_unawaited: Callable[[StepNotAwaited], None] | None = None,
    ) -> None:
        self._function = function
        self._on_unawaited = on_unawaited
        job, self._undecoded = (job, None) if codec is None else _decoded(job, codec)
        self._clients = clients
        self._environment = environment
        self._upcasters = upcasters or NO_UPCASTERS
        self._cancellation = Cancellation()
        self._runner = runner or StepRunner(function.step_timeout_s, on_recorded, clock)
        self._secrets = Secrets(job.secrets)
        self._runner.secret_texts = self._secrets.texts
        self._runner.codec = codec
        self._runner.has_sources = STEP_SOURCES in features
        self._runner.cancellation = self._cancellation
        self.state = EntityState(
            job.entity,
            function.state,
            lambda: len(self._runner.rows),
            self._runner.check_outside,
            self._secrets.texts,
            # Once a new step has ended, the replay of those that are recorded has come to its end.
            lambda: bool(self._runner.rows) and not self._replay.has_steps_ahead(),
        )
        self._runner.attempt = job.attempt
        self._runner.ends_at = clock.now() + job.timeout_ms if job.timeout_ms else None
        if on_progress is not None:
            self._runner.on_progress = on_progress
        self._replay = Replay(
            job,
            self._runner,
            now=clock.now,
            publish=publish,
            upcasters=self._upcasters,
            many_waits=many_waits,
            features=features,
            step_retry=function.step_retry,
            on_asked=partial(self._asked, on_asked),
            inbox=inbox,
            on_start=on_start,
        )
        self._trace = self._replay.trace = self._runner.trace = trace
        self._course = self._replay.course()
        self.values = RunValues(
            lambda: len(self._runner.rows), self._secrets.texts, self._course.place, self._runner.encoded
        )
        self._bridge: Bridge | None = None
        # Of the handler's context, once that is made.
        self._restarts: Restarts | None = None
        self._features = features
        self.logs = RunLogs(job.log_level, self._replay.is_replaying, clock.now)

    @property
    def rows(self) -> list[StepRow]:
        """The steps run so far, in the order in which they ended; they are only ever added."""
        return self._runner.rows

    @property
    def cancels(self) -> list[str]:
        """The steps, and scopes of steps, that the handler waits for no more."""
        return self._replay.cancels

    @property
    def left(self) -> tuple[str, ...]:
        """Where the ids of steps begin that the handler does not need any more."""
        return self._replay.left

    def unasked(self) -> list[str]:
        """Names of recorded steps that a handler which has returned or waits did not ask for."""
        return self._replay.unasked() if self._replay.job.compensating is None else []

    @property
    def running(self) -> dict[str, StepRow]:
        """The steps whose bodies run, by id."""
        return self._runner.running

    def _asked(self, then: OnAsked | None, step_id: str, kind: str) -> None:
        """The handler has come to a step; compensations are no part of it."""
        if kind != "compensate":
            self.state.look()
        if then is not None:
            then(step_id, kind)

    def count_unreported(self, unreported: Callable[[], int]) -> None:
        """unreported: how many rows the server has not acknowledged; what it records by itself waits for them."""
        self._runner.unreported = unreported

    def run(self) -> Coroutine[Any, Any, Outcome]:
        """Runs the handler to its end or its next wait. Cancelling cancels the handler; then there is no outcome.

        Raises Stopped when the run pauses; then the bodies that ran have ended.
        """
        return self._run() if self._trace is None else self._trace.execution(self._run)

    async def _run(self) -> Outcome:
        token = current_run.run_id.set(self._replay.job.run_id)
        try:
            with self._cancellation.applied():
                value, error = await self._handle()
            self._replay.close()
            await self._runner.settled()
            if self._replay.held:
                raise Stopped
            if self._replay.diverged is not None:
                # Nothing is undone: the run is held for a person, and its steps stand.
                return Failed(run_failure(self._replay.diverged))
            joining = self._replay.joining
            waits = bool(self._replay.waits) or joining is not None
            unawaited = self._unawaited(ended=error is None and not waits)
            if waits and unawaited is None:
                # Also when the handler went on in spite of it: what it made of an open wait is worth nothing.
                return Yielded(tuple(self._replay.waits.values()), joining)
            if unawaited is not None:
                # Only its compensations may wait.
                self._replay.drop_waits()
            return await self._ended(value, error or unawaited)
        finally:
            self._runner.calls.close()
            self.stop()
            current_run.run_id.reset(token)

    def _unawaited(self, *, ended: bool) -> StepNotAwaited | None:
        """What fails a handler that has called a step without `await`; None where that is only reported.

        ended: it has returned, and no replay follows.
        """
        if self._replay.job.compensating is not None:
            # The run has failed, and its steps are called only for what they have to undo.
            return None
        if ended:
            self._runner.calls.look()
        found = self._runner.calls.found
        if found is None or self._on_unawaited is None:
            return found
        self._on_unawaited(found)
        return None

    async def _handle(self) -> tuple[Any, BaseException | None]:
        """What the handler returned or raised; (None, None) when it left for a wait."""
        if self._undecoded is not None:
            return None, self._undecoded
        event = self._replay.job.event
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
            return await call(self._handler(args), args)
        except Yield:
            pass
        except Stopped:
            if self._replay.diverged is None and not self._replay.held:
                raise
        except BaseExceptionGroup as group:
            # A task group puts what its tasks raise together, waits among them.
            return None, group
        return None, None

    def _handler(self, args: tuple[Any, ...]) -> Callable[..., Any]:
        context = args[0]
        return partial(self._plain, context) if isinstance(context, SyncContext) else self._function.handler

    async def _plain(self, context: Any, *args: Any) -> Any:
        """Runs a plain handler in a thread. A coroutine that it returns, as a lambda may, runs on the loop: there its
        steps are awaited."""
        value = await in_thread(self._function.handler, *args)
        if not inspect.isawaitable(value):
            return value
        context.step = Steps(self._replay, self._replay.root)
        return await value

    def _latest(self, event: JobEvent) -> JobEvent:
        """The event with its data in the latest version. Raises UpcasterChainError, SerializationError."""
        latest = self._upcasters.get_latest_version(event.name) or event.version
        data = self._upcasters.upcast(event.name, from_payload(event.data), event.version)
        payload = to_payload(data, f"event {event.name!r}, brought to version {latest},")
        return msgspec.structs.replace(event, data=payload, version=latest)

    def _arguments(self, event: JobEvent) -> tuple[Any, ...]:
        """Raises ValidationError for data that is not of the declared type."""
        function, job = self._function, self._replay.job
        # A clock tick carries no data of the user's.
        read = from_payload if event.source == "cron" else function.read_data
        if read is not from_payload and is_redacted(event.data):
            raise ValidationError(f"the data of event {event.id} was redacted; nothing of it can be read.")
        steps = Steps(self._replay, self._replay.root)
        given = event_of(event, from_payload if function.schema is None else read)
        run = RunInfo(
            id=job.run_id,
            function_id=job.function_id,
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            on_exhausted=job.on_exhausted,
            started_at=to_datetime(self._replay.now()),
            environment=self._environment,
            function_version=job.function_version,
        )
        changes = Changes(steps, self._replay)
        self._restarts = Restarts(
            self._course,
            function.read_data if function.takes_data or function.schema is not None else from_payload,
            self._secrets.texts,
            supported=RESTARTS in self._features,
            encoded=self._runner.encoded,
        )
        own = self._secrets, self._cancellation, self.logs, self.values, self._course, self.state, self._restarts
        if is_async(function.handler):
            clients = self._clients
            context = Context(given, steps, run, *own, changes, None if clients is None else lambda: clients.of_loop)
        else:
            # The same methods; a plain handler waits for them in its thread.
            self._bridge = Bridge()
            blocking = BlockingSteps(steps, self._bridge)
            client = None if self._clients is None else partial(self._clients.of_thread, self._bridge.wait)
            context = SyncContext(given, blocking, run, *own, BlockingChanges(changes, self._bridge), client)
        if not function.takes_data:
            return (context,)
        return context, context.event.data if function.schema is not None else read(event.data)

    async def _ended(self, value: Any, error: BaseException | None) -> Outcome:
        if self._replay.job.compensating is not None:
            # The server keeps the error with which the run failed.
            error = error or NonRetryableError("The run has failed.")
        if error is None and isinstance(value, Restart):
            return Restarted(value.data)
        if error is None and self._restarts is not None and self._restarts.called:
            error = RestartNotReturned()
        if error is None:
            try:
                what = f"what function {self._function.id!r} returned"
                payload = to_payload(value, what)
                check_shows_no_secret(payload, what, self._secrets.texts)
                self.state.look(ended=True)
                return Completed(self._runner.encoded(payload))
            except IronflowError as fault:
                error = fault
        failure = without_secrets(run_failure(error), self._secrets.texts)
        if self._undecoded is not None:
            # The handler has registered nothing. Another worker may have the key, and undo what was done.
            return Failed(failure, uncompensated=True)
        caused_by = steps_behind(error, self._runner.raised)
        failed: list[str] = []
        if self._replay.job.compensating is not None or decide_compensation(failure, self._replay.job):
            failed = await self._compensate()
        return self._undone(failure, caused_by, failed)

    async def _compensate(self) -> list[str]:
        """Runs the compensations that have not run, newest first: the ids of those that failed, and are tried again."""
        failed: list[str] = []
        for each in self._replay.compensations.newest_first():
            step_id = each.step_id or self._replay.root.next_id(each.name)
            if self._is_compensated(step_id):
                continue
            with suppress(Yield):
                if not await self._runner.compensate(step_id, each):
                    failed.append(step_id)
        return failed

    def _undone(self, failure: RunFailure, caused_by: tuple[str, ...], failed: list[str]) -> Outcome:
        """How an execution that fails ends, of whose compensations some wait, or have failed."""
        behind = tuple(dict.fromkeys((*caused_by, *self._runner.behind_uncompensated)))
        joining = self._replay.joining
        if not self._replay.waits and joining is None:
            return Failed(failure, behind, uncompensated_steps=tuple(failed))
        if self._replay.job.compensating is None:
            # They are waited for by the executions that follow a failure.
            return Failed(failure, behind, uncompensated=True)
        return Yielded(tuple(self._replay.waits.values()), joining)

    def _is_compensated(self, step_id: str) -> bool:
        """Whether the compensation has run, or has failed for good while the run was failing."""
        found = self._replay.ended(step_id, "compensate")
        return found is not None and (not found.failed or self._replay.job.compensating is not None)

    def hold(self) -> None:
        """No more steps are started: the run pauses. Bodies that run are recorded as before."""
        self._replay.hold()

    def stop(self) -> None:
        """No more steps are run, and threads wait for none; the handler has ended, or its lease is lost."""
        self._replay.end()
        self._cancellation.request()
        if self._bridge is not None:
            self._bridge.close()

    async def bodies_ended(self, timeout_s: float) -> bool:
        """Waits, after it was stopped, for what its code still does; False when that goes on after `timeout_s`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        # Of a handler in a thread, whose bodies are tasks of their own.
        settled = asyncio.ensure_future(self._runner.settled())
        await asyncio.wait((settled,), timeout=timeout_s)
        ended = await self._cancellation.threads_ended(until - loop.time())
        return settled.done() and ended


def _decoded(job: Assignment, codec: Codec) -> tuple[Assignment, CannotDecode | None]:
    """The job with its payloads decoded; as it is, with what was raised, when one cannot be."""
    try:
        event = msgspec.structs.replace(job.event, data=codec.decoded(job.event.data))
        steps = [
            msgspec.structs.replace(
                each, output=codec.decoded(each.output), progress=codec.decoded_value(each.progress)
            )
            for each in job.completed_steps
        ]
    except CannotDecode as fault:
        return job, fault
    return msgspec.structs.replace(job, event=event, completed_steps=steps), None
