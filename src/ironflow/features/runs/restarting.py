"""The run that goes on in place of one that restarts, and what it takes over; pure.

Source: docs/guides/restarting-runs.md, "What goes along"; ADR 0055.
"""

from collections.abc import Iterable
from itertools import takewhile
from typing import NamedTuple

from ironflow.base.json import read_json
from ironflow.base.path import compiled_path, key_text
from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.effects import StartSuccessor
from ironflow.engine.model import Hold, Run
from ironflow.features.functions.in_tx import Startable
from ironflow.features.runs.creation import Creation, cancel_watches, slot_keys
from ironflow.features.slots.in_tx import kind_of
from ironflow.features.waits.in_tx import Wait
from ironflow.log.record import Record

# A link that restarts sooner than this after its start, without a step, is a quick one.
QUICK_MS = 1_000
# So many quick links in a row go on at once: a handler may have to bring its data to a new form.
QUICK_AT_ONCE = 4
DELAY_MS, DELAY_MS_MAX = 1_000, 60_000
# Links looked at: with this many quick ones, the delay is as long as it gets.
QUICK_LOOKED_AT = 12


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


class Link(NamedTuple):
    """What is looked at of a link that has restarted."""

    steps: int
    started_at: Millis | None
    ended_at: Millis | None


def link_of(run: Run) -> Link:
    return Link(run.step_count, run.started_at, run.ended_at)


def is_quick(link: Link) -> bool:
    """Whether it has restarted without having done or received anything."""
    return not link.steps and (link.ended_at or 0) - (link.started_at or 0) < QUICK_MS


def decide_restart_delay(links: Iterable[Link]) -> int:
    """Milliseconds until the next link starts: a handler that does nothing but restart is slowed down.

    links: of the chain, the newest first. Source: docs/guides/restarting-runs.md, "Restarting at once".
    """
    quick = sum(1 for _ in takewhile(is_quick, links))
    if quick <= QUICK_AT_ONCE:
        return 0
    return min(DELAY_MS << min(quick - QUICK_AT_ONCE - 1, QUICK_LOOKED_AT), DELAY_MS_MAX)


def successor(
    run: Run,
    start: StartSuccessor,
    event: Record,
    function: Startable | None,
    watches: list[Wait],
    *,
    paused: bool,
    delay_ms: int = 0,
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
        start_at=event.created_at + delay_ms if delay_ms else None,
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
