"""Moves a session through the history of its run, to where breakpoints stop it; pure."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from ironflow.debugging.branches import MAIN, branch_of
from ironflow.debugging.dap.breakpoints import Breakpoint, Breakpoints
from ironflow.debugging.dap.debugged import DebuggedRun
from ironflow.debugging.dap.protocol import Step
from ironflow.debugging.dap.variables import shown
from ironflow.debugging.expressions import holds, rendered
from ironflow.debugging.history import Moment


@dataclass(slots=True)
class Hit:
    """What breakpoints say of a moment. stops: those that stop there. logs: messages of the others.

    step_id: of the step that the first of the stops concerns; empty for the moment itself.
    """

    stops: list[Breakpoint] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    step_id: str = ""

    @property
    def reason(self) -> str:
        """As in the event `stopped`."""
        return self.stops[0].reason if self.stops else "step"


def hit(run: DebuggedRun, breakpoints: Breakpoints, number: int) -> Generator[Step, Any, Hit]:
    """Asks for the state of the moment only where a condition or a message needs it."""
    found = Hit()
    for each, step_id in breakpoints.met(run.history[number]):
        values: dict[str, Any] = {}
        if each.condition or each.log:
            values = yield from run.values(number, step_id)
        if each.condition and not holds(each.condition, values):
            continue
        if not each.counted():
            continue
        if each.log:
            found.logs.append(rendered(each.log, values, shown))
        else:
            found.step_id = found.step_id if found.stops else step_id
            found.stops.append(each)
    return found


def step_to(run: DebuggedRun, branch: str, *, out: bool = False) -> int | None:
    """The next moment of a branch; in MAIN, of the whole run. out: where the step of this moment ends."""
    if out and run.moment.step_id:
        step_id = run.moment.step_id
        ends = run.history.forward(run.position, lambda each: each.step_id == step_id and not _begins(each))
        if ends is not None:
            return ends
    return run.history.forward(run.position, lambda each: concerns(each, branch, run.id))


def step_back_to(run: DebuggedRun, branch: str) -> int | None:
    """The moment before, of a branch; in MAIN, of the whole run."""
    return run.history.back(run.position, lambda each: concerns(each, branch, run.id))


def concerns(moment: Moment, branch: str, run_id: str) -> bool:
    """Whether a moment is of a branch or of one within it. What is about the run is in MAIN only."""
    if branch == MAIN:
        return True
    found = branch_of(moment.step_id, run_id)
    return found == branch or found.startswith(f"{branch}/")


def _begins(moment: Moment) -> bool:
    return moment.kind.endswith(".started")
