"""What the full screen asks the server: runs, one run's history and states, and the changes of a run."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from ironflow.base.errors import FailedPrecondition
from ironflow.base.json import NULL, Json
from ironflow.base.operation import Operation
from ironflow.base.time import Millis
from ironflow.cli.run.filters import read_filter, run_status
from ironflow.cli.run.tui.views import RUNS_PAGE
from ironflow.cli.terminal.times import read_moment
from ironflow.debugging.history import History, Moment
from ironflow.features.controls import contract as controls
from ironflow.features.controls.contract import Why
from ironflow.features.run_logs import contract as run_logs
from ironflow.features.run_logs.contract import LogLine
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run, Runs, Step
from ironflow.features.time_travel import contract as past
from ironflow.features.time_travel.contract import RunState, StepState, TimelineEvent

Call = Callable[[Operation[Any, Any], msgspec.Struct], Awaitable[Any]]

_CHILDREN_MAX = 100
LOG_LINES_MAX = 10_000
# A state has all outputs of the run.
_STATES_MAX = 8


async def list_runs(call: Call, line: str, now: Millis, cursor: str = "") -> Runs:
    """A page of runs that pass a filter line of the dashboard. Raises UsageError for a line that means nothing."""
    wanted = read_filter(line)
    request = runs.ListRuns(
        function_id=wanted.function,
        event_id=wanted.event,
        parent_run_id=wanted.parent,
        search=wanted.search,
        key=wanted.key,
        error=wanted.error,
        output=wanted.output,
        statuses=[run_status(each) for each in wanted.statuses],
        since=read_moment(wanted.since, now) if wanted.since else None,
        until=read_moment(wanted.until, now) if wanted.until else None,
        limit=RUNS_PAGE,
        cursor=cursor,
    )
    return await call(runs.list_, request)


class RunSource:
    """One run. unrecorded: why it has no history, as a sentence; then its only moment is now."""

    def __init__(self, call: Call, run_id: str) -> None:
        self._call = call
        self.run_id = run_id
        self.run: Run | None = None
        self.history = History()
        self.unrecorded = ""
        self._states: OrderedDict[str, RunState] = OrderedDict()
        self._refreshing = asyncio.Lock()

    @property
    def ended(self) -> bool:
        return self.run is not None and self.run.status.ended

    async def refresh(self) -> int:
        """Asks what has happened since. Returns how many moments are new. Raises RunNotFound."""
        # Two at once would add the same moments.
        async with self._refreshing:
            return await self._refresh()

    async def _refresh(self) -> int:
        found: Run = await self._call(runs.get, runs.GetRun(id=self.run_id))
        entries: list[TimelineEvent] = []
        if self.unrecorded:
            self._states.clear()
        elif self.run is None or self.run.version != found.version or not len(self.history):
            try:
                entries = await self._entries()
            except FailedPrecondition as fault:
                if len(self.history):
                    raise
                self.unrecorded = fault.message
                entries = [_now_entry(found)]
        # Only now: a look that is cancelled before is repeated by the next one.
        self.run, self.run_id = found, found.id
        return self.history.add(entries)

    async def state(self, number: int) -> RunState:
        """The run just after that moment."""
        entry = self.history[number].entry_id
        if entry in self._states:
            self._states.move_to_end(entry)
            return self._states[entry]
        if self.unrecorded:
            steps = (await self._call(runs.steps, runs.GetRunSteps(run_id=self.run_id))).steps
            found = _present(await self._call(runs.get, runs.GetRun(id=self.run_id)), steps)
        else:
            found = await self._call(past.state_at, past.GetRunStateAt(run_id=self.run_id, entry=entry))
        self._states[entry] = found
        if len(self._states) > _STATES_MAX:
            self._states.popitem(last=False)
        return found

    async def children(self) -> Sequence[Run]:
        request = runs.ListRuns(parent_run_id=self.run_id, limit=_CHILDREN_MAX)
        return (await self._call(runs.list_, request)).runs

    async def logs(self) -> list[LogLine]:
        """What the run wrote with `ctx.logger`, at most LOG_LINES_MAX lines."""
        found: list[LogLine] = []
        cursor: str | None = ""
        while cursor is not None and len(found) < LOG_LINES_MAX:
            page = await self._call(run_logs.get, run_logs.GetRunLogs(run_id=self.run_id, cursor=cursor))
            found += page.lines
            cursor = page.next_cursor
        return found

    async def why(self) -> str:
        """Why it does not run, as a sentence; empty for a run that has ended."""
        if self.ended:
            return ""
        found: Why = await self._call(controls.why, controls.GetWhy(id=self.run_id))
        return found.message

    async def pause(self) -> str:
        answer: controls.Paused = await self._call(controls.pause, controls.PauseRun(run_id=self.run_id))
        return "paused" if answer.status == "paused" else "pauses at its next step boundary"

    async def resume(self, from_step: str = "") -> None:
        await self._call(controls.resume, controls.ResumeRun(run_id=self.run_id, from_step=from_step))

    async def retry(self) -> None:
        await self._call(controls.retry, controls.RetryRun(id=self.run_id))

    @property
    def cancel_effect(self) -> str:
        if self.run is not None and self.run.cancel_requested is not None:
            return "It is being cancelled; it ends at once, without the compensations that are left."
        return "It ends at once, or after its compensations where its function says so; this cannot be undone."

    async def cancel(self, reason: str) -> None:
        await self._call(runs.cancel, runs.CancelRun(id=self.run_id, reason=reason))

    async def inject(self, step: StepState, output: str, reason: str) -> None:
        # The server decodes a JSON text once more.
        encoded = Json(msgspec.json.encode(output))
        request = controls.InjectOutput(run_id=self.run_id, step_id=step.id, new_output=encoded, reason=reason)
        await self._call(controls.inject, request)

    async def patch(self, step: StepState, output: str, reason: str) -> None:
        request = controls.PatchStep(step_id=step.id, output=Json(output.encode()), reason=reason)
        await self._call(controls.patch, request)

    def moment(self, number: int) -> Moment:
        return self.history[number]

    async def _entries(self) -> list[TimelineEvent]:
        found: list[TimelineEvent] = []
        cursor: str | None = str(len(self.history.entries))
        while cursor:
            page = await self._call(past.timeline, past.GetRunTimeline(run_id=self.run_id, cursor=cursor))
            found += page.events
            cursor = page.next_cursor
        return found


def _now_entry(run: Run) -> TimelineEvent:
    """The only moment of a run without a history."""
    return TimelineEvent(
        id=f"now_{run.id}", event_type="now", summary="As it is now", significant=True, timestamp=run.updated_at
    )


def _present(run: Run, steps: Sequence[Step]) -> RunState:
    """A run without a history as it is now."""
    return RunState(
        run_id=run.id,
        function_id=run.function_id,
        function_version=run.function_version,
        recording="",
        status=run.status.value,
        state=run.state or run.status.value,
        pause_reason=run.pause_reason,
        attempt=run.attempt,
        max_attempts=run.max_attempts,
        event_id=run.event_id,
        event_name=run.event_name or "",
        input=run.input,
        output=run.output,
        error=run.error,
        cancellation_cause=run.cancellation_cause,
        cancel_requested=run.cancel_requested,
        worker_id=run.worker_id,
        parent_run_id=run.parent_run_id,
        next_at=run.next_attempt_at,
        steps=[_step(each) for each in steps],
        timestamp=run.updated_at,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )


def _step(step: Step) -> StepState:
    return StepState(
        id=step.id,
        step_id=step.step_id,
        name=step.name or step.step_id,
        type=step.step_type.value,
        sequence=step.sequence,
        status=step.status.value,
        attempt=step.attempt,
        output=step.output or NULL,
        error=step.error,
        original_output=step.original_output,
        started_at=step.started_at,
        completed_at=step.ended_at,
        duration_ms=step.duration_ms_full,
        patched=step.patched_at is not None,
        patched_by=step.patched_by,
        compensation_for=step.compensation_for,
        sleep_until=step.sleep_until,
        wait_event_name=step.wait_event_name,
        wait_timeout=step.wait_timeout,
        child_run_id=step.child_run_id,
        source=step.source,
    )


def at_text(at: datetime) -> str:
    """RFC 3339 to the millisecond, as `--at` takes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
