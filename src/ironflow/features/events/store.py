"""Recorded events besides a scan: names seen lately, times at positions, what retention removes."""

from typing import Any

from ironflow.base.time import Millis
from ironflow.features.events.rules import Mark
from ironflow.storage.port import Tx

_KINDS = "kind IN ('event', 'entity')"
RECENT_NAMES = f"""SELECT name FROM events {{by_position}} WHERE environment = :environment AND {_KINDS}
 AND (:since = 0 OR created_at >= :since) AND (:until = 0 OR created_at < :until) AND (:source = '' OR source = :source)
 AND position > :after ORDER BY position DESC LIMIT :limit"""
# Asked for together, both would be found by going through all of them.
IMPORTED = """SELECT (SELECT min(position) FROM events WHERE imported_at IS NOT NULL),
 (SELECT max(position) FROM events WHERE imported_at IS NOT NULL)"""
TIME_FROM = "SELECT created_at FROM events WHERE position >= :position ORDER BY position LIMIT 1"

MARKS_AFTER = """SELECT position, id, kind, COALESCE(imported_at, created_at) FROM events
WHERE position > :position ORDER BY position LIMIT :limit"""
DELETE = "DELETE FROM events WHERE id IN {each:ids}"


def recent_names(tx: Tx, **filters: Any) -> list[str]:
    """The names of the newest events, one for each event."""
    return [row[0] for row in tx.rows(RECENT_NAMES, filters)]


def imported_range(tx: Tx) -> tuple[int, int] | None:
    """The positions of the first and the last imported event; None when there is none."""
    row = tx.row(IMPORTED)
    return (row[0], row[1]) if row and row[0] is not None else None


def time_from(tx: Tx, position: int) -> Millis | None:
    """The time of the first event from `position` on; None when there is none."""
    row = tx.row(TIME_FROM, {"position": position})
    return row[0] if row else None


def marks_after(tx: Tx, position: int, limit: int) -> list[Mark]:
    """Records of all kinds and environments after `position`, in order, without what they say."""
    return [Mark(*row) for row in tx.rows(MARKS_AFTER, {"position": position, "limit": limit})]


def delete(tx: Tx, ids: list[str]) -> None:
    if ids:
        tx.run(DELETE, {"ids": ids})
