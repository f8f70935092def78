"""What is remembered of nodes: a row for each incarnation, until what it held is taken over."""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.storage.port import Tx

# seen_at is of the database's clock, whatever the clocks of the nodes show.
SHOW = """INSERT INTO nodes (id, name, lock_key, database_start, started_at, seen_at)
VALUES (:id, :name, :lock_key, :database_start, :started_at, {clock_ms})
ON CONFLICT (id) DO UPDATE SET lock_key = excluded.lock_key, database_start = excluded.database_start,
 seen_at = excluded.seen_at"""
DATABASE_START = "SELECT {database_start}"
_IS_SILENT = "seen_at <= {clock_ms} - :silent_ms"
# Where a pooler is between, the node has no lock and sends heartbeats. After a restart or a failover of the database
# all locks are free, and say nothing: a node has time to take its lock there.
_HAS_ENDED = f"""CASE WHEN lock_key = 0 THEN {_IS_SILENT} ELSE {{lock_is_free}}
 AND (database_start = {{database_start}} OR (:settled = 1 AND {_IS_SILENT})) END"""
ENDED = f"SELECT id, name FROM nodes WHERE id <> :own AND {_HAS_ENDED} ORDER BY id LIMIT :limit"
# One that shows itself again meanwhile stays.
FORGET = f"DELETE FROM nodes WHERE id = :id AND {_HAS_ENDED}"


class Patience(NamedTuple):
    """silent_ms: how long a node may be silent that no lock shows as alive or as ended.

    settled: whether the database was started so long ago that a node would have taken its lock anew.
    """

    silent_ms: Millis
    settled: bool


def show(tx: Tx, node: str, name: str, lock_key: int, database_start: str, started_at: Millis) -> None:
    """Writes that the node is there now. lock_key: of the lock that it holds, 0 for none."""
    about = {"id": node, "name": name, "lock_key": lock_key, "database_start": database_start}
    tx.run(SHOW, {**about, "started_at": started_at})


def database_start(tx: Tx) -> str:
    """Which start of the database this is: it has changed when locks are gone without an end of their holders."""
    row = tx.row(DATABASE_START)
    return row[0] if row is not None else ""


def ended(tx: Tx, own: str, patience: Patience, limit: int) -> list[tuple[str, str]]:
    """(id, name) of incarnations that have ended."""
    params = {"own": own, "silent_ms": patience.silent_ms, "settled": int(patience.settled), "limit": limit}
    return [(row[0], row[1]) for row in tx.rows(ENDED, params)]


def forget(tx: Tx, node: str, patience: Patience) -> None:
    tx.run(FORGET, {"id": node, "silent_ms": patience.silent_ms, "settled": int(patience.settled)})
