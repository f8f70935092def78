"""One run without a server: executed, answered where it waits, executed again, until it ends.

Attempts are counted as the server does; the pauses between them, and sleeps, take no time.
"""

from typing import Any

import msgspec

from ironflow.base.errors import FailedPrecondition, InvokeError
from ironflow.base.spelling import reader
from ironflow.base.time import to_datetime, to_millis
from ironflow.engine import commands
from ironflow.engine.model import Policy
from ironflow.engine.wake import WAIT_TIMEOUT, InvokeFailure
from ironflow.features.jobs.contract import InvalidReport, UpdateJob
from ironflow.features.jobs.rules import report_of
from ironflow.features.runs.contract import RunStatus, StepType
from ironflow.features.runs.ledger import INVOKED, event_text
from ironflow.log.record import Record
from ironflow.sdk.assignment import Assignment, JobContext, JobEvent
from ironflow.sdk.divergence import Diverged
from ironflow.sdk.execution import Execution
from ironflow.sdk.failure import message_of
from ironflow.sdk.function import FunctionDefinition
from ironflow.sdk.payload import Raw, from_payload, to_payload
from ironflow.sdk.report import (
    Completed,
    Failed,
    InvokeFunction,
    InvokeFunctionAsync,
    JobUpdate,
    Outcome,
    RunFailure,
    Sleep,
    WaitForEvent,
    Yielded,
    add_outcome,
)
from ironflow.sdk.usercode import call
from ironflow.sdk.views import Failure
from ironflow.server.settings import Settings
from ironflow.testing.history import History
from ironflow.testing.mocks import MockedBodies, NotMocked
from ironflow.testing.run import TestRun
from ironflow.testing.stage import ENVIRONMENT, Stage

EXECUTIONS_MAX = 1_000

Invoking = InvokeFunction | InvokeFunctionAsync


class NeverEnds(FailedPrecondition):
    """The function under test waited again and again. A function without an end is tested with `time_machine`."""

    code = "NEVER_ENDS"


class WaitTimedOut(FailedPrecondition):
    """No event came before a wait timed out."""

    code = WAIT_TIMEOUT


