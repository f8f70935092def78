"""One run without a server: executed, answered where it waits, executed again, until it ends.

Attempts are counted as the server does; the pauses between them, and sleeps, take no time.
"""

from typing import Any, assert_never

import msgspec

from ironflow.base.errors import FailedPrecondition, InvalidArgument, InvokeError
from ironflow.base.path import compiled_path, key_text
from ironflow.base.spelling import reader
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.engine import commands
from ironflow.engine.model import ErrorValue, Policy
from ironflow.engine.wake import PLAIN_CODES, WAIT_TIMEOUT, failure_of_child
from ironflow.features.jobs.contract import InvalidReport, UpdateJob
from ironflow.features.jobs.in_tx import report_of
from ironflow.features.runs.contract import RunStatus, StepType
from ironflow.features.runs.in_tx import INVOKED, event_text
from ironflow.log.record import Record
from ironflow.sdk.client.views import Failure
from ironflow.sdk.durable.definition.function import FunctionDefinition
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.assignment import Assignment, JobContext, JobEntity, JobEvent
from ironflow.sdk.durable.job.failure import run_failure
from ironflow.sdk.durable.job.report import (
    Completed,
    Failed,
    InvokeFunction,
    InvokeFunctionAsync,
    JobUpdate,
    Outcome,
    Rest,
    Restarted,
    RunFailure,
    Sleep,
    WaitForEvent,
    Yielded,
    YieldedStep,
    add_outcome,
)
from ironflow.sdk.durable.steps.compensations import CLEAN_UP
from ironflow.sdk.durable.steps.divergence import Diverged
from ironflow.sdk.durable.steps.retrying import FEATURES
from ironflow.sdk.user_code.call import call
from ironflow.sdk.values.payload import NOTHING, Raw, from_payload, to_payload
from ironflow.server.settings import Settings
from ironflow.testing.history import History
from ironflow.testing.mocks import MockedStepRunner, NotMocked
from ironflow.testing.run import TestRun
from ironflow.testing.simulation_state import ENVIRONMENT, SimulationState

EXECUTIONS_MAX = 1_000
LINKS_MAX = 1_000

Invoking = InvokeFunction | InvokeFunctionAsync


class NeverEnds(FailedPrecondition):
    """The function under test waited again and again. A function without an end is tested with `time_machine`."""

    code = "NEVER_ENDS"


async def simulated(
    state: SimulationState, function: FunctionDefinition, event: Record, cancel_at: str = "", entity_key: str = ""
) -> TestRun:
    """The run that `event` starts, at its end; of one that restarts, the last link of its chain. cancel_at: the step in
    which one of them waits when it is cancelled. entity_key: empty for that in the event's data.

    Raises NotMocked, NeverEnds.
    """
    run: TestRun | None = None
    for _ in range(LINKS_MAX):
        simulation = Simulation(state, function, event, run, cancel_at, entity_key)
        run = await simulation.run()
        if simulation.restart is None:
            return run
        event = state.event(INVOKED, from_payload(simulation.restart), source="restart", metadata=event_metadata(event))
    raise NeverEnds(
        f"function {function.id!r} has restarted {LINKS_MAX} times without ending. Test a function that goes on for "
        "ever with ironflow.testing.time_machine."
    )


def event_metadata(event: Record) -> Any:
    return None if event.metadata is None else from_payload(Raw(event.metadata.encode()))


