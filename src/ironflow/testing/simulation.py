"""The runs that one event starts, without a server: executed, answered where they wait, executed again, to their ends.

The engine decides what a report, an event and a time that has come mean, as in a server. Time stands still but where
all wait: then it goes on to the next moment at which something is due.
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from ironflow.base.errors import FailedPrecondition, InvalidArgument, PayloadTooLarge
from ironflow.base.spelling import reader, writer
from ironflow.engine import commands
from ironflow.engine.effects import StartChild
from ironflow.engine.model import ErrorValue, Run
from ironflow.features.entities.in_tx import invoke_refusal
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.contract import InvalidReport
from ironflow.features.jobs.in_tx import assignment, report_of, with_trigger_value
from ironflow.features.runs.in_tx import error_message, is_replayed, shown_status, step_message
from ironflow.log.record import Record
from ironflow.sdk.client.views import Failure, Step
from ironflow.sdk.client.views.convert import view
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.durable.job.failure import run_failure
from ironflow.sdk.durable.job.report import JobUpdate, Outcome, Start, Started, add_outcome, report_json
from ironflow.sdk.durable.steps.compensations import CLEAN_UP
from ironflow.sdk.durable.steps.replay import ASYNC_STARTS
from ironflow.sdk.durable.steps.retrying import FEATURES
from ironflow.sdk.user_code.call import call
from ironflow.sdk.values.payload import Raw, from_payload, to_payload
from ironflow.server.settings import Settings
from ironflow.testing.kept_runs import KeptRuns, steps_of
from ironflow.testing.mocks import MockedStepRunner, NotMocked
from ironflow.testing.run import TestRun
from ironflow.testing.simulation_state import ENVIRONMENT, SimulationState

EXECUTIONS_MAX = 1_000
LINKS_MAX = 1_000
# An execution takes no time here, so that no lease ends.
LEASE_MS = 24 * 3600 * 1000
OUTPUT_BYTES_MAX = Settings().output_bytes_max


class NeverEnds(FailedPrecondition):
    """The function under test waited again and again. A function without an end is tested with `time_machine`."""

    code = "NEVER_ENDS"


async def simulated(
    state: SimulationState, function: FunctionDefinition, event: Record, cancel_at: str = "", entity_key: str = ""
) -> TestRun:
    """The run that `event` starts, at its end; of one that restarts, the last link of its chain. cancel_at: the step in
    which one of them waits when it is cancelled. entity_key: empty for that in the event's data.

    Raises NotMocked, NeverEnds, InvalidArgument.
    """
    return await Simulation(state, cancel_at).run(function, event, entity_key)


class Simulation:
    """Runs that follow from one event. cancel_at: the step in which the run waits when it is cancelled."""

    def __init__(self, state: SimulationState, cancel_at: str = "") -> None:
        self._state = state
        self._kept = KeptRuns(state)
        self._cancel_at = cancel_at
        self._cancelled = False

    async def run(self, function: FunctionDefinition, event: Record, entity_key: str) -> TestRun:
        """The last link of the chain that the event begins, at its end or held for a person."""
        kept = self._kept
        first = kept.start(function, event, entity_key)
        while True:
            if (ready := kept.ready()) is not None:
                await self._execute(ready, first)
            elif kept.mocked:
                await self._answer_mock(*kept.mocked.pop(0))
            elif not kept.receive() and not kept.pass_time():
                break
        last = kept.last_of(first)
        if not last.ended and last.status != "paused":
            raise self._without_end(function.id)
        if self._cancel_at and not self._cancelled:
            message = f"The run has {last.status} without a wait in step {self._cancel_at!r}."
            raise InvalidArgument(f"{message} It was to be cancelled there.")
        return self._shown(last)

    # Executions.

    async def _execute(self, run_id: str, first: str) -> None:
        self._check_ends(run_id)
        state, begun = self._state, self._kept.begin_execution(run_id)
        job = self._claimed(run_id, begun.executions)
        runner = MockedStepRunner(
            begun.function.step_timeout_s,
            state.clock,
            state.steps,
            state.strict,
            state.remember_fault,
            state.publish,
        )
        reported = _Reported(self, job)
        execution = Execution(
            begun.function,
            job,
            clock=state.clock,
            environment=ENVIRONMENT,
            publish=state.publish,
            features=FEATURES | {CLEAN_UP, ASYNC_STARTS},
            runner=runner,
            clients=state.clients,
            on_start=reported.start,
        )
        reported.execution = execution
        outcome = await execution.run()
        if state.fault is not None:
            raise state.fault
        self._keep_state(run_id, execution)
        run = reported.end(outcome)
        waits = any(step.name == self._cancel_at and step.open for step in run.steps.values())
        if waits and not self._cancelled and run.chain_id == first:
            self._cancelled = True
            self._kept.do(run_id, commands.Cancel(cause="cancelled by the test", by_request=True))

    def _check_ends(self, run_id: str) -> None:
        """Raises NeverEnds."""
        run, function_id = self._kept.runs[run_id], self._kept.begun[run_id].function.id
        if run.link >= LINKS_MAX:
            raise NeverEnds(
                f"function {function_id!r} has restarted {LINKS_MAX} times without ending. Test a function that goes "
                "on for ever with ironflow.testing.time_machine."
            )
        if self._kept.begun[run_id].executions >= EXECUTIONS_MAX:
            raise NeverEnds(
                f"function {function_id!r} has waited {EXECUTIONS_MAX} times without ending. Sleeps take no time "
                "here; test a function that goes on for ever with ironflow.testing.time_machine."
            )

    def _without_end(self, function_id: str) -> NeverEnds:
        if (blocked := self._kept.blocked()) is not None:
            waiting, holder, entity = blocked
            return NeverEnds(
                f"function {function_id!r} waits without a time-out: {waiting!r} waits for key {entity.key!r} of "
                f"entity {entity.entity!r}, which {holder!r} holds to its end. A handler that invokes another one "
                "of its own key waits for itself: call the code, or give the step a timeout that counts from the call."
            )
        return NeverEnds(
            f"function {function_id!r} waits for a run that is held for a person, and has no time-out. "
            "Test what a person does then with ironflow.testing.time_machine."
        )

    def _claimed(self, run_id: str, number: int) -> Assignment:
        """The job of the run's next execution, as a worker reads it."""
        job_id = f"job_{run_id.removeprefix('run_')}_{number}"
        claim = commands.Claim("test", job_id, token=job_id, acked=True, lease_ms=LEASE_MS, reservation_ms=LEASE_MS)
        run = self._kept.do(run_id, claim)
        begun = self._kept.begun[run_id]
        secrets = {name: text for name, text in self._state.secrets.items() if name in begun.function.settings.secrets}
        memo = [step for step in steps_of(run) if is_replayed(step)]
        context = jobs.JobContext(secrets=secrets) if secrets else None
        message = assignment(run, begun.event, memo, True, context, None, None)
        job = msgspec.json.decode(msgspec.json.encode(writer(jobs.Assignment).write(message)), type=Assignment)
        job.entity = begun.entity
        for each in job.completed_steps:
            if each.status == "timed_out" and isinstance(each.error, dict):
                event = run.steps[each.step_id].wait_event
                each.error["message"] += (
                    f" To let one come, queue it before the run begins: client.send_event({event!r}, ...)."
                )
        return job

    def _keep_state(self, run_id: str, execution: Execution) -> None:
        """Writes the state that the execution has made, as its reports would have."""
        changed, entity = execution.state.unsent(0, len(execution.rows)), self._kept.begun[run_id].entity
        if changed is not None and entity is not None:
            self._state.entities[entity.entity, entity.key] = changed.state

    # Reports.

    def report(self, run_id: str, update: JobUpdate) -> Run:
        """The run after the report. Raises InvalidReport and OutputTooLarge as a server does, NotMocked."""
        message = reader(jobs.UpdateJob).read(report_json(update))
        assert isinstance(message, jobs.UpdateJob)
        report = report_of(message, LEASE_MS, OUTPUT_BYTES_MAX, self._state.clock.now())
        yields = tuple(self._completed(run_id, each) for each in report.yields)
        restart = report.restart
        if restart is not None:
            restart = replace(restart, run_id=self._state.new_id("run"))
        return self._kept.do(run_id, replace(report, yields=yields, restart=restart))

    def _completed(self, run_id: str, wanted: commands.YieldFor) -> commands.YieldFor:
        """What the handler waits for, with what only a server knows. Raises NotMocked."""
        match wanted:
            case commands.WaitForEvent():
                data = self._kept.begun[run_id].event.data
                return with_trigger_value(wanted, from_payload(Raw(data.encode())))
            case commands.Invoke():
                refusal = self._refusal(wanted)
                return replace(wanted, child_run_id=self._state.new_id("run"), refusal=refusal)
            case commands.Sleep() | commands.Rest():
                return wanted
            case _:
                assert_never(wanted)

    def _refusal(self, wanted: commands.Invoke) -> str:
        """Why the function is not started, or empty. Raises NotMocked."""
        state, function_id = self._state, wanted.function_id
        if function_id in state.invokes:
            return ""
        function = state.functions.get(function_id)
        if state.strict or function is None:
            raise NotMocked(
                f"function {function_id!r} is invoked but not mocked. Mock it with "
                f"client.mock_invoke({function_id!r}, ...), or run it with "
                f"TestClient(functions=[..., {function_id}], strict=False)."
            )
        if function.settings.triggers and not wanted.with_triggers:
            return f"function {function_id!r} has triggers; only functions without any are invoked"
        if wanted.entity_key:
            return invoke_refusal(function_id, wanted.entity_key, is_handler=function.settings.entity is not None)
        return ""

    async def _answer_mock(self, parent_id: str, start: StartChild) -> None:
        """Asks the mock of an invoked function."""
        given = from_payload(Raw(start.input.encode()))
        output, error = await call(self._state.invokes.answer, (start.function_id, given))
        text, cause, failure = None, None, ErrorValue(message="")
        if error is not None:
            why = run_failure(error)
            cause = why.message
            failure = ErrorValue(
                message=why.message,
                code=why.code or "",
                error_class=why.error_class or "",
                details=why.details or None,
            )
        else:
            text = bytes(to_payload(output, f"the output of {start.function_id!r}")).decode()
        ended = commands.ChildEnded(start.step_id, start.run_id, start.function_id, text, cause, failure)
        self._kept.answer_mocked(parent_id, ended)

    # What a test sees.

    def _shown(self, run: Run) -> TestRun:
        error = error_message(run.error) if run.status != "completed" else None
        return TestRun(
            id=run.id,
            function_id=run.function_id,
            status=shown_status(run),
            output=from_payload(Raw(run.output.encode())) if run.output is not None else None,
            error=None if error is None else view(Failure, error),
            attempt=run.attempt,
            steps=[view(Step, step_message(run, step)) for step in steps_of(run)],
            children=[self._shown(child) for child in self._kept.children(run.id)],
            restarted_from=None if run.restarted_from is None else self._shown(self._kept.runs[run.restarted_from]),
        )


