"""What is remembered of nodes: a row for each incarnation, until what it held is taken over."""

from ironflow.base.time import Millis
from ironflow.storage.port import Tx

# seen_at is of the database's clock, whatever the clocks of the nodes show.
SHOW = """INSERT INTO nodes (id, name, lock_key, started_at, seen_at)
VALUES (:id, :name, :lock_key, :started_at, {clock_ms})
ON CONFLICT (id) DO UPDATE SET lock_key = excluded.lock_key, seen_at = excluded.seen_at"""
# Where a pooler is between, the node has no lock and sends heartbeats.
_HAS_ENDED = "CASE WHEN lock_key = 0 THEN seen_at <= {clock_ms} - :silent_ms ELSE {lock_is_free} END"
ENDED = f"SELECT id, name FROM nodes WHERE id <> :own AND {_HAS_ENDED} ORDER BY id LIMIT :limit"
# One that shows itself again meanwhile stays.
FORGET = f"DELETE FROM nodes WHERE id = :id AND {_HAS_ENDED}"


def show(tx: Tx, node: str, name: str, lock_key: int, started_at: Millis) -> None:
    """Writes that the node is there now. lock_key: of the lock that it holds, 0 for none."""
    tx.run(SHOW, {"id": node, "name": name, "lock_key": lock_key, "started_at": started_at})


def ended(tx: Tx, own: str, silent_ms: Millis, limit: int) -> list[tuple[str, str]]:
    """(id, name) of incarnations that have ended. silent_ms: how long one without a lock may be silent."""
    return [(row[0], row[1]) for row in tx.rows(ENDED, {"own": own, "silent_ms": silent_ms, "limit": limit})]


def forget(tx: Tx, node: str, silent_ms: Millis) -> None:
    tx.run(FORGET, {"id": node, "silent_ms": silent_ms})
