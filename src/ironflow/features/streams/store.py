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
BACKWARD = f"{_EVENTS} ORDER BY entity_version DESC LIMIT :limit"
OF_RUN = """SELECT DISTINCT entity_id FROM events
WHERE run_id = :run_id AND environment = :environment AND entity_id > :cursor ORDER BY entity_id LIMIT :limit"""

SAVE_SNAPSHOT = """INSERT INTO snapshots (environment, entity_id, entity_version, id, state, created_at)
VALUES (:environment, :entity_id, :entity_version, :id, :state, :created_at)
ON CONFLICT (environment, entity_id, entity_version) DO UPDATE SET id = excluded.id, state = excluded.state,
 created_at = excluded.created_at"""
SNAPSHOT = """SELECT id, entity_version, state, created_at FROM snapshots
WHERE environment = :environment AND entity_id = :entity_id AND entity_version <= :last
ORDER BY entity_version DESC LIMIT 1"""
DROP_OLD_SNAPSHOTS = """DELETE FROM snapshots
WHERE environment = :environment AND entity_id = :entity_id AND entity_version <= (
 SELECT entity_version FROM snapshots WHERE environment = :environment AND entity_id = :entity_id
 ORDER BY entity_version DESC LIMIT 1 OFFSET :kept)"""


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
    tx: Tx, environment: str, entity_type: str, search: str, cursor: str, limit: int, offset: int
) -> list[Head]:
    """By entity id, after `cursor`. entity_type, search: empty for any; search is text within the id."""
    where, params = _where(environment, entity_type, search)
    params |= {"cursor": cursor, "limit": limit, "offset": offset}
    sql = f"""SELECT {heads.COLUMNS} FROM streams WHERE {where} AND entity_id > :cursor
    ORDER BY entity_id LIMIT :limit OFFSET :offset"""
    return [Head(*row) for row in tx.rows(sql, params)]


def count_heads(tx: Tx, environment: str, entity_type: str, search: str) -> int:
    where, params = _where(environment, entity_type, search)
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


def save_snapshot(tx: Tx, environment: str, entity_id: str, snapshot: SnapshotRow) -> None:
    tx.run(SAVE_SNAPSHOT, {"environment": environment, "entity_id": entity_id, **snapshot._asdict()})


def snapshot(tx: Tx, environment: str, entity_id: str, last: int) -> SnapshotRow | None:
    """The newest at or below version `last`."""
    row = tx.row(SNAPSHOT, {"environment": environment, "entity_id": entity_id, "last": last})
    return SnapshotRow(*row) if row else None


def drop_old_snapshots(tx: Tx, environment: str, entity_id: str, kept: int) -> int:
    """Removes all but the `kept` snapshots of the greatest versions; how many."""
    return tx.run(DROP_OLD_SNAPSHOTS, {"environment": environment, "entity_id": entity_id, "kept": kept})


def _where(environment: str, entity_type: str, search: str) -> tuple[str, Params]:
    """Only conditions that are asked for, so that the fitting index is found."""
    parts = ["environment = :environment"]
    params: Params = {"environment": environment}
    if entity_type:
        parts.append("entity_type = :entity_type")
        params["entity_type"] = entity_type
    if search:
        text = search.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        parts.append(_LIKE)
        params["like"] = f"%{text}%"
    return " AND ".join(parts), params