class _Reported:
    """The reports of one execution."""

    def __init__(self, simulation: Simulation, job: Assignment) -> None:
        self._simulation = simulation
        self._job = job
        self._known = 0
        self.execution: Execution

    async def start(self, steps: Sequence[Start]) -> Sequence[Started]:
        """Starts runs in the middle of the execution."""
        update = self._update("progress")
        update.yields = steps
        run = self._simulation.report(self._job.run_id, update)
        return [_started(run, step.step_id) for step in steps]

    def end(self, outcome: Outcome) -> Run:
        """The run after the last report; what no server would accept fails it, as a worker does then."""
        try:
            return self._simulation.report(self._job.run_id, add_outcome(self._update(""), outcome))
        except (InvalidReport, PayloadTooLarge) as fault:
            update = self._update("failed")
            update.steps = []
            update.error = run_failure(fault)
            update.error.retryable = False
            return self._simulation.report(self._job.run_id, update)

    def _update(self, status: str) -> JobUpdate:
        rows, known = self.execution.rows, self._known
        self._known = len(rows)
        return JobUpdate(
            job_id=self._job.job_id,
            status=status,
            execution_seq=self._job.execution_seq,
            lease_token=self._job.lease_token,
            steps=rows[known:],
            step_offset=self._job.step_sequence_base + known,
            cancels=tuple(self.execution.cancels) or UNSET,
        )


def _started(run: Run, step_id: str) -> Started:
    step = run.steps[step_id]
    if step.status == "failed":
        return Started(step_id=step_id, error=None if step.error is None else msgspec.json.decode(step.error))
    return Started(step_id=step_id, run_id=step.child_run_id)
