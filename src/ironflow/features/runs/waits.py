"""What is remembered of events that runs wait for, and of events that cancel them.

Matching costs what matches: a wait is found by event name, path and value. `wait_shapes` says which paths anybody
waits by for a name; it has as many rows as there are kinds of waits.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from ironflow.base.cel import expression
from ironflow.base.json import read_json
from ironflow.base.path import compiled_path, value_text
from ironflow.base.pattern import compiled, is_pattern, literal_prefix
from ironflow.log.read import lock_head
from ironflow.log.record import Record
from ironflow.storage.port import Tx

Kind = Literal["wait", "cancel"]


class Wait(NamedTuple):
    """kind: `wait` completes the step, `cancel` ends the run. step_id: for `cancel` the place of its spec.

    value: as `base.path.value_text` writes it. path: empty for no matter.
    """

    run_id: str
    kind: Kind
    step_id: str
    environment: str
    event: str
    path: str
    value: str
    expression: str


class _Place(NamedTuple):
    """Where waits are found: by the value that an event of this name has at a path."""

    environment: str
    event_key: str
    path: str
    value: str


_COLUMNS = "run_id, kind, step_id, environment, event, path, value, expression"
ADD = f"""INSERT INTO waits ({_COLUMNS}, event_key)
VALUES (:run_id, :kind, :step_id, :environment, :event, :path, :value, :expression, :event_key)
ON CONFLICT (run_id, kind, step_id) DO UPDATE SET event = excluded.event, path = excluded.path,
 value = excluded.value, expression = excluded.expression, event_key = excluded.event_key"""
ADD_SHAPE = """INSERT INTO wait_shapes (environment, event_key, path) VALUES (:environment, :event_key, :path)
ON CONFLICT (environment, event_key, path) DO NOTHING"""
DROP = "DELETE FROM waits WHERE run_id = :run_id AND kind = 'wait' AND step_id = :step_id"
DROP_WAITS = "DELETE FROM waits WHERE run_id = :run_id AND kind = 'wait'"
DROP_ALL = "DELETE FROM waits WHERE run_id = :run_id"
FORGET_SHAPES = """DELETE FROM wait_shapes WHERE (environment, event_key, path) IN (
 SELECT s.environment, s.event_key, s.path FROM wait_shapes s WHERE NOT EXISTS (
  SELECT 1 FROM waits w WHERE w.environment = s.environment AND w.event_key = s.event_key AND w.path = s.path)
 LIMIT :limit)"""
SHAPES = "SELECT environment, event_key, path FROM wait_shapes WHERE event_key IN {each:keys}"
FOUND = f"""SELECT {_COLUMNS} FROM waits
WHERE environment = :environment AND event_key = :event_key AND path = :path AND value IN {{each:values}}
ORDER BY run_id"""


def add(tx: Tx, waits: list[Wait]) -> None:
    """Keeps waits. Holds the log's head, as whoever forgets shapes does: a shape in use is not forgotten."""
    lock_head(tx)
    params = [{**wait._asdict(), "event_key": _key_of(wait.event)} for wait in waits]
    tx.many(ADD, params)
    shapes = {(each["environment"], each["event_key"], each["path"]) for each in params}
    tx.many(ADD_SHAPE, [{"environment": each[0], "event_key": each[1], "path": each[2]} for each in sorted(shapes)])


def drop(tx: Tx, places: list[tuple[str, str]]) -> None:
    """Forgets waits by (run id, step id)."""
    tx.many(DROP, [{"run_id": run_id, "step_id": step_id} for run_id, step_id in places])


def drop_waits(tx: Tx, run_id: str) -> None:
    """Forgets what the run waits for; what cancels it stays."""
    tx.run(DROP_WAITS, {"run_id": run_id})


def drop_all(tx: Tx, run_ids: list[str]) -> None:
    """Forgets everything that these runs wait for or are cancelled by."""
    tx.many(DROP_ALL, [{"run_id": run_id} for run_id in run_ids])


def matching(tx: Tx, records: list[Record]) -> list[tuple[Record, Wait]]:
    """The waits that events match, in the events' order."""
    keys = {key for record in records for key in _keys_for(record.name)}
    shapes: dict[tuple[str, str], list[str]] = {}
    for environment, event_key, path in tx.rows(SHAPES, {"keys": sorted(keys)}):
        shapes.setdefault((environment, event_key), []).append(path)
    if not shapes:
        return []
    asked = [(record, place) for record in records for place in _places(record, shapes)]
    waiting = _waiting(tx, {place for _, place in asked})
    return [(record, wait) for record, place in asked for wait in waiting.get(place, ()) if matches(wait, record)]


def matches(wait: Wait, record: Record) -> bool:
    """Whether the event is one that the wait is for. Source: protocol/step-semantics.md 5, "Match semantics"."""
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


def forget_shapes(tx: Tx, limit: int) -> int:
    """Forgets up to `limit` shapes that nobody waits by any more; how many."""
    lock_head(tx)
    return tx.run(FORGET_SHAPES, {"limit": limit})


def _places(record: Record, shapes: dict[tuple[str, str], list[str]]) -> Iterator[_Place]:
    """Where waits may be that the event matches."""
    for event_key in _keys_for(record.name):
        for path in shapes.get((record.environment, event_key), ()):
            value = value_text(compiled_path(path)(read_json(record.data))) if path else ""
            if value or not path:
                yield _Place(record.environment, event_key, path, value)


def _waiting(tx: Tx, places: set[_Place]) -> dict[_Place, list[Wait]]:
    """The waits at these places: one statement for all values of a path."""
    values: dict[tuple[str, str, str], list[str]] = {}
    for place in sorted(places):
        values.setdefault(place[:3], []).append(place.value)
    found: dict[_Place, list[Wait]] = {}
    for (environment, event_key, path), wanted in values.items():
        params = {"environment": environment, "event_key": event_key, "path": path, "values": wanted}
        for row in tx.rows(FOUND, params):
            wait = Wait(*row)
            found.setdefault(_Place(environment, event_key, path, wait.value), []).append(wait)
    return found


def _key_of(event: str) -> str:
    """Under what a wait is looked up: the name, or a pattern's text before the wildcard, up to a dot, and `*`."""
    if not is_pattern(event):
        return event
    prefix = literal_prefix(event)
    return prefix[: prefix.rfind(".") + 1] + "*"


def _keys_for(name: str) -> list[str]:
    """Every key under which a wait for this name may be."""
    keys = [name, "*"]
    end = name.find(".")
    while end >= 0:
        keys.append(name[: end + 1] + "*")
        end = name.find(".", end + 1)
    return keys
