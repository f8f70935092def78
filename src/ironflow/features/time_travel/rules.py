"""What a recorded run was at a moment; pure. A state is a fold of its facts by the engine's own `evolve`."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from ironflow.base.time import Millis
from ironflow.engine.evolve import fold
from ironflow.engine.facts import Fact, StepsRecorded
from ironflow.engine.model import Recording, Run, Step
from ironflow.features.runs.in_tx import LiveStep, step_row_id
from ironflow.features.time_travel.contract import RecordingExpired, RunNotRecorded, StepsNotRecorded

# Types of steps that have a body: their workers measure when it begins and ends.
BODIES = ("invoke", "compensate")


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
    """The run as it was at `moment`, after everything that had happened then; None before its first fact.

    A step is recorded a little after its body began and ended; it counts from these moments, as measured.
    """
    happened = [kept.fact for kept in past if kept.at <= moment]
    if not happened:
        return None
    run = fold(None, happened)
    under_way = _under_way(past, moment)
    return replace(run, steps=run.steps | under_way) if under_way and not run.ended else run


def _under_way(past: Sequence[Kept], moment: Millis) -> dict[str, Step]:
    """Steps whose bodies had begun at `moment` and that were recorded later: as they were then, by step id."""
    found: dict[str, Step] = {}
    for kept in past:
        if kept.at <= moment or not isinstance(kept.fact, StepsRecorded):
            continue
        for step in kept.fact.steps:
            if step.type not in BODIES or step.started_at is None or step.started_at > moment or step.step_id in found:
                continue
            if step.ended_at is not None and step.ended_at <= moment:
                found[step.step_id] = step
            else:
                found[step.step_id] = running(step)
    return found


def run_after(past: Sequence[Kept], version: int) -> Run | None:
    """The run just after its fact of that version, with the steps whose bodies ran then; None without such a fact."""
    count = next((number for number, kept in enumerate(past, 1) if kept.version == version), 0)
    if not count:
        return None
    run = fold(None, [kept.fact for kept in past[:count]])
    under_way: dict[str, Step] = {}
    for kept in past[count:]:
        for step in kept.fact.steps if isinstance(kept.fact, StepsRecorded) else ():
            if step.type in BODIES and step.started_at is not None and step.started_at <= past[count - 1].at:
                # It may have ended in the same millisecond, and was recorded after this fact all the same.
                under_way.setdefault(step.step_id, running(step))
    return replace(run, steps=run.steps | under_way) if under_way and not run.ended else run


def running(step: Step) -> Step:
    """The step as it was while its body ran."""
    return replace(step, status="running", output=None, error=None, ended_at=None, duration_ms=None)


def with_live(run: Run, live: Sequence[LiveStep]) -> Run:
    """The run as it is now, with the steps that its worker has reported as under way."""
    steps = {
        step.step_id: Step(
            step_id=step.step_id,
            name=step.name,
            type=step.type,
            status="running",
            sequence=run.next_sequence,
            number=run.step_count,
            attempt=run.attempt,
            created_at=step.started_at,
            updated_at=step.started_at,
            started_at=step.started_at,
        )
        for step in live
        if step.step_id not in run.steps or run.steps[step.step_id].status == "failed"
    }
    return replace(run, steps=run.steps | steps) if steps else run


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
