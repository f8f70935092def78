"""What happens when people take a run in hand."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.json import json_text
from ironflow.base.time import to_datetime
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.errors import RunNotResumable, StepNotFound
from ironflow.engine.model import Run, Step
from ironflow.features.controls import contract, rules
from ironflow.features.controls.explaining import explain
from ironflow.features.runs.contract import Run as RunMessage
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.runs.contract import Step as StepMessage
from ironflow.features.runs.ledger import Ledger
from ironflow.features.runs.messages import step_message
from ironflow.features.runs.rules import pause_reason, run_id_of_step, step_row_id
from ironflow.features.runs.service import shown
from ironflow.storage.port import Database, Tx

STEPS_MAX = 10_000


class Controls:
    """The controls room. evict_ms: how long a worker counts as alive without a word."""

    def __init__(self, db: Database, ledger: Ledger, evict_ms: int) -> None:
        self._db = db
        self._ledger = ledger
        self._evict_ms = evict_ms

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.pause: self.pause,
            contract.resume: self.resume,
            contract.retry: self.retry,
            contract.paused_state: self.paused_state,
            contract.inject: self.inject,
            contract.patch: self.patch,
            contract.why: self.why,
        }

    async def pause(self, call: Call, request: contract.PauseRun) -> contract.Paused:
        def change(tx: Tx) -> contract.Paused:
            run = self._run(tx, call, request.run_id)
            after = self._apply(tx, run, commands.Pause(), call)
            return contract.Paused(status="paused" if after.status == "paused" else "pause_requested")

        return await self._db.write(change)

    async def resume(self, call: Call, request: contract.ResumeRun) -> RunMessage:
        def change(tx: Tx) -> RunMessage:
            return self._resume(tx, call, self._run(tx, call, request.run_id), request.from_step, None)

        return await self._db.write(change)

    async def retry(self, call: Call, request: contract.RetryRun) -> RunMessage:
        def change(tx: Tx) -> RunMessage:
            run = self._run(tx, call, request.id)
            if run.status != "failed":
                raise RunNotResumable(f"Run {run.id} is {run.status}; only failed runs are retried.")
            return self._resume(tx, call, run, request.from_step, 0 if not request.from_step else None)

        return await self._db.write(change)

    async def paused_state(self, call: Call, request: contract.GetPausedState) -> contract.PausedState:
        def look(tx: Tx) -> contract.PausedState:
            run = _seen(tx, call, request.run_id)
            steps = Ledger.steps_after(tx, run.id, 0, STEPS_MAX)
            opened = next((step.name for step in steps if step.step_id == run.open_step), "")
            return contract.PausedState(
                steps=[_paused_step(run, step) for step in steps if step.status in ("completed", "failed")],
                next_step_hint=opened,
                pause_reason=pause_reason(run),
            )

        return await self._db.read(look)

    async def inject(self, call: Call, request: contract.InjectOutput) -> contract.Injected:
        output = rules.output_of(request.new_output)

        def change(tx: Tx) -> contract.Injected:
            run, step = self._run_with_step(tx, call, request.run_id, request.step_id)
            self._apply(tx, run, commands.Inject(step.step_id, output, request.reason), call)
            return contract.Injected(
                step_id=step_row_id(run.id, step.number), previous_output=step.output if step.output else "null"
            )

        return await self._db.write(change)

    async def patch(self, call: Call, request: contract.PatchStep) -> StepMessage:
        output = json_text(request.output) or "null"

        def change(tx: Tx) -> StepMessage:
            run, step = self._run_with_step(tx, call, run_id_of_step(request.step_id), request.step_id)
            command = commands.Patch(step.step_id, output, request.reason, call.principal.name or "api")
            after = self._apply(tx, run, command, call)
            return step_message(after, after.steps[step.step_id])

        return await self._db.write(change)

    async def why(self, call: Call, request: contract.GetWhy) -> contract.Why:
        def look(tx: Tx) -> contract.Why:
            run = _seen(tx, call, request.id)
            if run.open_step is not None:
                run = Ledger.look(tx, [run.id], {run.id: {run.open_step}})[run.id]
            return explain(tx, self._ledger, run, call.now - self._evict_ms)

        return await self._db.read(look)

    def _run(self, tx: Tx, call: Call, run_id: str) -> Run:
        """The run to change, with the step that it waits in."""
        run = self._ledger.load(tx, [run_id]).get(run_id)
        if run is None or run.environment != call.environment:
            raise _not_found(call, run_id)
        return self._ledger.load_whole(tx, run)

    def _run_with_step(self, tx: Tx, call: Call, run_id: str, named: str) -> tuple[Run, Step]:
        run = self._run(tx, call, run_id)
        step = _step(tx, run, named)
        return self._ledger.load(tx, [run.id], {run.id: {step.step_id, run.open_step or step.step_id}})[run.id], step

    def _resume(self, tx: Tx, call: Call, run: Run, from_step: str, from_sequence: int | None) -> RunMessage:
        if from_step:
            from_sequence = _step(tx, run, from_step).sequence
        after = self._apply(tx, run, commands.Resume(from_step, from_sequence), call)
        return shown(tx, [after])[0]

    def _apply(self, tx: Tx, run: Run, command: commands.Command, call: Call) -> Run:
        decision = decide(run, command, call.now)
        self._ledger.save(tx, [(run, decision)], call.now)
        # What followed in the same transaction, such as a slot, is in the row.
        return self._ledger.load(tx, [run.id], {run.id: set(decision.run.steps)})[run.id]


def _seen(tx: Tx, call: Call, run_id: str) -> Run:
    run = Ledger.look(tx, [run_id]).get(run_id)
    if run is None or run.environment != call.environment:
        raise _not_found(call, run_id)
    return run


def _not_found(call: Call, run_id: str) -> RunNotFound:
    return RunNotFound(f"There is no run {run_id[:140]!r} in environment {call.environment!r}.")


def _step(tx: Tx, run: Run, named: str) -> Step:
    """The step that a person means: the first with that name, or the one with that id."""
    found = Ledger.find_steps(tx, run.id, named)
    if not found:
        raise StepNotFound(f"Run {run.id} has no step {named!r}. Give its row id, its step id or its name.")
    return next((step for step in found if step.name != named), found[0])


def _paused_step(run: Run, step: Step) -> contract.PausedStep:
    return contract.PausedStep(
        id=step_row_id(run.id, step.number),
        name=step.name,
        output=step.output,
        injected=bool(step.injected),
        completed_at=to_datetime(step.ended_at if step.ended_at is not None else step.updated_at),
        step_type=step.type,
        status=step.status,
        error=step.error,
    )
