"""What is remembered of waits.

Matching costs what matches: a wait is found by event name, path and value. `wait_shapes` lists the paths of all waits
for a name; it has one row for each kind of wait.
"""

from collections.abc import Iterator

from ironflow.base.message_waits import message_name
from ironflow.features.waits.rules import Lookup, Matcher, Wait, key_of, keys_for
from ironflow.log.read import lock_head
from ironflow.log.record import Record
from ironflow.storage.port import Tx

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
CANCELS = f"SELECT {_COLUMNS} FROM waits WHERE run_id = :run_id AND kind = 'cancel'"
HAND_OVER = "UPDATE waits SET run_id = :to WHERE run_id = :run_id AND kind = 'cancel'"
FORGET_SHAPES = """DELETE FROM wait_shapes WHERE (environment, event_key, path) IN (
 SELECT s.environment, s.event_key, s.path FROM wait_shapes s WHERE NOT EXISTS (
  SELECT 1 FROM waits w WHERE w.environment = s.environment AND w.event_key = s.event_key AND w.path = s.path)
 LIMIT :limit)"""
SHAPES = "SELECT environment, event_key, path FROM wait_shapes WHERE event_key IN {each:keys}"
FOUND = f"""SELECT {_COLUMNS} FROM waits
WHERE environment = :environment AND event_key = :event_key AND path = :path AND value IN {{each:values}}
ORDER BY run_id"""


def add(tx: Tx, waits: list[Wait]) -> None:
    """Stores waits. Locks the log's head, as `forget_shapes` does, so that a shape in use is not deleted."""
    found = [wait for wait in waits if message_name(wait.event) is None]
    if found:
        lock_head(tx)
    tx.many(ADD, [{**wait._asdict(), "event_key": key_of(wait.event)} for wait in waits])
    # Messages are addressed to their run: no event is compared with these waits.
    shapes = {(wait.environment, key_of(wait.event), wait.path) for wait in found}
    tx.many(ADD_SHAPE, [{"environment": each[0], "event_key": each[1], "path": each[2]} for each in sorted(shapes)])


def drop(tx: Tx, steps: list[tuple[str, str]]) -> None:
    """Deletes waits by (run id, step id)."""
    tx.many(DROP, [{"run_id": run_id, "step_id": step_id} for run_id, step_id in steps])


def drop_waits(tx: Tx, run_id: str) -> None:
    """Deletes what the run waits for, and keeps what cancels it."""
    tx.run(DROP_WAITS, {"run_id": run_id})


def drop_all(tx: Tx, run_ids: list[str]) -> None:
    """Deletes everything that these runs wait for or are cancelled by."""
    tx.many(DROP_ALL, [{"run_id": run_id} for run_id in run_ids])


def cancels(tx: Tx, run_id: str) -> list[Wait]:
    """What cancels the run."""
    return [Wait(*row) for row in tx.rows(CANCELS, {"run_id": run_id})]


def hand_over(tx: Tx, run_id: str, to: str) -> None:
    """What cancels the run cancels another from now on."""
    tx.run(HAND_OVER, {"run_id": run_id, "to": to})


def matching(tx: Tx, records: list[Record]) -> list[tuple[Record, Wait]]:
    """The waits that events match, in the events' order."""
    keys = {key for record in records for key in keys_for(record.name)}
    shapes: dict[tuple[str, str], list[str]] = {}
    for environment, event_key, path in tx.rows(SHAPES, {"keys": sorted(keys)}):
        shapes.setdefault((environment, event_key), []).append(path)
    if not shapes:
        return []
    events = [Matcher(record) for record in records]
    lookups = [(event, lookup) for event in events for lookup in _lookups(event, shapes)]
    waiting = _waiting(tx, {lookup for _, lookup in lookups})
    return [(event.record, wait) for event, lookup in lookups for wait in waiting.get(lookup, ()) if event.ends(wait)]


def forget_shapes(tx: Tx, limit: int) -> int:
    """Deletes up to `limit` shapes that no wait has any more. Returns how many."""
    lock_head(tx)
    return tx.run(FORGET_SHAPES, {"limit": limit})


def _lookups(event: Matcher, shapes: dict[tuple[str, str], list[str]]) -> Iterator[Lookup]:
    """The lookups under which waits for the event are found."""
    record = event.record
    for event_key in keys_for(record.name):
        for path in shapes.get((record.environment, event_key), ()):
            value = event.value(path) if path else ""
            if value or not path:
                yield Lookup(record.environment, event_key, path, value)


def _waiting(tx: Tx, lookups: set[Lookup]) -> dict[Lookup, list[Wait]]:
    """The waits of these lookups: one statement for all values of a path."""
    values: dict[tuple[str, str, str], list[str]] = {}
    for lookup in sorted(lookups):
        values.setdefault(lookup[:3], []).append(lookup.value)
    found: dict[Lookup, list[Wait]] = {}
    for (environment, event_key, path), wanted in values.items():
        params = {"environment": environment, "event_key": event_key, "path": path, "values": wanted}
        for row in tx.rows(FOUND, params):
            wait = Wait(*row)
            found.setdefault(Lookup(environment, event_key, path, wait.value), []).append(wait)
    return found
