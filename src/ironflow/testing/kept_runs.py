"""Runs of the engine, and what a server would keep beside them, in memory: timers, waits, children, successors.

Every change of a run is one that `ironflow.engine.decide` decides; here is only what follows from its effects. Limits,
keys of runs and events that cancel runs are not kept: `time_machine` has them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from msgspec.structs import replace

from ironflow.base.path import compiled_path, key_text
from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.decide import Decision, decide
from ironflow.engine.effects import (
    AddWait,
    CancelChild,
    DropSteps,
    DropTimer,
    DropTimers,
    DropWait,
    SetTimer,
    StartChild,
    StartSuccessor,
)
from ironflow.engine.model import Policy, Run, Step, read_family
from ironflow.features.functions.in_tx import FunctionRow, Startable, config_of, startable
from ironflow.features.runs.in_tx import INVOKED, Lineage, child_ended, creation, due_command
from ironflow.features.timers.in_tx import Timer
from ironflow.features.waits.in_tx import Wait
from ironflow.log.record import Record
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.durable.job.assignment import JobEntity
from ironflow.sdk.values.payload import NOTHING, Raw, from_payload
from ironflow.testing.simulation_state import ENVIRONMENT, SimulationState


@dataclass
class Begun:
    """What a run was begun with. entity: with the state that its last execution began with. executions: how many."""

    function: FunctionDefinition
    event: Record
    entity: JobEntity | None
    executions: int = 0


class KeptRuns:
    """The runs that follow from one event. mocked: children whose functions have mocks, by parent, oldest first."""

    def __init__(self, state: SimulationState) -> None:
        self._state = state
        self.runs: dict[str, Run] = {}
        self.begun: dict[str, Begun] = {}
        self.mocked: list[tuple[str, StartChild]] = []
        self._timers: dict[tuple[str, str, str], Timer] = {}
        self._waits: dict[tuple[str, str], Wait] = {}
        # The handler that was executed last, by entity and key.
        self._holders: dict[tuple[str, str], str] = {}

    # What happens.

    def start(self, function: FunctionDefinition, event: Record, entity_key: str = "") -> str:
        """Creates the run that `event` starts; its id. entity_key: empty for that in the event's data."""
        run_id = self._state.new_id("run")
        entity = self._entity_of(function, event, entity_key)
        command = creation(run_id, _startable(function), event, entity_key=entity.key if entity else "").command
        self._create(command, Begun(function, event, entity))
        return run_id

    def begin_execution(self, run_id: str) -> Begun:
        """Counts the execution. A handler takes its key and reads the state with its first, a reader with each."""
        begun = self.begun[run_id]
        begun.executions += 1
        entity = begun.entity
        if entity is not None and (entity.read_only or begun.executions == 1):
            state = self._state.entities.get((entity.entity, entity.key))
            begun.entity = replace(entity, state=NOTHING if state is None else state, is_new=state is None)
        if (key := self._held_key(run_id)) is not None:
            self._holders[key] = run_id
        return begun

    def do(self, run_id: str, command: commands.RunCommand) -> Run:
        """The run after the command, and after all that follows from it. Raises what `decide` raises."""
        run = self.runs[run_id]
        self._apply(run, decide(run, command, self._state.clock.now()))
        return self.runs[run_id]

    def answer_mocked(self, parent_id: str, ended: commands.ChildEnded) -> None:
        """The mock of an invoked function has answered."""
        if not self.runs[parent_id].ended:
            self.do(parent_id, ended)

    def receive(self) -> bool:
        """Whether a queued event has ended a wait: the oldest that is for one, for all that it is for."""
        found = self._state.event_for(self._waits.values())
        if found is None:
            return False
        event, waits = found
        for wait in waits:
            if (wait.run_id, wait.step_id) in self._waits:
                self.do(wait.run_id, commands.EventReceived(wait.step_id, self._state.text_of(event)))
        return True

    def pass_time(self) -> bool:
        """Whether time has gone on, to the moment at which the next timer was due."""
        if not self._timers:
            return False
        key = min(self._timers, key=lambda each: self._timers[each].due_at)
        timer = self._timers.pop(key)
        clock = self._state.clock
        clock.at = max(clock.at, timer.due_at)
        run = self.runs[timer.run_id]
        self._apply(run, decide(run, due_command(run, timer), clock.now()))
        return True

    # What is so.

    def ready(self) -> str | None:
        """The run that a worker would be handed next; None without any."""
        ready = [run for run in self.runs.values() if _is_ready(run) and self._holder(run.id) is None]
        return min(ready, key=_ready_at).id if ready else None

    def blocked(self) -> tuple[str, str, JobEntity] | None:
        """A handler that waits for its key, the one that holds it, and the entity; None without any."""
        for run in self.runs.values():
            entity = self.begun[run.id].entity
            if entity is not None and _is_ready(run) and (holder := self._holder(run.id)) is not None:
                return run.function_id, self.runs[holder].function_id, entity
        return None

    def last_of(self, run_id: str) -> Run:
        """The last link of the chain that the run begins."""
        run = self.runs[run_id]
        while run.restarted_as is not None:
            run = self.runs[run.restarted_as]
        return run

    def children(self, run_id: str) -> Iterator[Run]:
        """The runs that it has started, each as the last link of its chain."""
        for run in list(self.runs.values()):
            if run.parent_run_id == run_id and not run.link:
                yield self.last_of(run.id)

    def _holder(self, run_id: str) -> str | None:
        """The other run that holds its entity's key: from its first execution to the end of its chain."""
        key = self._held_key(run_id)
        if key is None or key not in self._holders:
            return None
        holder = self.last_of(self._holders[key])
        return None if holder.ended or holder.id == run_id else holder.id

    def _held_key(self, run_id: str) -> tuple[str, str] | None:
        """Entity and key of a handler; None for readers and other functions, which wait for no run."""
        entity = self.begun[run_id].entity
        return None if entity is None or entity.read_only else (entity.entity, entity.key)

    # What follows from a decision.

    def _create(self, command: commands.Create, begun: Begun) -> None:
        # Nothing is limited here, and no other event reaches the run.
        command = replace(command, slot_key=None, limit_key=None, watched=False, recorded="", entity=None)
        self.begun[command.run_id] = begun
        self._apply(None, decide(None, command, self._state.clock.now()))

    def _apply(self, before: Run | None, decision: Decision) -> None:
        run = decision.run
        if run is before:
            return
        self.runs[run.id] = run
        for effect in decision.effects:
            match effect:
                case DropTimer(kind=kind, step_id=step_id):
                    self._timers.pop((run.id, kind, step_id), None)
                case DropWait(step_id=step_id):
                    self._waits.pop((run.id, step_id), None)
                case DropTimers():
                    self._timers = {key: timer for key, timer in self._timers.items() if timer.run_id != run.id}
                    self._waits = {key: wait for key, wait in self._waits.items() if wait.run_id != run.id}
                case SetTimer() | AddWait() | StartChild() | CancelChild() | StartSuccessor() | DropSteps():
                    # What is new comes after what ends.
                    continue
                case _:
                    assert_never(effect)
        for effect in decision.effects:
            match effect:
                case SetTimer(kind=kind, due_at=due_at, step_id=step_id):
                    self._timers[run.id, kind, step_id] = Timer(run.id, kind, step_id, due_at)
                case AddWait(step_id=step_id, event=event, path=path, value=value, expression=expression):
                    wait = Wait(run.id, "wait", step_id, ENVIRONMENT, event, path, value, expression)
                    self._waits[run.id, step_id] = wait
                case StartChild():
                    self._start_child(run, effect)
                case CancelChild():
                    self._cancel_child(effect)
                case StartSuccessor():
                    self._start_successor(run, effect)
                case DropTimer() | DropWait() | DropTimers() | DropSteps():
                    continue
                case _:
                    assert_never(effect)
        if run.parent_run_id is None or run.parent_step_id is None:
            return
        if before is not None and before.started_at is None and run.started_at is not None:
            timeout_ms = read_family(run.family).parent_timeout_ms
            if timeout_ms:
                self._inform_parent(run, commands.ChildStarted(run.parent_step_id, run.id, timeout_ms))
        if run.ended and run.restarted_as is None:
            self._inform_parent(run, child_ended(run, run.parent_step_id))

    def _inform_parent(self, run: Run, command: commands.RunCommand) -> None:
        parent = self.runs[run.parent_run_id or ""]
        self._apply(parent, decide(parent, command, self._state.clock.now()))

    def _start_child(self, parent: Run, start: StartChild) -> None:
        if start.function_id in self._state.invokes:
            self.mocked.append((parent.id, start))
            return
        function = self._state.functions[start.function_id]
        event = self._state.event(INVOKED, from_payload(Raw(start.input.encode())), source="invoke")
        delayed = self._state.clock.now() + start.delay_ms if start.delay_ms else None
        created = creation(
            start.run_id,
            _startable(function),
            event,
            Lineage(parent.id, start.step_id),
            start_at=delayed,
            parent_timeout_ms=start.parent_timeout_ms,
            entity_key=start.entity_key,
        )
        self._create(created.command, Begun(function, event, self._entity_of(function, event, start.entity_key)))

    def _cancel_child(self, effect: CancelChild) -> None:
        self.mocked = [each for each in self.mocked if each[1].run_id != effect.run_id]
        if effect.run_id in self.runs and not (child := self.last_of(effect.run_id)).ended:
            self.do(child.id, commands.Cancel(effect.cause, effect.force))

    def _start_successor(self, run: Run, start: StartSuccessor) -> None:
        begun = self.begun[run.id]
        metadata = begun.event.metadata
        event = self._state.event(
            INVOKED,
            from_payload(Raw(start.input.encode())),
            source="restart",
            metadata=None if metadata is None else from_payload(Raw(metadata.encode())),
        )
        entity = self._entity_of(begun.function, event, begun.entity.key if begun.entity else "")
        command = creation(start.run_id, _startable(begun.function), event).command
        command = replace(
            command,
            parent_run_id=run.parent_run_id,
            parent_step_id=run.parent_step_id,
            restarted_from=run.id,
            first_run_id=run.chain_id,
            link=run.link + 1,
            refused=None,
        )
        self._create(command, Begun(begun.function, event, entity))

    def _entity_of(self, function: FunctionDefinition, event: Record, entity_key: str = "") -> JobEntity | None:
        """The entity of the handler; its state is read when an execution begins."""
        entity = function.settings.entity
        if entity is None:
            return None
        key = entity_key or key_text(compiled_path(entity.key)(from_payload(Raw(event.data.encode()))))
        return JobEntity(entity=entity.name, key=key, state=NOTHING, is_new=True, read_only=entity.access == "read")


def steps_of(run: Run) -> Sequence[Step]:
    """Its steps in the order in which they are listed."""
    return sorted(run.steps.values(), key=_place)


def _place(step: Step) -> tuple[int, int]:
    return (step.sequence, step.number)


def _is_ready(run: Run) -> bool:
    return run.lease is not None and run.lease.state == "ready"


def _ready_at(run: Run) -> tuple[Millis, Millis]:
    return (run.lease.ready_at if run.lease is not None else 0, run.created_at)


def _startable(function: FunctionDefinition) -> Startable:
    """The function as a server would have registered it, with the defaults of a server."""
    config: Any = config_of(function.registration())
    row = FunctionRow(ENVIRONMENT, function.id, 1, "active", config, "", 0, 0, 0)
    return startable(row, Policy(), "warn")
