"""What is decided about waits; pure. Source: protocol/step-semantics.md 5."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal, NamedTuple

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


class Matcher:
    """One event, for many waits: it is decoded once, and each of its values is looked up once.

    Source: protocol/step-semantics.md 5, "Match semantics".
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self._values: dict[str, str] = {}

    @cached_property
    def _data(self) -> Any:
        return read_json(self.record.data)

    @cached_property
    def _metadata(self) -> Any:
        return read_json(self.record.metadata) if self.record.metadata else None

    def value(self, path: str) -> str:
        """What the event has at a path, as `base.path.value_text` writes it."""
        found = self._values.get(path)
        if found is None:
            found = self._values[path] = value_text(compiled_path(path)(self._data))
        return found

    def ends(self, wait: Wait) -> bool:
        """Whether the event matches the wait."""
        record = self.record
        if wait.event != record.name and not (is_pattern(wait.event) and compiled(wait.event).fullmatch(record.name)):
            return False
        if wait.path and (not wait.value or self.value(wait.path) != wait.value):
            return False
        if not wait.expression:
            return True
        about = {"id": record.id, "source": record.source, "namespace": record.namespace, "metadata": self._metadata}
        return expression(wait.expression).matches(self._data, name=record.name, **about)


def matches(wait: Wait, record: Record) -> bool:
    """Whether the event matches the wait."""
    return Matcher(record).ends(wait)


class Unmatched:
    """Waits for one name of events that have found none yet. Those with a path are found by the event's value there."""

    def __init__(self, waits: Iterable[Wait]) -> None:
        self._by_path: dict[str, dict[str, list[Wait]]] = {}
        for wait in waits:
            if not wait.path or wait.value:
                self._by_path.setdefault(wait.path, {}).setdefault(wait.value if wait.path else "", []).append(wait)

    def __bool__(self) -> bool:
        return bool(self._by_path)

    def any(self) -> Wait:
        """One of them."""
        return next(iter(next(iter(self._by_path.values())).values()))[0]

    def take(self, record: Record) -> list[Wait]:
        """Those that the event ends; they are unmatched no more."""
        event = Matcher(record)
        ended: list[Wait] = []
        for path in list(self._by_path):
            by_value = self._by_path[path]
            value = event.value(path) if path else ""
            left: list[Wait] = []
            for wait in by_value.pop(value, ()):
                (ended if event.ends(wait) else left).append(wait)
            if left:
                by_value[value] = left
            if not by_value:
                del self._by_path[path]
        return ended


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
