"""What is remembered of gathered events: one row for each lane, with the last event."""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.storage.port import Tx


class Gathered(NamedTuple):
    """A lane. key: what the function's key path found in the events, empty without one."""

    id: str
    environment: str
    function_id: str
    key: str
    event_id: str
    events: int
    first_at: Millis
    fire_at: Millis


_COLUMNS = ", ".join(Gathered._fields)
LANE = f"""SELECT {_COLUMNS} FROM debounces
WHERE environment = :environment AND function_id = :function_id AND key = :key {{for_update}}"""
SAVE = f"""INSERT INTO debounces ({_COLUMNS})
VALUES (:id, :environment, :function_id, :key, :event_id, :events, :first_at, :fire_at)
ON CONFLICT (environment, function_id, key) DO UPDATE SET event_id = excluded.event_id, fire_at = excluded.fire_at,
 events = debounces.events + 1"""
DUE = f"SELECT {_COLUMNS} FROM debounces WHERE fire_at <= :now ORDER BY fire_at LIMIT :limit {{skip_locked}}"
DROP = "DELETE FROM debounces WHERE id = :id"
DROP_OWN = f"DELETE FROM debounces WHERE id = :id AND environment = :environment RETURNING {_COLUMNS}"
NEXT = "SELECT min(fire_at) FROM debounces"
GATHERED = "SELECT event_id FROM debounces WHERE event_id IN {each:event_ids}"
GATHERED_OF = GATHERED + " AND function_id = :function_id"
LIST = f"""SELECT {_COLUMNS} FROM debounces WHERE environment = :environment AND id > :cursor
 AND (:function_id = '' OR function_id = :function_id) ORDER BY id LIMIT :limit"""


def lane(tx: Tx, environment: str, function_id: str, key: str) -> Gathered | None:
    """The pending lane of that key, locked on PostgreSQL."""
    row = tx.row(LANE, {"environment": environment, "function_id": function_id, "key": key})
    return Gathered(*row) if row else None


def save(tx: Tx, lane: Gathered) -> None:
    """A new lane, or the last event and the time of one that is pending. Notifies `debounces`."""
    tx.run(SAVE, lane._asdict())
    tx.notify("debounces")


def take_due(tx: Tx, now: Millis, limit: int) -> list[Gathered]:
    """Removes up to `limit` due lanes and returns them, earliest first."""
    due = [Gathered(*row) for row in tx.rows(DUE, {"now": now, "limit": limit})]
    tx.many(DROP, [{"id": each.id} for each in due])
    return due


def next_due(tx: Tx) -> Millis | None:
    """When the earliest lane fires, None without any."""
    row = tx.row(NEXT)
    return row[0] if row else None


def lanes_after(tx: Tx, environment: str, function_id: str, cursor: str, limit: int) -> list[Gathered]:
    params = {"environment": environment, "function_id": function_id, "cursor": cursor, "limit": limit}
    return [Gathered(*row) for row in tx.rows(LIST, params)]


def drop(tx: Tx, environment: str, lane_id: str) -> Gathered | None:
    """Removes a lane; what it was, None when it is not there."""
    row = tx.row(DROP_OWN, {"environment": environment, "id": lane_id})
    return Gathered(*row) if row else None


def gathered(tx: Tx, event_ids: list[str]) -> set[str]:
    return {row[0] for row in tx.rows(GATHERED, {"event_ids": event_ids})}


def gathered_of(tx: Tx, function_id: str, event_ids: list[str]) -> set[str]:
    return {row[0] for row in tx.rows(GATHERED_OF, {"function_id": function_id, "event_ids": event_ids})}
