# Generated from ironflow/sdk/client/features/runs.py by generate_sync; edit that file.
"""`client.runs`: look at runs, wait for them, control them."""

from time import sleep
from builtins import list as list_
from collections.abc import Iterator, Sequence
from datetime import datetime
from time import monotonic
from typing import Any

import msgspec

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import IronflowError
from ironflow.features.audit import contract as audit
from ironflow.features.controls import contract as controls
from ironflow.features.controls.contract import Why
from ironflow.features.redaction import contract as redaction
from ironflow.features.redaction.contract import Redacted
from ironflow.features.run_logs import contract as run_logs
from ironflow.features.run_logs.contract import LogLine
from ironflow.features.runs import contract
from ironflow.features.runs.contract import RunStatus
from ironflow.features.time_travel import contract as time_travel
from ironflow.features.time_travel.contract import TimelineEvent
from ironflow.features.values import contract as values
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client.connection.hooks import expecting
from ironflow.sdk.client._sync.listing import Listing
from ironflow.sdk.client.views import (
    AuditEvent,
    PausedState,
    Run,
    RunState,
    RunValue,
    Step,
    StepOutput,
    paused_state,
    view,
)
from ironflow.sdk.client.views.run_results import next_look_s, still_going
from ironflow.sdk.values.payload import as_json_text, from_json_text, to_payload
from ironflow.sdk.values.run_keys import reference
from ironflow.sdk.wire.operations import path_of
from ironflow.sdk.wire.retries import AWAY, is_away

# What a look at a run is given, however little of its time-out is left.
LOOK_S_MIN = 1.0
# How long the server holds its answer to a follower, and what a page of lines may take besides.
FOLLOW_S = 20.0
LOGS_S = 30.0
# How long one request for a value is held by the server.
HOLD_S = 20.0


