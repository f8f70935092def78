"""What happens when people take a run in hand."""

from typing import Any

from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.json import check_size, json_text
from ironflow.base.operation import Operation
from ironflow.base.time import to_datetime
from ironflow.engine import commands
from ironflow.engine.decide import decide
from ironflow.engine.errors import RunEnded, RunNotResumable, StepNotFound
from ironflow.engine.model import Run, Step
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.controls import contract, rules
from ironflow.features.controls.explaining import Oldest, explain
from ironflow.features.entities import in_tx as entities
from ironflow.features.keys import in_tx as keys
from ironflow.features.runs.contract import Run as RunMessage
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.runs.contract import Step as StepMessage
from ironflow.features.runs.in_tx import (
    RunRepository,
    pause_reason,
    restarted_text,
    run_id_of_step,
    step_message,
    step_row_id,
    stuck_runs,
)
from ironflow.features.runs.service import shown
from ironflow.storage.port import Database, Tx

STEPS_MAX = 10_000


class Controls:
    """The controls feature.

    evict_ms: how long a worker counts as alive after its last request. actor_ms: how long it keeps its actors.
    output_bytes_max: the largest output that a step is given.
    """

    def __init__(
        self, db: Database, repository: RunRepository, evict_ms: int, actor_ms: int, output_bytes_max: int
    ) -> None:
        self._db = db
        self._repository = repository
        self._evict_ms, self._actor_ms = evict_ms, actor_ms
        self._output_bytes_max = output_bytes_max

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
            contract.why_many: self.why_many,
            contract.stuck: self.stuck,
        }

    async def pause(self, call: Call, request: contract.PauseRun) -> contract.Paused:
        def change(tx: Tx) -> contract.Paused:
            run = self._run(tx, call, request.run_id)
            if run.restarted_as is not None:
                raise RunEnded(restarted_text(tx, run))
            _note(tx, call, contract.pause, request, "run_control.pause", run, reason=request.reason or None)
            after = self._apply(tx, run, commands.Pause(_by(call), request.reason), call)
            return contract.Paused(
                status="paused" if after.status == "paused" else "pause_requested",
                changed=run.status != "paused" and not run.pause_requested,
            )

        return await self._db.write(change)

    async def resume(self, call: Call, request: contract.ResumeRun) -> RunMessage:
        def change(tx: Tx) -> RunMessage:
            run = self._run(tx, call, request.run_id)
            about = {"from_step": request.from_step or None, "reason": request.reason or None}
            _note(tx, call, contract.resume, request, "run_control.resume", run, **about)
            return self._resume(tx, call, run, commands.Resume(request.from_step, None, _by(call), request.reason))

        return await self._db.write(change)

    async def retry(self, call: Call, request: contract.RetryRun) -> RunMessage:
        def change(tx: Tx) -> RunMessage:
            run = self._run(tx, call, request.id)
            if run.status != "failed":
                raise RunNotResumable(f"Run {run.id} is {run.status}; only failed runs are retried.")
            about = {"from_step": request.from_step or None, "reason": request.reason or None}
            _note(tx, call, contract.retry, request, "run_control.retry", run, **about)
            from_sequence = None if request.from_step else 0
            command = commands.Resume(request.from_step, from_sequence, _by(call), request.reason)
            return self._resume(tx, call, run, command)

        return await self._db.write(change)

    async def paused_state(self, call: Call, request: contract.GetPausedState) -> contract.PausedState:
        def look(tx: Tx) -> contract.PausedState:
            run = _seen(tx, call, request.run_id)
            steps = RunRepository.steps_after(tx, run.id, 0, STEPS_MAX)
            opened = next((step.name for step in steps if step.step_id == run.open_step), "")
            return contract.PausedState(
                steps=[_paused_step(run, step) for step in steps if step.status in ("completed", "failed")],
                next_step_hint=opened,
                pause_reason=pause_reason(run),
            )

        return await self._db.read(look)

    async def inject(self, call: Call, request: contract.InjectOutput) -> contract.Injected:
        check_size(request.new_output, "The output", self._output_bytes_max)
        output = rules.output_of(request.new_output)

        def change(tx: Tx) -> contract.Injected:
            run, step = self._run_with_step(tx, call, request.run_id, request.step_id)
            about = {"step_id": step.step_id, "reason": request.reason or None}
            _note(tx, call, contract.inject, request, "run_control.inject", run, **about)
            self._apply(tx, run, commands.Inject(step.step_id, output, request.reason), call)
            return contract.Injected(
                step_id=step_row_id(run.id, step.number), previous_output=step.output if step.output else "null"
            )

        return await self._db.write(change)

    async def patch(self, call: Call, request: contract.PatchStep) -> StepMessage:
        check_size(request.output, "The output", self._output_bytes_max)
        output = json_text(request.output) or "null"

        def change(tx: Tx) -> StepMessage:
            run, step = self._run_with_step(tx, call, run_id_of_step(request.step_id), request.step_id)
            about = {"step_id": step.step_id, "reason": request.reason or None}
            _note(tx, call, contract.patch, request, "run_control.patch", run, **about)
            command = commands.Patch(step.step_id, output, request.reason, _by(call) or "api")
            after = self._apply(tx, run, command, call)
            return step_message(after, after.steps[step.step_id])

        return await self._db.write(change)

    async def why(self, call: Call, request: contract.GetWhy) -> contract.Why:
        def look(tx: Tx) -> contract.Why:
            run = _seen(tx, call, request.id)
            run = RunRepository.with_open_steps(tx, run)
            return explain(tx, self._repository, run, self._oldest(call))

        return await self._db.read(look)

    async def why_many(self, call: Call, request: contract.ExplainRuns) -> contract.Explained:
        def look(tx: Tx) -> contract.Explained:
            seen = RunRepository.look(tx, request.ids)
            found = [seen[each] for each in dict.fromkeys(request.ids) if each in seen]
            return contract.Explained(
                runs=[
                    explain(tx, self._repository, RunRepository.with_open_steps(tx, run), self._oldest(call))
                    for run in found
                    if run.environment == call.environment
                ]
            )

        return await self._db.read(look)

    async def stuck(self, call: Call, request: contract.ListStuck) -> contract.Stuck:
        def look(tx: Tx) -> contract.Stuck:
            found = stuck_runs(tx, call.environment, call.now - request.pending_ms, request.limit)
            seen = RunRepository.look(tx, found)
            return contract.Stuck(
                runs=[
                    contract.StuckRun(
                        run_id=run.id,
                        function_id=run.function_id,
                        updated_at=to_datetime(run.updated_at),
                        why=explain(tx, self._repository, run, self._oldest(call)),
                    )
                    for run in map(seen.__getitem__, found)
                ]
            )

        return await self._db.read(look)

    def _oldest(self, call: Call) -> Oldest:
        return Oldest(call.now - self._evict_ms, call.now - self._actor_ms, self._actor_ms, call.now)

    def _run(self, tx: Tx, call: Call, run_id: str) -> Run:
        """The run to change, with its open steps."""
        run_id = keys.run_id_of(tx, call.environment, run_id)
        run = self._repository.load(tx, [run_id]).get(run_id)
        if run is None or run.environment != call.environment:
            raise _not_found(call, run_id)
        return RunRepository.with_open_steps(tx, run)

    def _run_with_step(self, tx: Tx, call: Call, run_id: str, named: str) -> tuple[Run, Step]:
        run = self._run(tx, call, run_id)
        step = _step(tx, run, named)
        return replace(run, steps={**run.steps, step.step_id: step}), step

    def _resume(self, tx: Tx, call: Call, run: Run, command: commands.Resume) -> RunMessage:
        """command.from_step: as a person names it."""
        if command.from_step:
            command = replace(command, from_sequence=_step(tx, run, command.from_step).sequence)
        after = self._apply(tx, run, command, call)
        if command.from_sequence is not None:
            entities.begin_again(tx, after)
        return shown(tx, [after])[0]

    def _apply(self, tx: Tx, run: Run, command: commands.Command, call: Call) -> Run:
        decision = decide(run, command, call.now)
        self._repository.save(tx, [(run, decision)], call.now)
        # What followed in the same transaction, such as a slot, is in the row.
        return self._repository.load(tx, [run.id], {run.id: set(decision.run.steps)})[run.id]


def _by(call: Call) -> str:
    return call.principal.name or ""


def _note(
    tx: Tx, call: Call, operation: Operation[Any, Any], request: Any, event_type: str, run: Run, **details: Any
) -> None:
    summary = f"run {run.id}: {operation.name.partition('.')[2]}"
    about = {"run_id": run.id, **details}
    audit_notes.record(tx, call, operation, request, event_type, summary, function_id=run.function_id, **about)


def _seen(tx: Tx, call: Call, run_id: str) -> Run:
    run_id = keys.run_id_of(tx, call.environment, run_id)
    run = RunRepository.look(tx, [run_id]).get(run_id)
    if run is None or run.environment != call.environment:
        raise _not_found(call, run_id)
    return run


def _not_found(call: Call, run_id: str) -> RunNotFound:
    return RunNotFound(f"There is no run {run_id[:140]!r} in environment {call.environment!r}.", run_id=run_id)


def _step(tx: Tx, run: Run, named: str) -> Step:
    """The step that a person means: the first with that name, or the one with that id."""
    found = RunRepository.find_steps(tx, run.id, named)
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
