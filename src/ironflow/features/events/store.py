"""The log read by its users' filters. Every statement looks at a bounded piece of the log, however few events fit."""

from typing import Any, NamedTuple

from ironflow.base.time import Millis
from ironflow.features.events.rules import Mark
from ironflow.log.read import COLUMNS
from ironflow.log.record import Record
from ironflow.storage.port import Tx

_KINDS = "kind IN ('event', 'entity')"
_PIECE = f"""FROM events {{by_position}} WHERE position >= :lowest AND position <= :highest
 AND environment = :environment AND {_KINDS}
 AND (:since = 0 OR created_at >= :since) AND (:until = 0 OR created_at < :until)
 AND (:source = '' OR source = :source) AND (:search = '' OR data {{ilike}} :like OR id = :search)
 AND (:any_name = 1 OR name IN {{each:names}})"""
NEWEST = f"SELECT {COLUMNS} {_PIECE} ORDER BY position DESC LIMIT :limit"
OLDEST = f"SELECT {COLUMNS} {_PIECE} ORDER BY position LIMIT :limit"
# The nearest event of each name: a look into the index by name for each.
NEWEST_OF_NAME = """SELECT max(position) FROM events
WHERE environment = :environment AND name = :name AND position <= :position"""
OLDEST_OF_NAME = """SELECT min(position) FROM events
WHERE environment = :environment AND name = :name AND position >= :position"""
NEXT_NAME = "SELECT min(name) FROM events WHERE environment = :environment AND name > :name"
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


class Wanted(NamedTuple):
    """Which events. names: exact, None for any. since, until: 0 for no bound. search: text in the data, or an id."""

    environment: str
    names: list[str] | None = None
    source: str = ""
    search: str = ""
    since: Millis = 0
    until: Millis = 0


def piece(tx: Tx, wanted: Wanted, lowest: int, highest: int, limit: int, *, newest_first: bool) -> list[Record]:
    """Up to `limit` wanted events at positions from `lowest` to `highest`."""
    params = {
        **wanted._asdict(),
        "any_name": int(wanted.names is None),
        "names": wanted.names or [],
        "like": f"%{wanted.search}%",
        "lowest": lowest,
        "highest": highest,
        "limit": limit,
    }
    return [Record(*row) for row in tx.rows(NEWEST if newest_first else OLDEST, params)]


def nearest(tx: Tx, environment: str, names: list[str], position: int, *, newest_first: bool) -> int | None:
    """The position, at or before `position` (at or after it with newest_first off), of an event with such a name."""
    sql, choose = (NEWEST_OF_NAME, max) if newest_first else (OLDEST_OF_NAME, min)
    found = [tx.row(sql, {"environment": environment, "name": name, "position": position}) for name in names]
    return choose((row[0] for row in found if row and row[0] is not None), default=None)


def distinct_names(tx: Tx, environment: str, most: int) -> list[str]:
    """Names of events in order, at most `most` of them: one look into the index for each."""
    names: list[str] = []
    name = ""
    while len(names) < most:
        row = tx.row(NEXT_NAME, {"environment": environment, "name": name})
        if row is None or row[0] is None:
            break
        name = row[0]
        names.append(name)
    return names


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
