"""The run that a session debugs: its history, its states, and where the session stands in it; pure."""

from collections import OrderedDict
from collections.abc import Generator
from typing import Any

from ironflow.base.errors import FailedPrecondition
from ironflow.debugging.changes import document, step_value
from ironflow.debugging.dap.protocol import Ask, Step
from ironflow.debugging.history import History, Moment
from ironflow.features.controls import contract as controls
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run
from ironflow.features.time_travel import contract as past
from ironflow.features.time_travel.contract import RunState

# A state has all outputs of the run.
_STATES_MAX = 4


class DebuggedRun:
    """A recorded run. position: the number of the moment that is shown. paused_here: whether this session paused it."""

    def __init__(self, run: Run, history: History) -> None:
        self.run = run
        self.history = history
        self.position = 0
        self.paused_here = False
        self._focus = (-1, "")
        self._states: OrderedDict[str, RunState] = OrderedDict()
        self._documents: OrderedDict[str, dict[str, Any]] = OrderedDict()

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def moment(self) -> Moment:
        return self.history[self.position]

    @property
    def step_id(self) -> str:
        """The step that the moment is about: that of a breakpoint that has stopped here, else the last one."""
        number, step_id = self._focus
        return step_id if step_id and number == self.position else self.moment.step_id

    def focus(self, number: int, step_id: str) -> None:
        """Several steps may have ended in one fact; at that moment this one is looked at."""
        self._focus = number, step_id

    @property
    def at_the_end(self) -> bool:
        return self.position == self.history.last

    @property
    def ended(self) -> bool:
        return self.run.status.ended

    @property
    def paused(self) -> bool:
        """Whether it is paused by a person or a policy; a run that sleeps or waits for an event is not."""
        return (self.run.state or "").startswith("paused")

    def refresh(self) -> Generator[Step, Any, int]:
        """Asks what has happened since. Returns the number of new moments; the position stays."""
        found: Run = yield Ask(runs.get, runs.GetRun(id=self.id))
        if found.version == self.run.version and len(self.history):
            self.run = found
            return 0
        entries = yield from timeline_from(self.id, len(self.history.entries))
        self.run = found
        return self.history.add(entries)

    def state(self, number: int) -> Generator[Step, Any, RunState]:
        """The run just after that moment."""
        entry_id = self.history[number].entry_id
        if entry_id in self._states:
            self._states.move_to_end(entry_id)
            return self._states[entry_id]
        found: RunState = yield Ask(past.state_at, past.GetRunStateAt(run_id=self.id, entry=entry_id))
        self._states[entry_id] = found
        if len(self._states) > _STATES_MAX:
            self._states.popitem(last=False)
        return found

    def values(self, number: int, step_id: str = "") -> Generator[Step, Any, dict[str, Any]]:
        """The variables of expressions just after that moment. step_id: of `step`; empty takes that of the moment."""
        state = yield from self.state(number)
        entry_id = self.history[number].entry_id
        if entry_id not in self._documents:
            self._documents[entry_id] = document(state)
            if len(self._documents) > _STATES_MAX:
                self._documents.popitem(last=False)
        meant = step_id or self.history[number].step_id
        step = next((each for each in state.steps if each.step_id == meant), None)
        own = None if step is None else {"name": step.name, **step_value(step)}
        return {**self._documents[entry_id], "step": own}

    def pause(self) -> Generator[Step, Any, None]:
        """Pauses a run that has not ended and is not paused by others."""
        self.run = yield Ask(runs.get, runs.GetRun(id=self.id))
        if self.ended or self.paused or self.run.pause_requested:
            return
        yield Ask(controls.pause, controls.PauseRun(run_id=self.id))
        self.paused_here = True

    def resume(self) -> Generator[Step, Any, None]:
        """Lets a run go on that this session paused; what others did with it since stays."""
        if not self.paused_here:
            return
        self.paused_here = False
        try:
            self.run = yield Ask(controls.resume, controls.ResumeRun(run_id=self.id))
        except FailedPrecondition:
            # It is resumed or has ended already.
            return


def opened(run_id: str) -> Generator[Step, Any, DebuggedRun]:
    """Raises what the server answers, RunNotRecorded for one."""
    run: Run = yield Ask(runs.get, runs.GetRun(id=run_id))
    entries = yield from timeline_from(run_id, 0)
    return DebuggedRun(run, History(entries))


def timeline_from(run_id: str, known: int) -> Generator[Step, Any, list[past.TimelineEvent]]:
    """The entries after the first `known` ones."""
    found: list[past.TimelineEvent] = []
    cursor: str | None = str(known)
    while cursor:
        page: past.RunTimeline = yield Ask(past.timeline, past.GetRunTimeline(run_id=run_id, cursor=cursor))
        found += page.events
        cursor = page.next_cursor
    return found
