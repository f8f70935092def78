"""Compares the step executions that the demo's journal shows with the steps that Ironflow recorded. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from ironflow.features.runs.contract import Run, RunStatus, Step, StepStatus, StepType

Recorded = frozenset[tuple[str, str]]
"""Recorded steps as (run id, step name)."""


class CalledOutside(msgspec.Struct):
    """One line of the journal of step bodies. what: `started`, then `finished` or `refused`; at: milliseconds."""

    at: int
    run: str
    step: str
    what: str
    worker: int


@dataclass(slots=True)
class Tally:
    """The counts of the demo.

    executed: bodies started. finished, refused: how they ended; cut_short: the rest, ended by the kill.
    recorded: steps with a recorded result.
    repeated: finished again because the kill preceded the record of the first result.
    wrong: violated guarantees as sentences; empty when all guarantees held.
    """

    orders: int
    statuses: dict[str, int]
    executed: int
    finished: int
    refused: int
    recorded: int
    wrong: list[str] = field(default_factory=list)

    @property
    def cut_short(self) -> int:
        return self.executed - self.finished - self.refused

    @property
    def repeated(self) -> int:
        return self.finished - self.recorded


def recorded_steps(steps: Mapping[str, Sequence[Step]]) -> Recorded:
    """The steps with a recorded result, from the steps of each run."""
    return frozenset(
        (run_id, step.name)
        for run_id, listed in steps.items()
        for step in listed
        if step.status is StepStatus.COMPLETED and step.step_type is StepType.INVOKE
    )


def tally(
    runs_of_orders: Mapping[str, Sequence[str]],
    runs: Sequence[Run],
    steps: Mapping[str, Sequence[Step]],
    calls: Sequence[CalledOutside],
    *,
    recorded_at_kill: Recorded,
    killed: Collection[int],
    hopeless: int,
) -> Tally:
    """Compares the calls that step bodies made with the server's runs and steps.

    runs_of_orders: the run ids in the response to each order's event.
    recorded_at_kill: steps recorded after the kill of the worker and before the start of its successor.
    killed: process ids of killed workers. hopeless: number of orders that always fail.
    """
    recorded = recorded_steps(steps)
    whats = Counter(call.what for call in calls)
    counted = Tally(
        orders=len(runs_of_orders),
        statuses=dict(Counter(run.status.value for run in runs).most_common()),
        executed=whats["started"],
        finished=whats["finished"],
        refused=whats["refused"],
        recorded=len(recorded),
    )
    wrong = counted.wrong
    several = [order for order, run_ids in runs_of_orders.items() if len(run_ids) != 1]
    if several:
        wrong.append(f"{len(several)} orders have not exactly one run, such as {several[0]}")
    known = {run_id for run_ids in runs_of_orders.values() for run_id in run_ids}
    if {run.id for run in runs} != known:
        wrong.append("the runs of the server differ from the run ids in the responses to the emits")
    if unended := [run.id for run in runs if not run.status.ended]:
        wrong.append(f"{len(unended)} runs have not ended, such as {unended[0]}")
    failed = sum(run.status is RunStatus.FAILED for run in runs)
    if failed != hopeless:
        wrong.append(f"{failed} runs failed and {hopeless} should have")
    again = [
        call for call in calls
        if call.what == "started" and call.worker not in killed and (call.run, call.step) in recorded_at_kill
    ]  # fmt: skip
    if again:
        wrong.append(
            f"{len(again)} steps ran again after they were recorded, such as {again[0].step} of {again[0].run}"
        )
    twice = _finished_twice(calls, killed)
    if twice:
        wrong.append(f"{len(twice)} steps finished twice without a crash between, such as {twice[0]}")
    finished = {(call.run, call.step) for call in calls if call.what == "finished"}
    if finished != recorded:
        wrong.append(f"{len(finished ^ recorded)} steps are recorded but did not finish, or finished but not recorded")
    return counted


def _finished_twice(calls: Sequence[CalledOutside], killed: Collection[int]) -> list[str]:
    """Steps that finished more than once among the surviving workers, or within one killed worker."""
    ends = Counter(
        (call.run, call.step, call.worker if call.worker in killed else "survived")
        for call in calls
        if call.what == "finished"
    )
    return [f"{step} of {run}" for (run, step, _), count in ends.items() if count > 1]


def outlived(calls: Sequence[CalledOutside], killed: Collection[int]) -> str | None:
    """A run that a killed worker began and another worker finished; None when there is none."""
    begun = {call.run for call in calls if call.worker in killed}
    return next((call.run for call in calls if call.run in begun and call.worker not in killed), None)
