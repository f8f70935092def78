"""Threads, frames, scopes and values of a session at its moment; pure."""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ironflow.base.errors import IronflowError
from ironflow.base.message_waits import awaited_text
from ironflow.debugging.branches import MAIN, branch_of, branches, labels
from ironflow.debugging.changes import ABSENT, Change, document, error_value, state_changes, step_value, value_of
from ironflow.debugging.dap.debugged import DebuggedRun
from ironflow.debugging.dap.protocol import Ask, Refused, Step
from ironflow.debugging.dap.variables import Node, References, shown
from ironflow.features.secrets import contract as secrets
from ironflow.features.time_travel.contract import RunState, StepState

STARS = "***"
_LEVELS = 3
_SECRETS_SHOWN_MAX = 100
_OPEN = ("sleeping", "waiting")
Level = Literal["step", "branch", "run"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a branch. step: of the frame `step`."""

    id: int
    level: Level
    name: str
    branch: str
    step: StepState | None = None


class Inspection:
    """What a client shows of one moment. `moved` forgets what it has referred to."""

    def __init__(self) -> None:
        self.references = References()
        self._threads: list[str] = [MAIN]

    def moved(self) -> None:
        self.references.clear()

    def threads(self, run: DebuggedRun, state: RunState) -> list[dict[str, Any]]:
        """A thread for the run, and one for each branch that has begun; a branch keeps its number."""
        now = branches(state.steps, run.id)
        self._threads += [each for each in now if each not in self._threads]
        return [
            {"id": number, "name": branch or run.id} for number, branch in enumerate(self._threads, 1) if branch in now
        ]

    def branch(self, thread_id: int) -> str:
        """Raises Refused."""
        if not 1 <= thread_id <= len(self._threads):
            raise Refused(f"there is no thread {thread_id}.")
        return self._threads[thread_id - 1]

    def thread_of(self, branch: str) -> int:
        """The number of a branch, which may be new."""
        if branch not in self._threads:
            self._threads.append(branch)
        return self._threads.index(branch) + 1

    def thread_of_moment(self, run: DebuggedRun) -> int:
        """The thread of the branch that the moment is about."""
        return self.thread_of(branch_of(run.step_id, run.id))

    def frames(self, run: DebuggedRun, state: RunState, thread_id: int) -> list[Frame]:
        """Step, branch, run: the innermost first."""
        branch = self.branch(thread_id)
        first = (thread_id - 1) * _LEVELS + 1
        step = current_step(run, state, branch)
        found: list[Frame] = []
        if step is not None:
            found.append(
                Frame(first, "step", f"{labels(state.steps, run.id)[step.step_id]} ({step.status})", branch, step)
            )
        if branch != MAIN:
            found.append(Frame(first + 1, "branch", branch, branch))
        found.append(Frame(first + 2, "run", f"{run.run.function_id} ({state.status})", branch))
        return found

    def frame(self, run: DebuggedRun, state: RunState, frame_id: int) -> Frame:
        """Raises Refused."""
        thread_id = (frame_id - 1) // _LEVELS + 1
        if 1 <= thread_id <= len(self._threads):
            for each in self.frames(run, state, thread_id):
                if each.id == frame_id:
                    return each
        raise Refused(f"there is no frame {frame_id}: the run has moved since.")

    def scopes(self, run: DebuggedRun, frame: Frame) -> Generator[Step, Any, list[dict[str, Any]]]:
        """Step, changes, outputs, event, attempts, waits and secrets."""
        state = yield from run.state(run.position)
        before = (yield from run.state(run.position - 1)) if run.position else None
        found = (
            []
            if frame.step is None
            else [self._scope("Step", {"name": frame.step.name, **step_value(frame.step)}, "step")]
        )
        values = document(state)
        named = labels(state.steps, run.id)
        changed = {each.path: _values_of(each) for each in state_changes(before, state)}
        outputs = Node(values["outputs"], "outputs", outputs={label: step_id for step_id, label in named.items()})
        found += [
            self._scope("Changes", changed),
            {"name": "Outputs", "variablesReference": self.references.of(outputs), "expensive": False},
            self._scope("Event", values["event"], "event"),
            self._scope("Run", values["run"], "run"),
            self._scope("Attempts", _attempts(state, named)),
            self._scope("Waits", _waits(state, named)),
            self._scope("Secrets", (yield from _secrets())),
        ]
        return found

    def _scope(self, name: str, value: dict[str, Any], path: str = "") -> dict[str, Any]:
        return {"name": name, "variablesReference": self.references.of(Node(value, path)), "expensive": False}


def current_step(run: DebuggedRun, state: RunState, branch: str) -> StepState | None:
    """The step of this moment where it is of the branch, else one under way there, else the last one there."""
    there = [step for step in state.steps if branch == MAIN or branch_of(step.step_id, run.id).startswith(branch)]
    own = next((step for step in there if step.step_id == run.step_id), None)
    if own is not None:
        return own
    under_way = [step for step in there if step.status in ("running", *_OPEN)]
    return (under_way or there or [None])[-1]


def _values_of(change: Change) -> dict[str, Any]:
    """The two values of a change; what is absent is left out."""
    both = {"before": change.before, "after": change.after}
    return {name: value for name, value in both.items() if value is not ABSENT}


def _attempts(state: RunState, named: dict[str, str]) -> dict[str, Any]:
    steps = {
        named[step.step_id]: {"attempt": step.attempt, "status": step.status, "error": error_value(step.error)}
        for step in state.steps
        if step.attempt > 1 or step.error is not None
    }
    return {"run": f"{state.attempt} of {state.max_attempts}", "next_at": _time(state.next_at), **steps}


def _waits(state: RunState, named: dict[str, str]) -> dict[str, Any]:
    return {
        named[step.step_id]: {
            "for": awaited_text(step.wait_event_name) if step.wait_event_name else step.child_run_id,
            "until": _time(step.sleep_until or step.wait_timeout),
        }
        for step in state.steps
        if step.status in _OPEN
    }


def _secrets() -> Generator[Step, Any, dict[str, Any]]:
    """The names of the environment's secrets, each with stars; none where they may not be listed."""
    try:
        found: secrets.Secrets = yield Ask(secrets.list_, secrets.ListSecrets(limit=_SECRETS_SHOWN_MAX))
    except IronflowError:
        return {}
    return {each.name: STARS for each in found.secrets}


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def failure(state: RunState, step_id: str) -> tuple[str, dict[str, Any]]:
    """The exception id and the details of what failed at a moment. step_id: of the step, empty for the run."""
    step = next((each for each in state.steps if each.step_id == step_id), None)
    error = step.error if step is not None and step.error is not None else state.error
    if error is None:
        return "none", {"message": "nothing failed at this moment"}
    name = error.error_class or error.code or "Error"
    details: dict[str, Any] = {"message": error.message, "typeName": name}
    if error.stack:
        details["stackTrace"] = error.stack
    if error.details is not None:
        details["innerException"] = [{"message": shown(value_of(error.details)), "typeName": "details"}]
    return name, details
