"""`client.runs`: look at runs, wait for them, take them in hand."""

from asyncio import sleep
from builtins import list as list_
from collections.abc import AsyncIterator
from datetime import datetime
from time import monotonic
from typing import Any

from ironflow.base.duration import Duration, duration_ms
from ironflow.features.audit import contract as audit
from ironflow.features.controls import contract as controls
from ironflow.features.controls.contract import Why
from ironflow.features.redaction import contract as redaction
from ironflow.features.redaction.contract import Redacted
from ironflow.features.runs import contract
from ironflow.features.runs.contract import RunStatus
from ironflow.features.time_travel import contract as time_travel
from ironflow.features.time_travel.contract import TimelineEvent
from ironflow.sdk.calls import Calls
from ironflow.sdk.outcomes import next_look_s, still_going
from ironflow.sdk.payload import as_json_text, from_json_text, to_payload
from ironflow.sdk.views import (
    AuditEvent,
    PausedState,
    Run,
    RunState,
    Step,
    StepOutput,
    paused_state,
    view,
)


class Runs:
    """Runs of functions."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get(self, run_id: str) -> Run:
        """One run. Raises RunNotFound."""
        return view(Run, await self._calls.call(contract.get, contract.GetRun(id=run_id)))

    async def list(
        self,
        *,
        function_id: str = "",
        status: RunStatus | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        search: str = "",
        event_id: str = "",
        parent_run_id: str = "",
        page_size: int = 100,
    ) -> AsyncIterator[Run]:
        """Runs, newest first; asks for the next page when it is needed.

        search: a part of a run, function or event id, or of an event name. parent_run_id: whose steps started them.
        """
        request = contract.ListRuns(
            function_id=function_id,
            status=None if status is None else RunStatus(status),
            since=since,
            until=until,
            search=search,
            event_id=event_id,
            parent_run_id=parent_run_id,
            limit=page_size,
        )
        async for page in self._calls.pages(contract.list_, request):
            for run in page.runs:
                yield view(Run, run)

    async def steps(self, run_id: str) -> list_[Step]:
        """The recorded steps of a run by sequence. Raises RunNotFound."""
        return [
            view(Step, step)
            async for page in self._calls.pages(contract.steps, contract.GetRunSteps(run_id=run_id))
            for step in page.steps
        ]

    async def cancel(self, run_id: str, *, reason: str = "") -> Run:
        """Ends a run as cancelled at once. Raises RunNotFound, RunEnded."""
        return view(Run, await self._calls.call(contract.cancel, contract.CancelRun(id=run_id, reason=reason)))

    async def pause(self, run_id: str) -> str:
        """Holds a run: `paused` at once when it is at rest, else `pause_requested` for its next step boundary.

        Raises RunNotFound, RunEnded.
        """
        return (await self._calls.call(controls.pause, controls.PauseRun(run_id=run_id))).status

    async def resume(self, run_id: str, *, from_step: str = "") -> Run:
        """Lets a paused or failed run go on with its recorded steps, or from a step on.

        from_step: a step's name, step id or row id; its result and all later ones are forgotten.
        Raises RunNotFound, RunNotResumable, StepNotFound.
        """
        request = controls.ResumeRun(run_id=run_id, from_step=from_step)
        return view(Run, await self._calls.call(controls.resume, request))

    async def retry(self, run_id: str, *, from_step: str = "") -> Run:
        """Runs a failed run again, from the beginning or from a step, with all its attempts.

        Raises RunNotFound, RunNotResumable, StepNotFound.
        """
        return view(Run, await self._calls.call(controls.retry, controls.RetryRun(id=run_id, from_step=from_step)))

    async def paused_state(self, run_id: str) -> PausedState:
        """The steps that a run has finished so far, and what comes next. Raises RunNotFound."""
        return paused_state(await self._calls.call(controls.paused_state, controls.GetPausedState(run_id=run_id)))

    async def inject(self, run_id: str, step_id: str, output: Any, *, reason: str = "") -> Any:
        """Replaces the output of a finished step of a paused run; gives the previous one.

        step_id: its row id, step id or name. output: any JSON.
        Raises RunNotFound, RunNotPaused, StepNotFound, StepNotFinished, SerializationError.
        """
        request = controls.InjectOutput(
            run_id=run_id, step_id=step_id, new_output=as_json_text(to_payload(output, "the output")), reason=reason
        )
        return from_json_text((await self._calls.call(controls.inject, request)).previous_output)

    async def patch_step(self, step_id: str, output: Any, *, reason: str = "") -> Step:
        """Replaces the output of a step of a run that no worker has, and keeps the original. Resume the run after it.

        step_id: its row id or step id. output: any JSON.
        Raises RunNotFound, RunRunning, StepNotFound, StepNotFinished, SerializationError.
        """
        request = controls.PatchStep(step_id=step_id, output=to_payload(output, "the output"), reason=reason)
        return view(Step, await self._calls.call(controls.patch, request))

    async def redact(self, run_id: str, *, reason: str = "") -> Redacted:
        """Replaces input, output and history of an ended run and its steps by markers, for ever.

        `children` of the answer are runs that it invoked; they are as they were. Raises RunNotFound, RunNotEnded.
        """
        return await self._calls.call(redaction.redact_run, redaction.RedactRun(id=run_id, reason=reason))

    async def redact_step(self, step_id: str, *, reason: str = "") -> Redacted:
        """Replaces the payloads of one step of an ended run by markers, for ever. step_id: its row id or step id.

        Raises RunNotFound, StepNotFound, RunNotEnded.
        """
        return await self._calls.call(redaction.redact_step, redaction.RedactStep(id=step_id, reason=reason))

    async def why(self, run_id: str) -> Why:
        """Why a run is not running: what it waits for, until when, or who holds its slot. Raises RunNotFound."""
        return await self._calls.call(controls.why, controls.GetWhy(id=run_id))

    async def state_at(self, run_id: str, at: datetime | None = None) -> RunState:
        """A recorded run and its steps as they were at a moment, None for now.

        Raises RunNotFound, RunNotRecorded, RecordingExpired, BeforeTheRun.
        """
        request = time_travel.GetRunStateAt(run_id=run_id, timestamp=at)
        return view(RunState, await self._calls.call(time_travel.state_at, request))

    async def timeline(self, run_id: str, *, page_size: int = 1000) -> AsyncIterator[TimelineEvent]:
        """What happened to a recorded run, in the order of time; asks for the next page when it is needed.

        Raises RunNotFound, RunNotRecorded, RecordingExpired.
        """
        request = time_travel.GetRunTimeline(run_id=run_id, limit=page_size)
        async for page in self._calls.pages(time_travel.timeline, request):
            for event in page.events:
                yield event

    async def step_output_at(self, run_id: str, step_id: str, at: datetime | None = None) -> StepOutput:
        """The output that a step of a recorded run had at a moment, None for now: before and after a patch, for one.

        step_id: its row id, step id or name.
        Raises RunNotFound, RunNotRecorded, RecordingExpired, BeforeTheRun, StepsNotRecorded, StepNotFound.
        """
        request = time_travel.GetStepOutputAt(run_id=run_id, step_id=step_id, timestamp=at)
        return view(StepOutput, await self._calls.call(time_travel.step_output, request))

    async def audit(
        self,
        run_id: str,
        *,
        event_type: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 1000,
    ) -> AsyncIterator[AuditEvent]:
        """The audit trail of a recorded run, with payloads, in the order of record.

        event_type: only that word of docs/reference/audit.md. since, until: from the first on and before the second.
        Raises RunNotFound, RunNotRecorded, RecordingExpired.
        """
        request = audit.GetAuditTrail(
            run_id=run_id,
            event_type=event_type,
            from_timestamp="" if since is None else since.isoformat(),
            to_timestamp="" if until is None else until.isoformat(),
            limit=page_size,
        )
        async for page in self._calls.pages(audit.trail, request):
            for event in page.events:
                yield view(AuditEvent, event)

    async def wait(self, run_id: str, *, timeout: Duration = "30s") -> Run:
        """The run, once it has ended in whatever way.

        Raises RunNotFound, or DeadlineExceeded after `timeout`; the run itself goes on then.
        """
        timeout_s = duration_ms(timeout) / 1000
        deadline = monotonic() + timeout_s
        pause_s = None
        while not (run := await self.get(run_id)).status.ended:
            pause_s = next_look_s(pause_s)
            if monotonic() + pause_s > deadline:
                raise still_going(run, timeout_s)
            await sleep(pause_s)
        return run
