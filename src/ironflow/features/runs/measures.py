"""Counters of runs and steps for /metrics, fed by what this process saves. Source: protocol/operating.md 3."""

import msgspec

from ironflow.base.measures import BoundedNames, Counter, Histogram, Labels
from ironflow.base.notice import Notices
from ironflow.engine import facts
from ironflow.engine.decide import Decision
from ironflow.engine.model import Run
from ironflow.features.parts import Metric
from ironflow.features.runs.notices import RunChanges

_FUNCTIONS_MAX, _STEPS_MAX, _ENVIRONMENTS_MAX = 1_000, 200, 100
# Codes of errors that the engine records, not the handler.
_PLATFORM = frozenset({"WORKER_LOST", "TIMEOUT", "SECRET_MISSING", "MASTER_KEY_MISSING"})
_STEP_ENDS = frozenset({"completed", "failed", "timed_out", "cancelled"})
_RUN_ENDS: dict[type[facts.Fact], str] = {
    facts.RunCompleted: "completed",
    facts.RunFailed: "failed",
    facts.RunCancelled: "cancelled",
}


class _Error(msgspec.Struct):
    code: str | None = None


class RunMeasures:
    """A listener of what transactions publish; it reads decisions and builds nothing."""

    def __init__(self) -> None:
        self._runs, self._run_seconds = Counter(), Histogram()
        self._step_seconds = Histogram()
        self._functions = BoundedNames(_FUNCTIONS_MAX)
        self._step_names = BoundedNames(_STEPS_MAX)
        self._environments = BoundedNames(_ENVIRONMENTS_MAX)

    def receive(self, notices: Notices) -> None:
        if isinstance(notices, RunChanges):
            for decision in notices.decisions:
                self._add(decision)

    def metrics(self) -> list[Metric]:
        runs = ("function_id", "status", "environment", "failure_cause")
        steps = ("function_id", "step_name", "status")
        return [
            Metric("ironflow_runs", "Runs that ended.", "counter", runs, read=lambda: self._runs.series),
            Metric(
                "ironflow_run_duration_seconds", "Time from a run's creation to its end.", "histogram",
                ("function_id", "environment"), spread=lambda: self._run_seconds.series,
            ),
            Metric("ironflow_steps", "Steps that ended.", "counter", steps, read=self._steps),
            Metric(
                "ironflow_step_duration_seconds", "Duration of steps.", "histogram", steps,
                spread=lambda: self._step_seconds.series,
            ),
        ]  # fmt: skip

    def _add(self, decision: Decision) -> None:
        run = decision.run
        for fact in decision.facts:
            if isinstance(fact, facts.StepsRecorded):
                self._add_steps(run, fact)
                continue
            status = _RUN_ENDS.get(type(fact))
            if status is not None:
                function_id, environment = (
                    self._functions.name(run.function_id),
                    self._environments.name(run.environment),
                )
                cause = failure_cause(fact.error) if isinstance(fact, facts.RunFailed) else ""
                self._runs.add((function_id, status, environment, cause))
                self._run_seconds.add((function_id, environment), max(fact.at - run.created_at, 0) / 1000)

    def _steps(self) -> dict[Labels, float]:
        return {labels: sum(spread.counts) for labels, spread in self._step_seconds.series.items()}

    def _add_steps(self, run: Run, fact: facts.StepsRecorded) -> None:
        function_id = self._functions.name(run.function_id)
        for step in fact.steps:
            if step.status in _STEP_ENDS:
                labels = (function_id, self._step_names.name(step.name), step.status)
                began = step.started_at or step.created_at
                took = step.duration_ms if step.duration_ms is not None else max(fact.at - began, 0)
                self._step_seconds.add(labels, took / 1000)


def failure_cause(error: str) -> str:
    """`platform` for an error that the engine recorded, else `user`. error: JSON text."""
    try:
        return "platform" if msgspec.json.decode(error, type=_Error).code in _PLATFORM else "user"
    except msgspec.DecodeError:
        return "user"
