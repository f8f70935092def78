"""What is remembered of streams beside the log: their heads, read here, and snapshots."""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.log import heads
from ironflow.log.heads import Head
from ironflow.log.read import COLUMNS
from ironflow.log.record import Record
from ironflow.storage.port import Params, Tx

HEAD = f"SELECT {heads.COLUMNS} FROM streams WHERE environment = :environment AND entity_id = :entity_id"
_LIKE = "entity_id {ilike} :like ESCAPE '!'"

_EVENTS = f"""SELECT {COLUMNS} FROM events WHERE environment = :environment AND entity_id = :entity_id
 AND entity_version >= :first AND entity_version <= :last
 AND (:since = 0 OR created_at >= :since) AND (:until = 0 OR created_at < :until)"""
FORWARD = f"{_EVENTS} ORDER BY entity_version LIMIT :limit"
BELOW = f"""SELECT {COLUMNS} FROM events WHERE environment = :environment AND entity_id = :entity_id
 AND entity_version > :after AND entity_version < :below ORDER BY entity_version LIMIT :limit"""
BACKWARD = f"{_EVENTS} ORDER BY entity_version DESC LIMIT :limit"
OF_RUN = """SELECT DISTINCT entity_id FROM events
WHERE run_id = :run_id AND environment = :environment AND entity_id > :cursor ORDER BY entity_id LIMIT :limit"""

SAVE_SNAPSHOT = """INSERT INTO snapshots (environment, entity_id, entity_version, id, state, created_at)
VALUES (:environment, :entity_id, :entity_version, :id, :state, :created_at)
ON CONFLICT (environment, entity_id, entity_version) DO NOTHING RETURNING id"""
SNAPSHOT = """SELECT id, entity_version, state, created_at FROM snapshots
WHERE environment = :environment AND entity_id = :entity_id AND entity_version <= :last
ORDER BY entity_version DESC LIMIT 1"""
DROP_OLD_SNAPSHOTS = """DELETE FROM snapshots
WHERE environment = :environment AND entity_id = :entity_id AND entity_version <= (
 SELECT entity_version FROM snapshots WHERE environment = :environment AND entity_id = :entity_id
 ORDER BY entity_version DESC LIMIT 1 OFFSET :kept)"""


DROP_SNAPSHOTS = "DELETE FROM snapshots WHERE environment = :environment AND entity_id = :entity_id"
FEWER_EVENTS = """UPDATE streams SET event_count = event_count - :removed
WHERE environment = :environment AND entity_id = :entity_id"""


class SnapshotRow(NamedTuple):
    """state: JSON text."""

    id: str
    entity_version: int
    state: str
    created_at: Millis


def head(tx: Tx, environment: str, entity_id: str) -> Head | None:
    row = tx.row(HEAD, {"environment": environment, "entity_id": entity_id})
    return Head(*row) if row else None


def list_heads(
    tx: Tx, environment: str, entity_type: str, search: str, deleted: bool, cursor: str, limit: int, offset: int
) -> list[Head]:
    """By entity id, after `cursor`. entity_type, search: empty for any; search is text within the id.

    deleted: those that were deleted too.
    """
    where, params = _where(environment, entity_type, search, deleted)
    params |= {"cursor": cursor, "limit": limit, "offset": offset}
    sql = f"""SELECT {heads.COLUMNS} FROM streams WHERE {where} AND entity_id > :cursor
    ORDER BY entity_id LIMIT :limit OFFSET :offset"""
    return [Head(*row) for row in tx.rows(sql, params)]


def count_heads(tx: Tx, environment: str, entity_type: str, search: str, deleted: bool) -> int:
    where, params = _where(environment, entity_type, search, deleted)
    row = tx.row(f"SELECT count(*) FROM streams WHERE {where}", params)
    return row[0] if row else 0


def events(
    tx: Tx,
    environment: str,
    entity_id: str,
    *,
    first: int,
    last: int,
    backward: bool,
    limit: int,
    since: Millis = 0,
    until: Millis = 0,
) -> list[Record]:
    """Events of a stream with versions from `first` to `last`. since, until: 0 for any; `until` itself not."""
    params: Params = {
        "environment": environment,
        "entity_id": entity_id,
        "first": first,
        "last": last,
        "since": since,
        "until": until,
        "limit": limit,
    }
    return [Record(*row) for row in tx.rows(BACKWARD if backward else FORWARD, params)]


def entities_of_run(tx: Tx, environment: str, run_id: str, cursor: str, limit: int) -> list[str]:
    """Entities, by id after `cursor`, to whose streams the run appended."""
    params = {"environment": environment, "run_id": run_id, "cursor": cursor, "limit": limit}
    return [row[0] for row in tx.rows(OF_RUN, params)]


def add_snapshot(tx: Tx, environment: str, entity_id: str, snapshot: SnapshotRow) -> bool:
    """False when there is a snapshot of that version already."""
    params = {"environment": environment, "entity_id": entity_id, **snapshot._asdict()}
    return tx.row(SAVE_SNAPSHOT, params) is not None


def snapshot(tx: Tx, environment: str, entity_id: str, last: int) -> SnapshotRow | None:
    """The newest at or below version `last`."""
    row = tx.row(SNAPSHOT, {"environment": environment, "entity_id": entity_id, "last": last})
    return SnapshotRow(*row) if row else None


def drop_old_snapshots(tx: Tx, environment: str, entity_id: str, kept: int) -> int:
    """Removes all but the `kept` snapshots of the greatest versions; how many."""
    return tx.run(DROP_OLD_SNAPSHOTS, {"environment": environment, "entity_id": entity_id, "kept": kept})


def drop_snapshots(tx: Tx, environment: str, entity_id: str) -> None:
    tx.run(DROP_SNAPSHOTS, {"environment": environment, "entity_id": entity_id})


def events_below(tx: Tx, head: Head, after: int, limit: int) -> list[Record]:
    """Events of versions greater than `after`, without the last one, oldest first."""
    place: Params = {"environment": head.environment, "entity_id": head.entity_id}
    rows = tx.rows(BELOW, {**place, "after": after, "below": head.version, "limit": limit})
    return [Record(*row) for row in rows]


def count_fewer(tx: Tx, head: Head, removed: int) -> None:
    """That so many events of the stream were removed."""
    tx.run(FEWER_EVENTS, {"environment": head.environment, "entity_id": head.entity_id, "removed": removed})


def _where(environment: str, entity_type: str, search: str, deleted: bool) -> tuple[str, Params]:
    """Only conditions that are asked for, so that the fitting index is found."""
    parts = ["environment = :environment"]
    params: Params = {"environment": environment}
    if entity_type:
        parts.append("entity_type = :entity_type")
        params["entity_type"] = entity_type
    if not deleted:
        parts.append("deleted_at IS NULL")
    if search:
        text = search.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        parts.append(_LIKE)
        params["like"] = f"%{text}%"
    return " AND ".join(parts), params