class Simulation:
    """A run of `function`, started by `event`. previous: the run that restarted as this one. cancel_at: the step in
    which it waits when it is cancelled.

    restart: the data of the restart with which it has ended.
    """

    def __init__(
        self,
        state: SimulationState,
        function: FunctionDefinition,
        event: Record,
        previous: TestRun | None = None,
        cancel_at: str = "",
        entity_key: str = "",
    ) -> None:
        self.restart: Raw | None = None
        self._previous = previous
        self.id = state.new_id("run")
        self._state = state
        self._function = function
        self._event = event
        self._cancel_at = cancel_at
        self._history = History(self.id)
        self._children: list[TestRun] = []
        self._attempt = 1
        # Since when steps are waited for.
        self._open: dict[str, Millis] = {}
        retry, policy = function.settings.retry, Policy()
        self._max_attempts = (retry and retry.max_attempts) or policy.max_attempts
        self._on_exhausted = (retry and retry.on_exhausted) or policy.on_exhausted
        self._compensating: str | None = None
        self._started_at = to_datetime(state.clock.now())
        self._entity = self._entity_of(function, event, entity_key)

    async def run(self) -> TestRun:
        """The run at its end. Raises NotMocked, NeverEnds."""
        for _ in range(EXECUTIONS_MAX):
            outcome = await self._execute()
            match outcome:
                case Completed() if self._cancel_at:
                    message = f"The run has completed without a wait in step {self._cancel_at!r}."
                    raise InvalidArgument(f"{message} It was to be cancelled there.")
                case Completed(output):
                    return self._ended(RunStatus.COMPLETED, output=from_payload(output))
                case Restarted(data):
                    self.restart = data
                    return self._ended(RunStatus.COMPLETED)
                case Failed(error) if error.code == Diverged.code:
                    return self._ended(RunStatus.PAUSED, error)
                case Failed(error) if self._is_exhausted(error) and self._is_paused:
                    return self._ended(RunStatus.PAUSED, error)
                case Failed(error) if not error.retryable or self._attempt >= self._max_attempts:
                    await self._compensate_again(outcome)
                    return self._ended(RunStatus.FAILED, error)
                case Failed():
                    self._history.released(outcome.caused_by)
                    self._attempt += 1
                case Yielded() if any(step.step_name == self._cancel_at for step in outcome.steps):
                    return await self._cancelled()
                case Yielded():
                    try:
                        await self._answer(outcome)
                    except InvalidReport as fault:
                        # The handler does not run: it waits.
                        failure = RunFailure(message=fault.message, code=fault.code, retryable=False)
                        return self._ended(RunStatus.FAILED, failure)
                case _:
                    assert_never(outcome)
        raise NeverEnds(
            f"function {self._function.id!r} has waited {EXECUTIONS_MAX} times without ending. Sleeps take no time "
            "here; test a function that goes on for ever with ironflow.testing.time_machine."
        )

    def _is_exhausted(self, error: RunFailure) -> bool:
        """Whether attempts are used up, of the run or of a step of it."""
        return error.exhausted is True or (error.retryable and self._attempt >= self._max_attempts)

    @property
    def _is_paused(self) -> bool:
        """Whether a run whose attempts are used up is held."""
        return self._on_exhausted == "pause"

    async def _compensate_again(self, outcome: Failed) -> None:
        """Compensations that failed are tried as often as the run's attempts are."""
        self._compensating = outcome.error.message
        await self._undo(outcome)

    async def _undo(self, outcome: Outcome) -> None:
        """Executions that run compensations, until none is left. outcome: of the execution before."""
        left = self._max_attempts - 1
        for _ in range(EXECUTIONS_MAX):
            match outcome:
                case Yielded():
                    await self._answer(outcome)
                case Failed(uncompensated=True):
                    pass
                case Failed() if outcome.uncompensated_steps and left:
                    self._history.released(outcome.caused_by)
                    left -= 1
                case _:
                    return
            outcome = await self._execute()

    async def _cancelled(self) -> TestRun:
        """The run is cancelled while it waits; undone first, where its function says so."""
        if self._function.settings.compensate_on_cancel:
            self._compensating = "The run is being cancelled."
            await self._undo(await self._execute())
        return self._ended(RunStatus.CANCELLED)

    async def _execute(self) -> Outcome:
        state, function = self._state, self._function
        runner = MockedStepRunner(
            function.step_timeout_s,
            state.clock,
            state.steps,
            state.strict,
            state.remember_fault,
            state.publish,
        )
        execution = Execution(
            function,
            self._assignment(),
            clock=state.clock,
            environment=ENVIRONMENT,
            publish=state.publish,
            features=FEATURES | {CLEAN_UP},
            runner=runner,
            clients=state.clients,
        )
        outcome = await execution.run()
        if state.fault is not None:
            raise state.fault
        self._keep_state(execution)
        self._history.progress.update(runner.progress)
        for row in execution.rows:
            self._history.ran(row, self._attempt)
        return outcome

    def _assignment(self) -> Assignment:
        event, declared = self._event, self._function.settings.secrets
        return Assignment(
            job_id=f"job_{self.id}",
            run_id=self.id,
            function_id=self._function.id,
            event=JobEvent(
                id=event.id,
                name=event.name,
                data=Raw(event.data.encode()),
                timestamp=to_datetime(event.created_at),
                version=event.version,
                source=event.source or None,
                metadata=event_metadata(event),
            ),
            execution_seq=1,
            lease_token="",
            attempt=self._attempt,
            completed_steps=self._history.memo,
            max_attempts=self._max_attempts,
            on_exhausted=self._on_exhausted,
            compensating=self._compensating,
            run_started_at=self._started_at,
            function_version=1,
            context=JobContext(secrets={name: text for name, text in self._state.secrets.items() if name in declared}),
            entity=self._entity,
        )

    def _entity_of(self, function: FunctionDefinition, event: Record, entity_key: str) -> JobEntity | None:
        """The entity of the handler, with the state that the run begins with."""
        entity = function.settings.entity
        if entity is None:
            return None
        key = entity_key or key_text(compiled_path(entity.key)(from_payload(Raw(event.data.encode()))))
        state = self._state.entities.get((entity.name, key))
        return JobEntity(
            entity=entity.name,
            key=key,
            state=NOTHING if state is None else state,
            is_new=state is None,
            read_only=entity.access == "read",
        )

    def _keep_state(self, execution: Execution) -> None:
        """Writes the state that the execution has made, as its reports would have."""
        changed = execution.state.unsent(0, len(execution.rows))
        if changed is not None and self._entity is not None:
            self._state.entities[self._entity.entity, self._entity.key] = changed.state

    def _ended(self, status: RunStatus, error: RunFailure | None = None, output: Any = None) -> TestRun:
        failure = None
        if error is not None:
            failure = Failure(
                message=error.message,
                code=error.code,
                stack=error.stack or None,
                retryable=error.retryable,
                retry_after_ms=error.retry_after_ms or None,
                error_class=error.error_class or None,
                details=error.details or None,
            )
        return TestRun(
            id=self.id,
            function_id=self._function.id,
            status=status,
            output=output,
            error=failure,
            attempt=self._attempt,
            steps=self._history.steps,
            children=self._children,
            restarted_from=self._previous,
        )

    # Answering what the run waits for.

    async def _answer(self, outcome: Yielded) -> None:
        """Ends what can end now: functions and waits whose events are queued; else what is due first, at its time.

        Raises InvalidReport for a wait that no server would accept, NotMocked.
        """
        for step in outcome.steps:
            self._open.setdefault(step.step_id, self._state.clock.now())
        ended = False
        for step in outcome.steps:
            match step:
                case InvokeFunction() | InvokeFunctionAsync():
                    await self._invoke(step)
                    ended = True
                case WaitForEvent():
                    ended = self._take_event(step, self._parsed_wait(step)) or ended
                case Sleep() | Rest():
                    pass
                case _:
                    assert_never(step)
        if not ended:
            due = [(self._due_at(step), place) for place, step in enumerate(outcome.steps)]
            at, place = min(due)
            self._state.clock.at = max(self._state.clock.at, at)
            self._end_due(outcome.steps[place])

    def _due_at(self, step: YieldedStep) -> Millis:
        match step:
            case Sleep():
                return to_millis(step.until)
            case Rest():
                return self._open[step.step_id] + self._history.rests[step.step_id]
            case WaitForEvent():
                return self._open[step.step_id] + self._parsed_wait(step).timeout_ms
            case InvokeFunction() | InvokeFunctionAsync():
                return self._state.clock.now()
            case _:
                assert_never(step)

    def _end_due(self, step: YieldedStep) -> None:
        match step:
            case Sleep():
                self._history.completed(step, StepType.SLEEP, sleep_until=step.until)
            case Rest():
                self._history.rested(step.step_id)
                del self._open[step.step_id]
            case WaitForEvent():
                wait = self._parsed_wait(step)
                message = (
                    f"No {wait.event} came before the wait {wait.name!r} timed out. To let one come, queue it before "
                    f"the run begins: client.send_event({wait.event!r}, ...)."
                )
                self._history.timed_out(step, Failure(message=message, code=WAIT_TIMEOUT), **_shown(wait))
            case InvokeFunction() | InvokeFunctionAsync():
                # Functions end when they are invoked.
                return
            case _:
                assert_never(step)

    def _parsed_wait(self, step: WaitForEvent) -> commands.WaitForEvent:
        """The wait as the server reads it. Raises InvalidReport."""
        fields = JobUpdate(job_id=self.id, status="", execution_seq=1, lease_token="", steps=[], step_offset=0)
        update = reader(UpdateJob).read(msgspec.json.encode(add_outcome(fields, Yielded((step,)))))
        assert isinstance(update, UpdateJob)
        wait = report_of(update, 0, Settings().output_bytes_max, self._state.clock.now()).yields[0]
        assert isinstance(wait, commands.WaitForEvent)
        return wait

    def _take_event(self, step: WaitForEvent, wait: commands.WaitForEvent) -> bool:
        """Whether an event is queued that ends the wait."""
        event = self._state.take_event(wait, self._event)
        if event is None:
            return False
        self._history.completed(step, StepType.WAIT_FOR_EVENT, Raw(event_text(event).encode()), **_shown(wait))
        return True

    async def _invoke(self, step: Invoking) -> None:
        fields = {"input": from_payload(step.input)}
        try:
            child_run_id, output = await self._child(step)
        except InvokeError as fault:
            message = f"Function {step.function_id!r} failed: {fault.cause}"
            error = ErrorValue(
                message="", code=fault.code, error_class=fault.error_class, details=fault.details or None
            )
            failure = failure_of_child(message, step.function_id, fault.child_run_id, fault.cause, error)
            self._history.invoke_failed(step, failure, child_run_id=fault.child_run_id or None, **fields)
            return
        if isinstance(step, InvokeFunctionAsync):
            output = {"run_id": child_run_id}
        recorded = to_payload(output, f"the output of {step.function_id!r}")
        self._history.completed(step, StepType.INVOKE_FUNCTION, recorded, child_run_id=child_run_id, **fields)

    async def _child(self, step: Invoking) -> tuple[str, Any]:
        """Run id and output of the invoked function or its mock. Raises InvokeError with the cause, NotMocked."""
        state, function_id = self._state, step.function_id
        if function_id in state.invokes:
            child_run_id = state.new_id("run")
            output, error = await call(state.invokes.answer, (function_id, from_payload(step.input)))
            if error is not None:
                raise _failed_child(child_run_id, run_failure(error))
            return child_run_id, output
        function = state.functions.get(function_id)
        if state.strict or function is None:
            raise NotMocked(
                f"function {function_id!r} is invoked but not mocked. Mock it with "
                f"client.mock_invoke({function_id!r}, ...), or run it with "
                f"TestClient(functions=[..., {function_id}], strict=False)."
            )
        if function.settings.triggers:
            raise InvokeError(cause=f"function {function_id!r} has triggers; only functions without any are invoked")
        child = await simulated(state, function, state.event(INVOKED, from_payload(step.input), source="invoke"))
        self._children.append(child)
        if child.status is not RunStatus.COMPLETED and isinstance(step, InvokeFunction):
            # A paused child keeps its parent waiting.
            if child.status is RunStatus.FAILED and child.error is not None:
                raise _failed_child(child.id, child.error)
            raise InvokeError(child_run_id=child.id, cause="invoke timed out")
        return child.id, child.output


def _failed_child(run_id: str, error: RunFailure | Failure) -> InvokeError:
    details = error.details if isinstance(error.details, dict) else None
    code = error.code if error.code not in PLAIN_CODES else ""
    return InvokeError(
        child_run_id=run_id,
        cause=error.message,
        code=code or "",
        error_class=error.error_class or "",
        details=details,
    )


def _shown(wait: commands.WaitForEvent) -> dict[str, Any]:
    return {
        "wait_event_name": wait.event,
        "input": None if wait.payload is None else from_payload(Raw(wait.payload.encode())),
    }
