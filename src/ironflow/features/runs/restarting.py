"""The run that goes on in place of one that restarts, and what it takes over; pure.

Source: docs/guides/restarting-runs.md, "What goes along"; ADR 0055.
"""

from typing import NamedTuple

from ironflow.base.json import read_json
from ironflow.base.path import compiled_path, key_text
from ironflow.engine import commands
from ironflow.engine.effects import StartSuccessor
from ironflow.engine.model import Hold, Run
from ironflow.features.functions.in_tx import Startable
from ironflow.features.runs.creation import Creation, cancel_watches, slot_keys
from ironflow.features.slots.in_tx import kind_of
from ironflow.features.waits.in_tx import Wait
from ironflow.log.record import Record


class Successor(NamedTuple):
    """takes_watches: what cancels the run cancels its successor; otherwise `creation` has its own watches."""

    creation: Creation
    takes_watches: bool


class Slots(NamedTuple):
    """The actor and the slots of a run, as its fields of these names."""

    actor_id: str | None
    slot_key: str | None
    limit_key: str | None
    hold: Hold


def successor(
    run: Run, start: StartSuccessor, event: Record, function: Startable | None, watches: list[Wait], *, paused: bool
) -> Successor:
    """The creation of the next link of the run's chain.

    function: as it is registered now, None when it is not any more. watches: what cancels the run. paused: it was to
    be paused at its next step boundary, and its successor is.
    """
    takes_watches = function is None or _watched(function) == {(each.event, each.path) for each in watches}
    own = [] if takes_watches or function is None else cancel_watches(start.run_id, function, event)
    slots = decide_slots(run, function, event)
    command = commands.Create(
        run_id=start.run_id,
        environment=run.environment,
        function_id=run.function_id,
        function_version=run.function_version if function is None else function.version,
        event_id=event.id,
        event_name=event.name,
        policy=run.policy if function is None else function.policy,
        actor_id=slots.actor_id,
        parent_run_id=run.parent_run_id,
        parent_step_id=run.parent_step_id,
        slot_key=slots.slot_key,
        limit_key=slots.limit_key,
        holds_slot=run.holds_slot if function is None else function.holds_slot,
        watched=bool(watches if takes_watches else own),
        recorded=run.recorded if function is None else function.recorded,
        key=run.key,
        hold=slots.hold,
        priority=run.priority,
        entity=run.entity,
        restarted_from=run.id,
        first_run_id=run.chain_id,
        link=run.link + 1,
        paused=paused,
    )
    return Successor(Creation(command, own, None), takes_watches)


def decide_slots(run: Run, function: Startable | None, event: Record) -> Slots:
    """The run's own slots while its function has the same limits; else those that its new data gives.

    A run that keeps its slots to its end hands them over: it held them when it restarted.
    """
    holds = bool(run.hold) if function is None else function.holds_run
    carried = Slots(run.actor_id, run.slot_key, run.limit_key, "kept" if run.hold and holds else _hold(holds))
    if function is None or run.entity is not None:
        return carried
    data = read_json(event.data) if function.actor_key or function.concurrency_key else None
    actor_id = key_text(compiled_path(function.actor_key)(data)) if function.actor_key else ""
    slot_key, limit_key = slot_keys(function, actor_id, data, "")
    same = [kind_of(key) for key in (run.slot_key, run.limit_key)] == [kind_of(key) for key in (slot_key, limit_key)]
    return carried if same else Slots(actor_id or None, slot_key, limit_key, _hold(holds))


def _hold(holds: bool) -> Hold:
    return "run" if holds else ""


def _watched(function: Startable) -> set[tuple[str, str]]:
    return {(spec.event, spec.match) for spec in function.cancel_on}
