"""What runs again when a run goes on; pure. It follows `engine/control.py` `decide_resume`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ironflow.features.time_travel.contract import RunState, StepState

Action = Literal["resume", "retry"]
_KEPT = ("completed", "timed_out")
_OPEN = ("sleeping", "waiting")


@dataclass(frozen=True, slots=True)
class Preview:
    """What a resume or retry does. again: steps whose results are dropped or missing. kept: those that are replayed.

    undone_children: runs that dropped steps had invoked; they are invoked anew. refused: why it cannot be done now.
    """

    again: Sequence[StepState]
    kept: Sequence[StepState]
    undone_children: Sequence[str]
    refused: str = ""


def preview(state: RunState, action: Action, from_step: str = "") -> Preview:
    """What would happen if the run, as it is now, went on. from_step: step id or row id; empty for none."""
    first = next((step.sequence for step in state.steps if from_step in (step.step_id, step.id)), None)
    if action == "retry" and not from_step:
        first = 0
    again = [step for step in state.steps if _runs_again(step, first)]
    children = [step.child_run_id for step in again if step.child_run_id and first is not None]
    kept = [step for step in state.steps if step not in again]
    return Preview(again, kept, children, _refused(state, action, from_step, first))


def _runs_again(step: StepState, first: int | None) -> bool:
    if first is not None and step.sequence >= first:
        return True
    return step.status not in (*_KEPT, *_OPEN)


def _refused(state: RunState, action: Action, from_step: str, first: int | None) -> str:
    engine_status = state.state.partition(":")[0]
    if from_step and first is None:
        return f"the run has no step {from_step!r}"
    if action == "retry" and engine_status != "failed":
        return f"the run is {state.state}; only failed runs are retried"
    if engine_status not in ("paused", "failed"):
        return f"the run is {state.state}; only paused and failed runs are resumed"
    return ""
