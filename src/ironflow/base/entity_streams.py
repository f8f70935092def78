"""The stream of an entity's state: its id and the name of its events. Source: decision 0061."""

import re

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
KEY_CHARS_MAX = 190
# The limit that the handlers of an entity share; no user's limit has a colon in its name.
_SCOPE = "entity:"
_STATE = ".state.changed"
_FORBIDDEN_IN_KEY = re.compile(r"[\s\x00-\x1f\x7f*>]")


def stream_of(entity: str, key: str) -> str:
    """The id of the stream of one entity. Keys of different entities do not meet in it."""
    return f"{entity}:{key}"


def streams_of(entity: str) -> tuple[str, str]:
    """The bounds of the stream ids of all its keys: from the first, and below the second."""
    return f"{entity}:", f"{entity};"


def parts_of(stream_id: str) -> tuple[str, str]:
    """The entity and the key of a stream id; names of entities have no colon, keys may."""
    entity, _, key = stream_id.partition(":")
    return entity, key


def state_event(entity: str) -> str:
    """The name of the event that carries a new state; its data is the state."""
    return f"{entity}{_STATE}"


def is_state_event(stream_id: str, name: str) -> bool:
    """Whether the event would change the state of the entity with this stream."""
    entity, key = parts_of(stream_id)
    return bool(key) and name == state_event(entity)


def scope_of_entity(entity: str) -> str:
    """The name of the limit by which the handlers of one key run one at a time."""
    return f"{_SCOPE}{entity}"


def entity_of_scope(scope: str) -> str:
    """The entity whose handlers share the limit; empty for other limits."""
    return scope[len(_SCOPE) :] if scope.startswith(_SCOPE) else ""


def is_key(key: str) -> bool:
    """Whether the text is the key of an entity."""
    return 0 < len(key) <= KEY_CHARS_MAX and _FORBIDDEN_IN_KEY.search(key) is None
