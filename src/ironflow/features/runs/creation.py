"""What a new run is made of: its function, the event that starts it, and what follows from the event's data."""

from typing import Any, NamedTuple

from msgspec.structs import replace

from ironflow.base.json import read_json
from ironflow.base.path import MISSING, compiled_path, key_text, value_text
from ironflow.engine import commands
from ironflow.engine.model import ErrorValue
from ironflow.features.functions.index import Startable
from ironflow.features.runs.slots import ACTOR_PREFIX, KEY_PREFIX
from ironflow.features.runs.waits import Wait
from ironflow.log.record import Record

THROTTLE_KEY_MISSING = "THROTTLE_KEY_MISSING"


class Lineage(NamedTuple):
    """Which step of which run started it."""

    run_id: str
    step_id: str


class Throttled(NamedTuple):
    """At most `limit` runs with this key start in any `period_ms`. key: empty where the throttle has none."""

    limit: int
    period_ms: int
    key: str


class Creation(NamedTuple):
    """command: for the engine. watches: the events that will cancel the run. throttled: when it may start."""

    command: commands.Create
    watches: list[Wait]
    throttled: Throttled | None


def creation(run_id: str, function: Startable, event: Record, parent: Lineage | None = None) -> Creation:
    """The creation of a run of `function` by `event`."""
    throttle = function.throttle
    keyed = function.actor_key or function.concurrency_key or function.cancel_on or (throttle and throttle.key)
    data = read_json(event.data) if keyed else None
    actor_id = key_text(compiled_path(function.actor_key)(data)) if function.actor_key else ""
    watches = [
        Wait(run_id, "cancel", str(place), event.environment, spec.event, spec.match, _value(spec.match, data), "")
        for place, spec in enumerate(function.cancel_on)
    ]
    slot_key, limit_key = _slot_keys(function, actor_id, data)
    command = commands.Create(
        run_id=run_id,
        environment=event.environment,
        function_id=function.id,
        function_version=function.version,
        event_id=event.id,
        event_name=event.name,
        policy=function.policy,
        actor_id=actor_id or None,
        parent_run_id=parent.run_id if parent else None,
        parent_step_id=parent.step_id if parent else None,
        slot_key=slot_key,
        limit_key=limit_key,
        holds_slot=function.holds_slot,
        watched=bool(watches),
        recorded=function.recorded,
    )
    if throttle is None:
        return Creation(command, watches, None)
    key = compiled_path(throttle.key)(data) if throttle.key else ""
    if key is MISSING:
        return Creation(replace(command, refused=_no_throttle_key(throttle.key)), watches, None)
    return Creation(command, watches, Throttled(throttle.limit, throttle.period_ms, key_text(key)))


def _no_throttle_key(path: str) -> ErrorValue:
    """Source: behaviour.md 1, "Throttle": a key that does not resolve fails the run."""
    return ErrorValue(
        message=(
            f"The event has nothing at {path!r}, the key of its function's throttle. Emit it with a value there, or "
            "register the function with another key. A resume starts this run without waiting."
        ),
        code=THROTTLE_KEY_MISSING,
    )


def _value(path: str, data: Any) -> str:
    return value_text(compiled_path(path)(data))


def _slot_keys(function: Startable, actor_id: str, data: Any) -> tuple[str | None, str | None]:
    """The slots that a run needs: of its actor, of its function's limit, or of both; a single one comes first."""
    limit_key = None
    if function.concurrency_limit:
        path = function.concurrency_key
        limit_key = KEY_PREFIX + (key_text(compiled_path(path)(data)) if path else "")
    return (ACTOR_PREFIX + actor_id, limit_key) if function.actor_key else (limit_key, None)