class Rehearsal:
    """A run of `function`, started by `event`."""

    def __init__(self, stage: Stage, function: FunctionDefinition, event: Record) -> None:
        self.id = stage.new_id("run")
        self._stage = stage
        self._function = function
        self._event = event
        self._history = History(self.id)
        self._children: list[TestRun] = []
        self._attempt = 1
        retry, policy = function.settings.retry, Policy()
        self._max_attempts = (retry and retry.max_attempts) or policy.max_attempts
        self._on_exhausted = (retry and retry.on_exhausted) or policy.on_exhausted

    async def run(self) -> TestRun:
        """The run at its end. Raises NotMocked, NeverEnds."""
        for _ in range(EXECUTIONS_MAX):
            outcome = await self._execute()
            match outcome:
                case Completed(output):
                    return self._ended(RunStatus.COMPLETED, output=from_payload(output))
                case Failed(error) if error.code == Diverged.code:
                    return self._ended(RunStatus.PAUSED, error)
                case Failed(error) if not error.retryable:
                    return self._ended(RunStatus.FAILED, error)
                case Failed(error) if self._attempt >= self._max_attempts:
                    return self._ended(RunStatus.PAUSED if self._on_exhausted == "pause" else RunStatus.FAILED, error)
                case Failed():
                    self._attempt += 1
                case Yielded():
                    try:
                        await self._answer(outcome)
                    except (WaitTimedOut, InvalidReport) as fault:
                        # The handler is not asked: it waits.
                        failure = RunFailure(message=fault.message, code=fault.code, retryable=False)
                        return self._ended(RunStatus.FAILED, failure)
        raise NeverEnds(
            f"function {self._function.id!r} has waited {EXECUTIONS_MAX} times without ending. Sleeps take no time "
            "here; test a function that goes on for ever with ironflow.testing.time_machine."
        )

    async def _execute(self) -> Outcome:
        stage, function = self._stage, self._function
        execution = Execution(
            function, self._assignment(), clock=stage.clock, environment=ENVIRONMENT, publish=stage.publish
        )
        execution.bodies = MockedBodies(
            function.step_timeout_s,
            stage.clock,
            stage.steps,
            stage.strict,
            stage.remember_fault,
            stage.publish,
        )
        outcome = await execution.run()
        if stage.fault is not None:
            raise stage.fault
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
                metadata=None if event.metadata is None else from_payload(Raw(event.metadata.encode())),
            ),
            execution_seq=1,
            lease_token="",
            attempt=self._attempt,
            completed_steps=self._history.memo,
            max_attempts=self._max_attempts,
            on_exhausted=self._on_exhausted,
            context=JobContext(secrets={name: text for name, text in self._stage.secrets.items() if name in declared}),
        )

    def _ended(self, status: RunStatus, error: RunFailure | None = None, output: Any = None) -> TestRun:
        failure = None
        if error is not None:
            failure = Failure(
                message=error.message,
                code=error.code,
                stack=error.stack or None,
                retryable=error.retryable,
                retry_after_ms=error.retry_after_ms or None,
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
        )

    # Answering what the run waits for.

    async def _answer(self, outcome: Yielded) -> None:
        """Raises WaitTimedOut, InvalidReport for a wait that no server would accept, NotMocked."""
        match outcome.step:
            case Sleep() as step:
                clock = self._stage.clock
                clock.at = max(clock.at, to_millis(step.until))
                self._history.came(step, StepType.SLEEP, sleep_until=step.until)
            case WaitForEvent() as step:
                self._wait(step, self._understood(outcome))
            case InvokeFunction() | InvokeFunctionAsync() as step:
                await self._invoke(step)

    def _understood(self, outcome: Yielded) -> commands.WaitForEvent:
        """The wait as the server reads it. Raises InvalidReport."""
        told = JobUpdate(job_id=self.id, status="", execution_seq=1, lease_token="", steps=[], step_offset=0)
        update = reader(UpdateJob).read(msgspec.json.encode(add_outcome(told, outcome)))
        assert isinstance(update, UpdateJob)
        wait = report_of(update, 0, Settings().output_bytes_max, self._stage.clock.now()).yielded
        assert isinstance(wait, commands.WaitForEvent)
        return wait

    def _wait(self, step: WaitForEvent, wait: commands.WaitForEvent) -> None:
        told = {
            "wait_event_name": wait.event,
            "input": None if wait.payload is None else from_payload(Raw(wait.payload.encode())),
        }
        event = self._stage.take_event(wait, self._event)
        if event is None:
            late = WaitTimedOut(
                f"No {wait.event} came before the wait {wait.name!r} timed out. To let one come, queue it before the "
                f"run begins: client.send_event({wait.event!r}, ...)."
            )
            self._history.timed_out(step, Failure(message=late.message, code=late.code), **told)
            raise late
        self._history.came(step, StepType.WAIT_FOR_EVENT, Raw(event_text(event).encode()), **told)

    async def _invoke(self, step: Invoking) -> None:
        told = {"input": from_payload(step.input)}
        try:
            child_run_id, output = await self._child(step)
        except InvokeError as fault:
            failure = InvokeFailure(
                message=f"Function {step.function_id!r} failed: {fault.cause}",
                function_id=step.function_id,
                child_run_id=fault.child_run_id,
                cause=fault.cause,
            )
            self._history.invoke_failed(step, failure, child_run_id=fault.child_run_id or None, **told)
            return
        if isinstance(step, InvokeFunctionAsync):
            output = {"run_id": child_run_id}
        recorded = to_payload(output, f"the output of {step.function_id!r}")
        self._history.came(step, StepType.INVOKE_FUNCTION, recorded, child_run_id=child_run_id, **told)

    async def _child(self, step: Invoking) -> tuple[str, Any]:
        """Run id and output of the invoked function or its mock. Raises InvokeError with the cause, NotMocked."""
        stage, function_id = self._stage, step.function_id
        if function_id in stage.invokes:
            child_run_id = stage.new_id("run")
            output, error = await call(stage.invokes.answer, (function_id, from_payload(step.input)))
            if error is not None:
                raise InvokeError(child_run_id=child_run_id, cause=message_of(error))
            return child_run_id, output
        function = stage.functions.get(function_id)
        if stage.strict or function is None:
            raise NotMocked(
                f"function {function_id!r} is invoked but not mocked. Say what it gives with "
                f"client.mock_invoke({function_id!r}, ...), or run it with "
                f"TestClient(functions=[..., {function_id}], strict=False)."
            )
        if function.settings.triggers:
            raise InvokeError(cause=f"function {function_id!r} has triggers; only functions without any are invoked")
        child = await Rehearsal(stage, function, stage.event(INVOKED, from_payload(step.input), source="invoke")).run()
        self._children.append(child)
        if child.status is not RunStatus.COMPLETED and isinstance(step, InvokeFunction):
            # One that is held for someone to resume keeps its parent waiting.
            failed = child.error if child.status is RunStatus.FAILED else None
            raise InvokeError(child_run_id=child.id, cause=failed.message if failed else "invoke timed out")
        return child.id, child.output
