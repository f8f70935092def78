"""What is decided about waits; pure. Source: protocol/step-semantics.md 5."""

from typing import Literal, NamedTuple

from ironflow.base.cel import expression
from ironflow.base.json import read_json
from ironflow.base.path import compiled_path, value_text
from ironflow.base.pattern import compiled, is_pattern, literal_prefix
from ironflow.log.record import Record

Kind = Literal["wait", "cancel"]


class Wait(NamedTuple):
    """kind: `wait` completes the step, `cancel` ends the run. step_id: for `cancel` the number of its spec.

    value: as `base.path.value_text` writes it. path: empty to match any data.
    """

    run_id: str
    kind: Kind
    step_id: str
    environment: str
    event: str
    path: str
    value: str
    expression: str


class Lookup(NamedTuple):
    """The key under which waits are found: the value that an event of this name has at a path."""

    environment: str
    event_key: str
    path: str
    value: str


def matches(wait: Wait, record: Record) -> bool:
    """Whether the event matches the wait. Source: protocol/step-semantics.md 5, "Match semantics"."""
    if wait.event != record.name and not (is_pattern(wait.event) and compiled(wait.event).fullmatch(record.name)):
        return False
    data = read_json(record.data)
    if wait.path and (not wait.value or value_text(compiled_path(wait.path)(data)) != wait.value):
        return False
    if not wait.expression:
        return True
    metadata = read_json(record.metadata) if record.metadata else None
    about = {"id": record.id, "source": record.source, "namespace": record.namespace, "metadata": metadata}
    return expression(wait.expression).matches(data, name=record.name, **about)


def key_of(event: str) -> str:
    """The key of a wait: the name of its event, or a pattern's text before the wildcard, up to a dot, and `*`."""
    if not is_pattern(event):
        return event
    prefix = literal_prefix(event)
    return prefix[: prefix.rfind(".") + 1] + "*"


def keys_for(name: str) -> list[str]:
    """The keys of all waits that an event of this name may match."""
    keys = [name, "*"]
    end = name.find(".")
    while end >= 0:
        keys.append(name[: end + 1] + "*")
        end = name.find(".", end + 1)
    return keys
