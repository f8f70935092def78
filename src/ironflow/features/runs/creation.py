"""The engine's command for a new run, from its function and the event that starts it."""

from typing import Any, NamedTuple

from msgspec.structs import replace

from ironflow.base.cel import expression
from ironflow.base.entity_streams import KEY_CHARS_MAX, is_key, stream_of
from ironflow.base.json import read_json
from ironflow.base.path import MISSING, compiled_path, key_text, value_text
from ironflow.base.run_keys import InvalidRunKey, check_key
from ironflow.base.time import Millis
from ironflow.engine import commands
from ironflow.engine.model import ErrorValue
from ironflow.features.functions.in_tx import Startable
from ironflow.features.slots.in_tx import ACTOR_PREFIX, KEY_PREFIX, scope_key
from ironflow.features.throttles.in_tx import Throttled
from ironflow.features.waits.in_tx import Wait
from ironflow.log.record import Record

THROTTLE_KEY_MISSING = "THROTTLE_KEY_MISSING"
RUN_KEY_MISSING = "RUN_KEY_MISSING"
ENTITY_KEY_MISSING = "ENTITY_KEY_MISSING"
# A run of the lowest priority is overtaken for at most twice as many minutes.
PRIORITY_MAX = 100


class Lineage(NamedTuple):
    """The run and the step that started it."""

    run_id: str
    step_id: str


class Creation(NamedTuple):
    """command: for the engine. watches: the events that will cancel the run. throttled: when it may start."""

    command: commands.Create
    watches: list[Wait]
    throttled: Throttled | None


def creation(
    run_id: str,
    function: Startable,
    event: Record,
    parent: Lineage | None = None,
    key: str = "",
    *,
    start_at: Millis | None = None,
    parent_timeout_ms: int = 0,
    entity_key: str = "",
) -> Creation:
    """The creation of a run of `function` by `event`. start_at, parent_timeout_ms: as in `Create`.

    key: of the run; empty takes the function's, which runs that are started by a step do not have. entity_key: of the
    entity that the function is a handler of; empty takes that of the event.
    """
    by_expression = function.run_key if not key and parent is None else ""
    throttle = function.throttle
    entity = function.entity
    keyed = (
        entity or function.actor_key or function.concurrency_key or function.cancel_on or (throttle and throttle.key)
    )
    data = read_json(event.data) if keyed or by_expression or function.priority else None
    actor_id = key_text(compiled_path(function.actor_key)(data)) if function.actor_key else ""
    watches = watches_of(run_id, function, event.environment, data)
    if entity is not None and not entity_key:
        entity_key = key_text(compiled_path(entity.key)(data))
    slot_key, limit_key = slot_keys(function, actor_id, data, entity_key)
    if by_expression:
        key = _run_key(by_expression, data, event)
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
        key=key or None,
        refused=_no_run_key(by_expression) if by_expression and not key else None,
        start_at=start_at,
        parent_timeout_ms=parent_timeout_ms,
        hold="run" if function.holds_run else "",
        priority=_priority(function.priority, data, event) if function.priority else 0,
        entity=stream_of(entity.name, entity_key) if entity is not None else None,
    )
    if entity is not None and not is_key(entity_key):
        command = replace(command, entity=None, slot_key=None, refused=_no_entity_key(entity.key))
    if throttle is None:
        return Creation(command, watches, None)
    key = compiled_path(throttle.key)(data) if throttle.key else ""
    if key is MISSING:
        return Creation(replace(command, refused=_no_throttle_key(throttle.key)), watches, None)
    return Creation(command, watches, Throttled(throttle.limit, throttle.period_ms, key_text(key)))


def cancel_watches(run_id: str, function: Startable, event: Record) -> list[Wait]:
    """The events that will cancel a run of the function."""
    return watches_of(run_id, function, event.environment, read_json(event.data)) if function.cancel_on else []


def watches_of(run_id: str, function: Startable, environment: str, data: Any) -> list[Wait]:
    """The events that cancel a run of `function`. data: of the event that starts it."""
    return [
        Wait(run_id, "cancel", str(number), environment, spec.event, spec.match, _value(spec.match, data), "")
        for number, spec in enumerate(function.cancel_on)
    ]


def _no_throttle_key(path: str) -> ErrorValue:
    """Source: behaviour.md 1, "Throttle": a key that does not resolve fails the run."""
    return ErrorValue(
        message=(
            f"The event has nothing at {path!r}, the key of its function's throttle. Emit it with a value there, or "
            "register the function with another key. A resume starts this run without waiting."
        ),
        code=THROTTLE_KEY_MISSING,
    )


def _run_key(source: str, data: Any, event: Record) -> str:
    """The key that the function's expression gives for the event; empty where it gives none that is valid."""
    text = _text(source, data, event)
    try:
        check_key(text)
    except InvalidRunKey:
        return ""
    return text


def _text(source: str, data: Any, event: Record) -> str:
    """What an expression gives for the event, as text."""
    metadata = read_json(event.metadata) if event.metadata else None
    about = {"id": event.id, "source": event.source, "namespace": event.namespace, "metadata": metadata}
    return expression(source).text(data, name=event.name, **about)


def _priority(source: str, data: Any, event: Record) -> int:
    """What the function's expression gives, within PRIORITY_MAX; 0 where it gives no whole number."""
    text = _text(source, data, event)
    number = int(text) if text.removeprefix("-").isdecimal() and len(text) < 10 else 0
    return max(-PRIORITY_MAX, min(number, PRIORITY_MAX))


def _no_entity_key(path: str) -> ErrorValue:
    return ErrorValue(
        message=(
            f"The event has no key of an entity at {path!r}: write 1 to {KEY_CHARS_MAX} characters without spaces, `*` "
            "or `>` there, or a number; or give entity_key with the call."
        ),
        code=ENTITY_KEY_MISSING,
    )


def _no_run_key(source: str) -> ErrorValue:
    return ErrorValue(
        message=(
            f"The function's key {source!r} gives no key for this event: it has to give text of 1 to 256 characters "
            "without spaces or slashes, or a number. Emit the event with a value there, or register another key."
        ),
        code=RUN_KEY_MISSING,
    )


def _value(path: str, data: Any) -> str:
    return value_text(compiled_path(path)(data))


def slot_keys(function: Startable, actor_id: str, data: Any, entity_key: str) -> tuple[str | None, str | None]:
    """The slots that a run needs: of its actor, of its function's limit, or of both; a single one comes first."""
    limit_key = None
    if function.concurrency_limit:
        path = function.concurrency_key
        key = entity_key or (key_text(compiled_path(path)(data)) if path else "")
        limit_key = scope_key(function.concurrency_scope, key) if function.concurrency_scope else KEY_PREFIX + key
    return (ACTOR_PREFIX + actor_id, limit_key) if function.actor_key else (limit_key, None)
