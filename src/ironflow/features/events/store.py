"""The log read by its users' filters."""

from typing import Any

from ironflow.log.read import COLUMNS
from ironflow.log.record import Record
from ironflow.storage.port import Tx

_FILTER = """FROM events WHERE environment = :environment AND kind IN ('event', 'entity')
 AND position < :before AND position > :after
 AND (:since = 0 OR created_at >= :since) AND (:until = 0 OR created_at < :until)
 AND (:source = '' OR source = :source) AND (:search = '' OR data {ilike} :like OR id = :search)"""
NEWEST = f"SELECT {COLUMNS} {_FILTER} AND (:any_name = 1 OR name IN {{each:names}}) ORDER BY position DESC LIMIT :limit"
OLDEST = f"SELECT {COLUMNS} {_FILTER} AND (:any_name = 1 OR name IN {{each:names}}) ORDER BY position LIMIT :limit"
RECENT_NAMES = """SELECT name FROM events WHERE environment = :environment AND kind IN ('event', 'entity')
 AND (:since = 0 OR created_at >= :since) AND (:until = 0 OR created_at < :until) AND (:source = '' OR source = :source)
ORDER BY position DESC LIMIT :limit"""
DISTINCT_NAMES = """SELECT DISTINCT name FROM events WHERE environment = :environment"""


def page(tx: Tx, newest_first: bool, names: list[str] | None, **filters: Any) -> list[Record]:
    """Events that pass the filters. names: exact names, None for any. See `_FILTER` for the others."""
    params = {"any_name": 1 if names is None else 0, "names": names or [], **filters}
    return [Record(*row) for row in tx.rows(NEWEST if newest_first else OLDEST, params)]


def distinct_names(tx: Tx, environment: str) -> list[str]:
    return [row[0] for row in tx.rows(DISTINCT_NAMES, {"environment": environment})]


def recent_names(tx: Tx, **filters: Any) -> list[str]:
    """The names of the newest events, one for each event."""
    return [row[0] for row in tx.rows(RECENT_NAMES, filters)]