class Runs:
    """Runs of functions.

    Each method takes a run's id, or a function's id with the `key=` of its run: the run that has not ended, else the
    newest that had it. The text `function:key` is the same.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get(self, run_id: str, *, key: str = "", last: bool = False) -> Run:
        """One run. last: where it has restarted, the last link of its chain. Raises RunNotFound."""
        run_id = reference(run_id, key)
        return view(Run, self._calls.call(contract.get, contract.GetRun(id=run_id, last=last)))

    def chain(self, run_id: str, *, page_size: int = 100, key: str = "") -> Listing[Run]:
        """The chain of a run, oldest first: the runs that followed one another by a restart; asks for the next page
        when it is needed. A run that has not restarted is alone.

        run_id: of any link, or of the first one where that is not kept any more. Raises RunNotFound.
        """
        request = contract.GetRunChain(id=reference(run_id, key), limit=page_size)
        return Listing(self._calls, contract.chain, request, lambda page: [view(Run, run) for run in page.runs])

    def list(
        self,
        *,
        function_id: str = "",
        status: RunStatus | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        search: str = "",
        event_id: str = "",
        parent_run_id: str = "",
        key: str = "",
        error: str = "",
        output: str = "",
        failed_step: str = "",
        count: bool = True,
        scan_max: int = 0,
        page_size: int = 100,
    ) -> Listing[Run]:
        """Runs, newest first; asks for the next page when it is needed.

        search: a part of a run, function or event id, or of an event name. parent_run_id: whose steps started them.
        key: of the runs. error: text of `Class: message`, where … stands for anything. output: PATH=VALUE, such as
        "order.total=1200". failed_step: name of the step that failed last. count: False leaves out `total_count` of
        pages, which is slow with a million runs. scan_max: of how many runs one request looks for search, error, output
        and failed_step; 0 for all. With it a page may be empty and have a `next_cursor`; iterating goes on by itself.
        """
        request = contract.ListRuns(
            function_id=function_id,
            status=None if status is None else RunStatus(status),
            since=since,
            until=until,
            search=search,
            event_id=event_id,
            parent_run_id=parent_run_id,
            key=key,
            error=error,
            output=output,
            failed_step=failed_step,
            count=count,
            scan_max=scan_max,
            limit=page_size,
        )
        return Listing(self._calls, contract.list_, request, lambda page: [view(Run, run) for run in page.runs])

    def steps(self, run_id: str, *, key: str = "") -> list_[Step]:
        """The recorded steps of a run by sequence. Raises RunNotFound."""
        run_id = reference(run_id, key)
        return [
            view(Step, step)
            for page in self._calls.pages(contract.steps, contract.GetRunSteps(run_id=run_id))
            for step in page.steps
        ]

    def cancel(
        self,
        run_id: str,
        *,
        reason: str = "",
        force: bool = False,
        wait: bool = False,
        timeout: Duration = "30s",
        key: str = "",
    ) -> Run:
        """Ends a run as cancelled: at once, or, with `on_cancel="compensate"`, once its compensations have run.

        Until then its state is `cancelling`, and `cancel_requested` says why. force: without them, as a second cancel
        does. wait: gives the run once it has ended. Raises RunNotFound, RunEnded; with wait as `wait`.
        """
        run_id = reference(run_id, key)
        # Refused before the run is cancelled.
        duration_ms(timeout)
        request = contract.CancelRun(id=run_id, reason=reason, force=force)
        run = view(Run, self._calls.call(contract.cancel, request))
        return run if run.status.ended or not wait else self.wait(run.id, timeout=timeout)

    def pause(self, run_id: str, *, reason: str = "", key: str = "") -> str:
        """Holds a run: `paused` at once when it is at rest, else `pause_requested` for its next step boundary.

        reason: kept with the run until it goes on, in its history and in the audit trail.
        Raises RunNotFound, RunEnded.
        """
        run_id = reference(run_id, key)
        return (self._calls.call(controls.pause, controls.PauseRun(run_id=run_id, reason=reason))).status

    def resume(self, run_id: str, *, from_step: str = "", reason: str = "", key: str = "") -> Run:
        """Lets a paused or failed run go on with its recorded steps, or from a step on.

        from_step: a step's name, step id or row id; its result and all later ones are forgotten. reason: kept in the
        run's history and in the audit trail. Raises RunNotFound, RunNotResumable, StepNotFound.
        """
        run_id = reference(run_id, key)
        request = controls.ResumeRun(run_id=run_id, from_step=from_step, reason=reason)
        return view(Run, self._calls.call(controls.resume, request))

    def retry(self, run_id: str, *, from_step: str = "", reason: str = "", key: str = "") -> Run:
        """Runs a failed run again, from the beginning or from a step, with all its attempts. reason: as of `resume`.

        Raises RunNotFound, RunNotResumable, StepNotFound.
        """
        run_id = reference(run_id, key)
        request = controls.RetryRun(id=run_id, from_step=from_step, reason=reason)
        return view(Run, self._calls.call(controls.retry, request))

    def paused_state(self, run_id: str, *, key: str = "") -> PausedState:
        """The steps that a run has finished so far, and what comes next. Raises RunNotFound."""
        run_id = reference(run_id, key)
        return paused_state(self._calls.call(controls.paused_state, controls.GetPausedState(run_id=run_id)))

    def inject(self, run_id: str, step_id: str, output: Any, *, reason: str = "", key: str = "") -> Any:
        """Replaces the output of a finished step of a paused run; gives the previous one.

        step_id: its row id, step id or name. output: any JSON.
        Raises RunNotFound, RunNotPaused, StepNotFound, StepNotFinished, SerializationError.
        """
        run_id = reference(run_id, key)
        request = controls.InjectOutput(
            run_id=run_id, step_id=step_id, new_output=as_json_text(to_payload(output, "the output")), reason=reason
        )
        previous = from_json_text((self._calls.call(controls.inject, request)).previous_output)
        return previous if self._calls.codec is None else self._calls.codec.decoded_value(previous)

    def patch_step(self, step_id: str, output: Any, *, reason: str = "", resume: bool = False) -> Step:
        """Replaces the output of a step of a run that no worker has, and keeps the original.

        step_id: its row id or step id. output: any JSON. resume: then resumes the run, which is paused or failed; a
        second request: when it is refused, the output is patched all the same.
        Raises RunNotFound, RunRunning, StepNotFound, StepNotFinished, SerializationError; RunNotResumable with resume.
        """
        request = controls.PatchStep(step_id=step_id, output=to_payload(output, "the output"), reason=reason)
        patched = view(Step, self._calls.call(controls.patch, request))
        if resume:
            self._calls.call(controls.resume, controls.ResumeRun(run_id=patched.run_id))
        return patched

    def delete(self, run_id: str, *, reason: str = "", key: str = "") -> None:
        """Removes an ended run with its steps and its history, for ever; its event stays.

        reason: recorded in the audit trail. Raises RunNotFound, RunNotEnded.
        """
        run_id = reference(run_id, key)
        self._calls.call(contract.delete, contract.DeleteRun(id=run_id, reason=reason))

    def redact(self, run_id: str, *, reason: str = "", key: str = "") -> Redacted:
        """Replaces input, output and history of an ended run and its steps by markers, for ever.

        `children` of the answer are runs that it invoked; they are as they were. Raises RunNotFound, RunNotEnded.
        """
        run_id = reference(run_id, key)
        return self._calls.call(redaction.redact_run, redaction.RedactRun(id=run_id, reason=reason))

    def redact_step(self, step_id: str, *, reason: str = "") -> Redacted:
        """Replaces the payloads of one step of an ended run by markers, for ever. step_id: its row id or step id.

        Raises RunNotFound, StepNotFound, RunNotEnded.
        """
        return self._calls.call(redaction.redact_step, redaction.RedactStep(id=step_id, reason=reason))

    def why(self, run_id: str, *, key: str = "") -> Why:
        """Why a run is not running: what it waits for, until when, or which runs hold its slot. Raises RunNotFound."""
        run_id = reference(run_id, key)
        return self._calls.call(controls.why, controls.GetWhy(id=run_id))

    def why_many(self, run_ids: Sequence[str]) -> list_[Why]:
        """As `why`, for up to 100 runs, in their order. Runs that are not there are left out."""
        return (self._calls.call(controls.why_many, controls.ExplainRuns(ids=list(run_ids)))).runs

    def value(self, run_id: str, name: str, *, wait: Duration | None = None, after: int = 0, key: str = "") -> Any:
        """A value that the run has set with `ctx.set`. wait: how long to wait for one newer than version `after`.

        `value_with_version` gives the version, too. Raises RunNotFound, ValueNotFound.
        """
        return (self.value_with_version(run_id, name, wait=wait, after=after, key=key)).value

    def value_with_version(
        self, run_id: str, name: str, *, wait: Duration | None = None, after: int = 0, key: str = ""
    ) -> RunValue:
        """As value, with the run, the version and the time of the value."""
        run_id = reference(run_id, key)
        deadline = monotonic() + (0 if wait is None else duration_ms(wait) / 1000)
        while True:
            wait_s = min(max(deadline - monotonic(), 0), HOLD_S)
            request = values.GetValue(run_id=run_id, name=name, wait_ms=int(wait_s * 1000), after=after)
            try:
                with expecting(values.ValueNotFound):
                    found = view(RunValue, self._calls.call(values.get, request, timeout=wait_s + HOLD_S))
            except values.ValueNotFound as missing:
                if wait_s < HOLD_S or missing.details.get("ended"):
                    self._calls.report(missing, path_of(values.get), missing.status)
                    raise
            else:
                if found.version > after or found.run_ended or wait_s < HOLD_S:
                    return found

    def state_at(self, run_id: str, at: datetime | None = None, *, entry: str = "", key: str = "") -> RunState:
        """A recorded run and its steps as they were at a moment, None for now.

        entry: id of an entry of the timeline, for the run just after it; then `at` is not read.
        Raises RunNotFound, RunNotRecorded, RecordingExpired, BeforeTheRun, EntryNotFound.
        """
        run_id = reference(run_id, key)
        request = time_travel.GetRunStateAt(run_id=run_id, timestamp=at, entry=entry)
        return view(RunState, self._calls.call(time_travel.state_at, request))

    def timeline(self, run_id: str, *, page_size: int = 1000, key: str = "") -> Listing[TimelineEvent]:
        """What happened to a recorded run, in the order of time; asks for the next page when it is needed.

        Raises RunNotFound, RunNotRecorded, RecordingExpired.
        """
        run_id = reference(run_id, key)
        request = time_travel.GetRunTimeline(run_id=run_id, limit=page_size)
        return Listing(self._calls, time_travel.timeline, request, lambda page: page.events)

    def step_output_at(self, run_id: str, step_id: str, at: datetime | None = None, *, key: str = "") -> StepOutput:
        """The output that a step of a recorded run had at a moment, None for now: before and after a patch, for one.

        step_id: its row id, step id or name.
        Raises RunNotFound, RunNotRecorded, RecordingExpired, BeforeTheRun, StepsNotRecorded, StepNotFound.
        """
        run_id = reference(run_id, key)
        request = time_travel.GetStepOutputAt(run_id=run_id, step_id=step_id, timestamp=at)
        return view(StepOutput, self._calls.call(time_travel.step_output, request))

    def audit(
        self,
        run_id: str,
        *,
        event_type: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 1000,
        key: str = "",
    ) -> Listing[AuditEvent]:
        """The audit trail of a recorded run, with payloads, in the order of record.

        event_type: one of docs/reference/audit.md. since, until: from the first on and before the second.
        Raises RunNotFound, RunNotRecorded, RecordingExpired.
        """
        run_id = reference(run_id, key)
        request = audit.GetAuditTrail(
            run_id=run_id,
            event_type=event_type,
            from_timestamp="" if since is None else since.isoformat(),
            to_timestamp="" if until is None else until.isoformat(),
            limit=page_size,
        )
        return Listing(
            self._calls, audit.trail, request, lambda page: [view(AuditEvent, event) for event in page.events]
        )

    def logs(
        self, run_id: str, *, level: str = "", step: str = "", follow: bool = False, page_size: int = 1000
    ) -> Iterator[LogLine]:
        """What a run's handler and steps wrote with `ctx.logger`, in order; asks for the next page when it is needed.

        level: only this level and above: debug, info, warn or error. step: only lines of this step, by id or name.
        follow: goes on with new lines until the run has ended; a server that is away meanwhile is waited for.
        Raises RunNotFound, InvalidLogQuery.
        """
        hold_s = FOLLOW_S if follow else 0
        request = run_logs.GetRunLogs(run_id=run_id, level=level, step=step, limit=page_size, wait=hold_s)
        pause_s = None
        while True:
            try:
                with expecting(*(AWAY if follow else ())):
                    page = self._calls.call(run_logs.get, request, timeout=hold_s + LOGS_S)
            except IronflowError as fault:
                if not (follow and is_away(fault)):
                    raise
                pause_s = next_look_s(pause_s)
                sleep(pause_s)
                continue
            pause_s = None
            for line in page.lines:
                yield line
            if page.ended or not (follow or page.next_cursor):
                return
            request = msgspec.structs.replace(request, cursor=page.cursor)

    def wait(self, run_id: str, *, timeout: Duration = "30s", key: str = "") -> Run:
        """The run, once it has ended in whatever way. A server that is away meanwhile is waited for.

        Of a run that restarts, the last link of its chain. Raises RunNotFound, or DeadlineExceeded after `timeout`; the
        run itself goes on then. Raises ConnectionLost or Unavailable when the server is away at the end.
        """
        run_id = reference(run_id, key)
        timeout_s = duration_ms(timeout) / 1000
        deadline = monotonic() + timeout_s
        pause_s, restarted_id = None, ""
        while True:
            late: IronflowError
            try:
                left_s = max(deadline - monotonic(), LOOK_S_MIN)
                request = contract.GetRun(id=run_id, last=bool(restarted_id))
                with expecting(*AWAY):
                    run = view(Run, self._calls.call(contract.get, request, timeout=left_s))
            except IronflowError as fault:
                if not is_away(fault):
                    raise
                late = fault
            else:
                if run.restarted_as is not None and run.id != restarted_id:
                    restarted_id = run.id
                    continue
                if run.status.ended:
                    return run
                late = still_going(run, timeout_s)
            pause_s = next_look_s(pause_s)
            if monotonic() + pause_s > deadline:
                self._calls.report(late, path_of(contract.get))
                raise late
            sleep(pause_s)
