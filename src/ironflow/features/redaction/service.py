"""What happens: payloads are replaced wherever they are kept, in one transaction with the note of who did it.

What others made of a payload is theirs: states of projections, snapshots, deliveries of topics, output of runs that an
event started. The answer of a redaction names invoked runs; a run is redacted by itself.
"""

from typing import Any

from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.time import to_datetime
from ironflow.engine.errors import StepNotFound
from ironflow.engine.model import Run, Step
from ironflow.features.entities import in_tx as entities
from ironflow.features.events.contract import EventNotFound
from ironflow.features.keys import in_tx as keys
from ironflow.features.log_lines import in_tx as log_lines
from ironflow.features.messages import in_tx as messages
from ironflow.features.redaction import contract, rules, store
from ironflow.features.runs import in_tx as runs
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.runs.in_tx import RunRepository, StepKey, run_id_of_step, step_row_id
from ironflow.log.read import records
from ironflow.log.record import Record
from ironflow.log.redacting import set_payloads
from ironflow.storage.port import Database, Tx

SCANNED_STEPS = 5_000


class Redaction:
    """The redaction feature."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db = db
        self._ids = ids

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.redact_event: self.redact_event,
            contract.redact_run: self.redact_run,
            contract.redact_step: self.redact_step,
            contract.list_: self.list_,
        }

    async def redact_event(self, call: Call, request: contract.RedactEvent) -> contract.Redacted:
        event = await self._db.read(lambda tx: _event(tx, call, request.id))
        waits = await self._waits_ended_by(event)

        def change(tx: Tx) -> int:
            run_ids = {run_id for run_id, _ in waits}
            run_ids |= {run.id for run in RunRepository.started_by(tx, [event.id]).get(event.id, [])}
            runs.check_ended(RunRepository.load(tx, sorted(run_ids)).values())
            if waits:
                call.require(contract.redact_step.scope)
            count = _redact_event(tx, call, event.id)
            count += sum(_redact_step(tx, call, *place) for place in waits)
            self._note(tx, call, "event", event.id, request.reason, count)
            return count

        payloads = await self._db.write(change)
        # A run that was just asking for the event took it between the look and the change; from now on it takes the
        # marker.
        late = [place for place in await self._waits_ended_by(event) if place not in waits]
        if late:
            call.require(contract.redact_step.scope)
            payloads += await self._db.write(lambda tx: sum(_redact_step(tx, call, *place) for place in late))
        return contract.Redacted(id=event.id, payloads=payloads)

    async def redact_run(self, call: Call, request: contract.RedactRun) -> contract.Redacted:
        # The payload that a run was started with is its event's.
        call.require(contract.redact_event.scope)

        def change(tx: Tx) -> contract.Redacted:
            run = _ended_run(tx, call, request.id)
            swap = rules.payload_swap(call.now)
            steps = runs.whole_steps(tx, run.id)
            log_lines.drop(tx, [run.id])
            changed = [after for step in steps if (after := rules.redacted_step(step, swap)) is not step]
            runs.replace_steps(tx, run.id, changed)
            after = rules.redacted_run(run, swap)
            if after is not run:
                runs.replace_payloads(tx, after)
            runs.change_facts(tx, run.id, lambda fact: rules.redacted_fact(fact, swap, None))
            runs.drop_values(tx, [run.id])
            received = messages.replace_payloads(tx, run, "", swap)
            started = RunRepository.started_by(tx, [run.event_id]).get(run.event_id, [])
            # What it was given is its event; other runs of the event may need it still.
            runs.check_ended(started)
            count = len(changed) + (after is not run) + received + _redact_event(tx, call, run.event_id)
            self._note(tx, call, "run", run.id, request.reason, count)
            children = [step.child_run_id for step in steps if step.child_run_id is not None]
            return contract.Redacted(id=run.id, payloads=count, children=children)

        return await self._db.write(change)

    async def redact_step(self, call: Call, request: contract.RedactStep) -> contract.Redacted:
        def change(tx: Tx) -> contract.Redacted:
            run = _ended_run(tx, call, run_id_of_step(request.id))
            step = _step(tx, run, request.id)
            row_id = step_row_id(run.id, step.number)
            log_lines.drop_step(tx, run.id, step.step_id)
            count = _redact_step(tx, call, run.id, step.step_id)
            count += messages.replace_payloads(tx, run, step.step_id, rules.payload_swap(call.now))
            self._note(tx, call, "step", row_id, request.reason, count)
            children = [step.child_run_id] if step.child_run_id is not None else []
            return contract.Redacted(id=row_id, payloads=count, children=children)

        return await self._db.write(change)

    async def list_(self, call: Call, request: contract.ListRedactions) -> contract.Redactions:
        rules.check_cursor(request.cursor)
        place = (call.environment, request.target_id, request.cursor, request.limit + 1)
        found = await self._db.read(lambda tx: store.before(tx, *place))
        page = found[: request.limit]
        return contract.Redactions(
            redactions=[
                contract.RedactionEntry(
                    id=row.id,
                    target=row.target,
                    target_id=row.target_id,
                    actor=row.actor,
                    reason=row.reason,
                    payloads=row.payloads,
                    at=to_datetime(row.at),
                )
                for row in page
            ],
            next_cursor=page[-1].id if len(found) > request.limit else None,
        )

    async def _waits_ended_by(self, event: Record) -> list[StepKey]:
        """The steps that hold the event because they waited for it; all steps are looked at, in bounded pieces."""
        found: list[StepKey] = []
        after: StepKey | None = ("", "")
        while after is not None:
            place = after
            waits, after = await self._db.read(
                lambda tx, place=place: runs.waits_ended_by(tx, event.id, event.created_at, place, SCANNED_STEPS)
            )
            found += waits
        return found

    def _note(self, tx: Tx, call: Call, target: str, target_id: str, reason: str, payloads: int) -> None:
        if payloads:
            actor = call.principal.name or "api"
            row_id = self._ids.new("red")
            store.add(tx, store.Row(row_id, call.environment, target, target_id, actor, reason, payloads, call.now))


def _event(tx: Tx, call: Call, event_id: str) -> Record:
    found = records(tx, [event_id]).get(event_id)
    if found is None or found.environment != call.environment:
        raise EventNotFound(f"There is no event {event_id[:140]!r} in environment {call.environment!r}.")
    return found


def _redact_event(tx: Tx, call: Call, event_id: str) -> int:
    """Replaces the payloads of an event, if it is there still; how many events that changed."""
    event = records(tx, [event_id]).get(event_id)
    if event is None:
        return 0
    swap = rules.payload_swap(call.now)
    after = replace(event, data=swap(event.data) or "null", metadata=swap(event.metadata))
    if after == event:
        return 0
    set_payloads(tx, after)
    entities.redacted(tx, after)
    return 1


def _redact_step(tx: Tx, call: Call, run_id: str, step_id: str) -> int:
    """Replaces the payloads of a step, in its run's facts too; 1, or 0 when there was nothing to replace."""
    run = RunRepository.load(tx, [run_id], {run_id: {step_id}}).get(run_id)
    step = run.steps.get(step_id) if run is not None else None
    if step is None:
        return 0
    swap = rules.payload_swap(call.now)
    after = rules.redacted_step(step, swap)
    runs.change_facts(tx, run_id, lambda fact: rules.redacted_fact(fact, swap, step_id))
    if after is step:
        return 0
    runs.replace_steps(tx, run_id, [after])
    return 1


def _ended_run(tx: Tx, call: Call, run_id: str) -> Run:
    """The run, locked. Raises RunNotFound, RunNotEnded."""
    run_id = keys.run_id_of(tx, call.environment, run_id)
    run = RunRepository.load(tx, [run_id]).get(run_id)
    if run is None or run.environment != call.environment:
        raise RunNotFound(f"There is no run {run_id[:140]!r} in environment {call.environment!r}.", run_id=run_id)
    runs.check_ended([run])
    return run


def _step(tx: Tx, run: Run, named: str) -> Step:
    found = [
        step for step in RunRepository.find_steps(tx, run.id, named) if step.name != named or step.step_id == named
    ]
    if not found:
        raise StepNotFound(f"Run {run.id} has no step {named!r}. Give its row id or its step id.")
    return found[0]
