"""The operations that read the past of a run; none changes anything."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.json import NULL, to_json
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.engine.errors import StepNotFound
from ironflow.engine.model import Run, Step
from ironflow.features.functions import in_tx as functions
from ironflow.features.runs.in_tx import LiveSteps
from ironflow.features.time_travel import contract, rules
from ironflow.features.time_travel.in_tx import Recorded, recorded
from ironflow.features.time_travel.messages import at, bytes_of, run_state, timeline_event
from ironflow.features.time_travel.timeline import Entry, entries, moments
from ironflow.log.read import records
from ironflow.storage.port import Database, Tx

ENTRIES_MAX = 10_000


class TimeTravel:
    """The time_travel feature. live: the steps that run at this moment."""

    def __init__(self, db: Database, live: LiveSteps) -> None:
        self._db = db
        self._live = live

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.state_at: self.state_at,
            contract.timeline: self.timeline,
            contract.step_output: self.step_output,
            contract.step_output_at: self.step_output_at,
        }

    async def state_at(self, call: Call, request: contract.GetRunStateAt) -> contract.RunState:
        asked = to_millis(request.timestamp) if request.timestamp is not None else call.now

        def look(tx: Tx) -> contract.RunState:
            found = recorded(tx, call.environment, request.run_id)
            at_entry = _after(found, request.entry) if request.entry else None
            run, moment = at_entry or (_then(found, asked), asked)
            if at_entry is None and found.run.recorded != "run_lifecycle":
                run = rules.with_live(run, [step for step in self._live.of(found.run) if step.started_at <= moment])
            event = records(tx, [run.event_id]).get(run.event_id)
            code_hash = functions.code_hash(tx, run.environment, run.function_id, run.function_version)
            return run_state(run, moment, event.data if event is not None else None, code_hash)

        return await self._db.read(look)

    async def timeline(self, call: Call, request: contract.GetRunTimeline) -> contract.RunTimeline:
        offset = int(request.cursor) if request.cursor.isascii() and request.cursor.isdigit() else 0
        limit = request.limit or ENTRIES_MAX

        def look(tx: Tx) -> contract.RunTimeline:
            timeline = list(entries(recorded(tx, call.environment, request.run_id).past))
            page = list(zip(timeline, moments(timeline), strict=True))[offset : offset + limit]
            return contract.RunTimeline(
                events=[timeline_event(entry, moment) for entry, moment in page],
                next_cursor=str(offset + limit) if len(timeline) > offset + limit else None,
            )

        return await self._db.read(look)

    async def step_output(self, call: Call, request: contract.GetStepOutputAt) -> contract.StepOutput:
        step, moment = await self._step(call, request)
        return contract.StepOutput(
            step_id=step.step_id,
            status=step.status,
            output=to_json(step.output) or NULL,
            original_output=to_json(step.original_output),
            patched=step.patched_at is not None,
            injected=step.injected,
            timestamp=to_datetime(moment),
        )

    async def step_output_at(self, call: Call, request: contract.GetStepOutputAt) -> contract.StepOutputBytes:
        step, moment = await self._step(call, request)
        return contract.StepOutputBytes(
            step_id=step.step_id,
            status=step.status,
            output=bytes_of(step.output),
            original_output=bytes_of(step.original_output),
            patched=step.patched_at is not None,
            injected=step.injected,
            timestamp=to_datetime(moment),
        )

    async def _step(self, call: Call, request: contract.GetStepOutputAt) -> tuple[Step, Millis]:
        moment = to_millis(request.timestamp) if request.timestamp is not None else call.now

        def look(tx: Tx) -> Step:
            found = recorded(tx, call.environment, request.run_id)
            rules.check_steps_recorded(found.run.function_id, found.run.recorded)
            step = rules.step_meant(_then(found, moment), request.step_id)
            if step is None:
                raise StepNotFound(
                    f"Run {found.run.id} had no step {request.step_id!r} at {at(moment)}. Its timeline shows "
                    "when each step was recorded; give a row id, a step id or a name."
                )
            return step

        return await self._db.read(look), moment


def _after(found: Recorded, entry_id: str) -> tuple[Run, Millis]:
    """The run just after an entry of its timeline, and when that was. Raises EntryNotFound."""
    version = Entry.version_in(entry_id, found.run.id)
    run = rules.run_after(found.past, version) if version is not None else None
    if run is None:
        raise contract.EntryNotFound(
            f"Run {found.run.id} has no entry {entry_id[:140]!r}; give the id of an entry of its timeline."
        )
    return run, next(kept.at for kept in found.past if kept.version == version)


def _then(found: Recorded, moment: Millis) -> Run:
    """The run at that moment. Raises BeforeTheRun."""
    run = rules.run_at(found.past, moment)
    if run is None:
        raise contract.BeforeTheRun(
            f"Run {found.run.id} was created at {at(found.past[0].at)}; there was nothing of it at {at(moment)}."
        )
    return run
