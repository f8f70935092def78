"""What a recorded run was at a moment; pure. A state is a fold of its facts by the engine's own `evolve`."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.engine.evolve import fold
from ironflow.engine.facts import Fact
from ironflow.engine.model import Recording, Run, Step
from ironflow.features.runs.rules import step_row_id
from ironflow.features.time_travel.contract import RecordingExpired, RunNotRecorded, StepsNotRecorded


class Kept(NamedTuple):
    """A kept fact. version: of the run after it. at: when it was recorded, never before the fact that it follows."""

    version: int
    at: Millis
    fact: Fact


def history(kept: Iterable[tuple[int, Fact]]) -> list[Kept]:
    """A run's facts, given with their versions, dated so that time never runs backwards.

    A server's clock may be set back; what happened next is then as late as what happened before it.
    """
    dated: list[Kept] = []
    latest = 0
    for version, fact in kept:
        latest = max(latest, fact.at)
        dated.append(Kept(version, latest, fact))
    return dated


def run_at(past: Sequence[Kept], moment: Millis) -> Run | None:
    """The run as it was at `moment`, after everything recorded then or before; None before its first fact."""
    happened = [kept.fact for kept in past if kept.at <= moment]
    return fold(None, happened) if happened else None


def steps_in_order(run: Run) -> list[Step]:
    """The run's steps by sequence, as a list of steps shows them."""
    return sorted(run.steps.values(), key=lambda step: (step.sequence, step.number))


def step_meant(run: Run, named: str) -> Step | None:
    """The step that a person means: the one with that row id or SDK step id, else the first of that name."""
    steps = steps_in_order(run)
    for step in steps:
        if named in (step.step_id, step_row_id(run.id, step.number)):
            return step
    return next((step for step in steps if step.name == named), None)


def check_recorded(run_id: str, function_id: str, recording: Recording) -> None:
    """Raises RunNotRecorded for a run that keeps no facts, RecordingExpired for one whose facts are gone."""
    if recording == "":
        raise RunNotRecorded(
            f"Run {run_id} is not recorded: function {function_id!r} had recording off when it was created. "
            "Register the function with recording on; its later runs can be looked back at."
        )
    if recording == "expired":
        raise RecordingExpired(
            f"The recording of run {run_id} is gone: the recording_retention of function {function_id!r} is over."
        )


def check_steps_recorded(function_id: str, recording: Recording) -> None:
    """Raises StepsNotRecorded for a run that keeps facts of the run only."""
    if recording == "run_lifecycle":
        raise StepsNotRecorded(
            f"Function {function_id!r} recorded with profile run_lifecycle, which keeps no steps. "
            "Register it with recording_profile steps or all."
        )
