"""Replays one recorded run with a function of this process: no body runs, and no server is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

import msgspec

from ironflow.base.errors import InvalidArgument, IronflowError
from ironflow.base.time import FixedClock, to_millis
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.report import Completed, Failed, Outcome, Restarted, StepFailure, Yielded
from ironflow.sdk.durable.steps.compensations import Compensation
from ironflow.sdk.durable.steps.retrying import FEATURES, Attempts
from ironflow.sdk.durable.steps.signals import Stopped, Yield
from ironflow.sdk.durable.steps.step_runner import ONCE, StepRunner
from ironflow.sdk.replaying.divergence import Course, Divergence, decide_divergences, name_of, new_steps
from ironflow.sdk.replaying.record import Record
from ironflow.sdk.values.payload import NOTHING, Raw, from_payload
from ironflow.sdk.values.upcasting import UpcasterRegistry

Verdict = Literal["fits", "diverges", "undecided"]
End = Literal["completed", "restarted", "failed", "waits", "goes_on", "stopped"]


class ReplayDiverged(IronflowError):
    """The code does not fit the record of the run."""

    code = "REPLAY_DIVERGED"


@dataclass(frozen=True)
class RealStep:
    """A step whose body ran for real. recorded: the output in the record; error: what the body raised."""

    name: str
    step_id: str
    output: Any
    recorded: Any
    error: str = ""


@dataclass(frozen=True)
class Replayed:
    """What became of a replay.

    verdict: `undecided` with its reason. end: how the handler ended: `waits` for what has not
    come, `goes_on` with new steps where the record ends, `stopped` at the step that was named. next_steps: the names
    of what it waits for or goes on with. output: of a handler that completed; other_output: the run's is another one,
    which is no divergence. error: with which the handler failed. asked: how many steps it asked for.
    """

    run_id: str
    function_id: str
    verdict: Verdict
    recorded_status: str
    recorded_steps: int
    reason: str = ""
    divergences: tuple[Divergence, ...] = ()
    end: End | None = None
    asked: int = 0
    next_steps: tuple[str, ...] = ()
    output: Any = None
    other_output: bool = False
    error: str = ""
    real: tuple[RealStep, ...] = ()

    @property
    def fits(self) -> bool:
        return self.verdict == "fits"

    def check(self) -> None:
        """Raises ReplayDiverged for a run that the code does not fit; nothing is raised for an undecided one."""
        if self.verdict == "diverges":
            found = " ".join(each.message for each in self.divergences)
            raise ReplayDiverged(f"Function {self.function_id!r} does not fit run {self.run_id}. {found}")


async def replay_record(
    function: FunctionDefinition,
    record: Record,
    *,
    secrets: Mapping[str, str] | None = None,
    upcasters: UpcasterRegistry | None = None,
    until: str = "",
    real: Sequence[str] = (),
) -> Replayed:
    """Runs the handler over the record.

    secrets: values of declared secrets; others are placeholders. until: the name or id of a step: the handler is left
    when it asks for it. real: names or ids of steps whose bodies run; the handler goes on with what they give.
    Raises InvalidArgument for a run of another function. Code of the handler outside of steps runs as always.
    """
    run = record.run
    if run.function_id != function.id:
        raise InvalidArgument(f"run {run.id} is one of function {run.function_id!r}, not of {function.id!r}.")
    if record.is_foreign:
        return _undecided(record, "the ids of its steps are those of another SDK, which this one cannot replay")
    given = {name: f"<secret {name}>" for name in function.settings.secrets} | dict(secrets or {})
    clock = FixedClock(to_millis(run.started_at or run.created_at))
    runner = _Recorded(function.step_timeout_s, clock, real)
    asked: dict[str, str] = {}
    execution = Execution(
        function,
        record.assignment(given, real),
        clock=clock,
        environment=run.environment_id,
        upcasters=upcasters,
        runner=runner,
        features=FEATURES,
        on_asked=lambda step_id, kind: _asked(step_id, kind, asked, until, execution.hold),
        # It is no divergence: the recorded run did the same.
        on_unawaited=lambda _: None,
    )
    outcome, stopped = None, False
    try:
        outcome = await execution.run()
    except Stopped:
        stopped = True
    course = Course(asked, execution.left, None if runner.new else outcome, frozenset(runner.ran), stopped)
    return _result(record, course, runner)


def _asked(step_id: str, kind: str, asked: dict[str, str], until: str, stop: Callable[[], None]) -> None:
    """Notes a step that the handler asks for. Raises Stopped at the step where the replay is to stop."""
    asked.setdefault(step_id, kind)
    if until and until in (step_id, name_of(step_id)):
        stop()
        raise Stopped


class _Recorded(StepRunner):
    """Runs no bodies but those of the steps in `real`. new: ids of steps that would run now. ran: of those that did."""

    def __init__(self, limit_s: float | None, clock: FixedClock, real: Sequence[str]) -> None:
        super().__init__(limit_s, None, clock)
        self.new: list[str] = []
        self.ran: set[str] = set()
        self._real = frozenset(real)

    async def step(
        self,
        step_id: str,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout_s: float | None,
        attempts: Attempts = ONCE,
    ) -> Any:
        if self._real.isdisjoint((name, step_id)):
            self.new.append(step_id)
            raise Yield(f"step {name!r} is not recorded")
        self.ran.add(step_id)
        return await super().step(step_id, name, fn, args, kwargs, timeout_s, attempts._replace(retry=None))

    async def compensate(self, step_id: str, compensation: Compensation) -> bool:
        """Undoes nothing."""
        return True


def _result(record: Record, course: Course, runner: _Recorded) -> Replayed:
    steps = record.recorded_steps
    divergences = tuple(decide_divergences(steps, record.end, course))
    lacks = record.lacks
    if divergences and lacks:
        return _undecided(record, f"the record lacks {', '.join(lacks)}, and the code went another way without it")
    outcome = course.outcome
    output = outcome.output if isinstance(outcome, Completed) else NOTHING
    recorded = NOTHING if record.run.output is None else Raw(bytes(record.run.output))
    ids = [each.step_id for each in outcome.steps] if isinstance(outcome, Yielded) else new_steps(steps, course)
    return Replayed(
        run_id=record.run.id,
        function_id=record.run.function_id,
        verdict="diverges" if divergences else "fits",
        recorded_status=record.run.status.value,
        recorded_steps=len(steps),
        divergences=divergences,
        end="stopped" if course.stopped else _end(outcome),
        asked=len(course.asked),
        next_steps=tuple(name_of(step_id) for step_id in ids),
        output=from_payload(output),
        other_output=isinstance(outcome, Completed)
        and record.run.status.value == "completed"
        and from_payload(output) != from_payload(recorded),
        error=outcome.error.message if isinstance(outcome, Failed) else "",
        real=tuple(_real_steps(record, runner)),
    )


def _end(outcome: Outcome | None) -> End:
    match outcome:
        case None:
            return "goes_on"
        case Completed():
            return "completed"
        case Restarted():
            return "restarted"
        case Failed():
            return "failed"
        case Yielded():
            return "waits"
        case _:
            assert_never(outcome)


def _real_steps(record: Record, runner: _Recorded) -> list[RealStep]:
    recorded = {step.step_id: step.output for step in record.steps}
    return [
        RealStep(
            name=row.name,
            step_id=row.id,
            output=from_payload(row.output) if isinstance(row.output, Raw) else None,
            recorded=None if (was := recorded.get(row.id)) is None else msgspec.json.decode(was),
            error=row.error.message if isinstance(row.error, StepFailure) else "",
        )
        for row in runner.rows
    ]


def _undecided(record: Record, reason: str) -> Replayed:
    return Replayed(
        run_id=record.run.id,
        function_id=record.run.function_id,
        verdict="undecided",
        recorded_status=record.run.status.value,
        recorded_steps=len(record.steps),
        reason=reason,
    )
