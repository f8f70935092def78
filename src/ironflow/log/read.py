"""Reading the log by position and by id."""

from ironflow.log.record import Kind, Record
from ironflow.log.topics import TopicPattern
from ironflow.storage.port import Tx

# Positions that one search for a pattern with wildcards goes through.
STRETCH = 2_000
COLUMNS = ", ".join(Record.__struct_fields__)
AFTER = f"SELECT {COLUMNS} FROM events WHERE position > :position ORDER BY position LIMIT :limit"
BY_IDS = f"SELECT {COLUMNS} FROM events WHERE id IN {{each:ids}}"
# Of one name: found by the index of names.
OF_NAME = f"""SELECT {COLUMNS} FROM events WHERE environment = :environment AND name = :first AND kind = :kind
 AND position > :position AND position <= :until ORDER BY position LIMIT :limit"""
# Of many names: the inner limit keeps the search in a stretch of the log, so that it never reads all of it.
IN_STRETCH = f"""SELECT {COLUMNS} FROM (
  SELECT {COLUMNS} FROM events WHERE position > :position AND position <= :until ORDER BY position LIMIT :stretch) AS s
WHERE kind = :kind AND environment = :environment AND name >= :first AND name <= :last
ORDER BY position LIMIT :limit"""
NEXT_POSITION = "SELECT min(position) FROM events WHERE position > :position"
COUNT_OF_NAME = """SELECT count(*) FROM (SELECT 1 FROM events WHERE environment = :environment AND name = :name
 AND kind = :kind AND position > :position LIMIT :limit) AS counted"""
HEAD = "SELECT position FROM log_head WHERE name = 'log'"
HEAD_TO_LOCK = HEAD + " {for_update}"


def read_after(tx: Tx, position: int, limit: int) -> list[Record]:
    """Up to `limit` records after `position`, in order."""
    return [Record(*row) for row in tx.rows(AFTER, {"position": position, "limit": limit})]


def records(tx: Tx, ids: list[str]) -> dict[str, Record]:
    """The records with these ids, by id; missing ones are left out."""
    return {row[0]: Record(*row) for row in tx.rows(BY_IDS, {"ids": ids})}


def head(tx: Tx) -> int:
    """The last position given, 0 when the log is empty."""
    row = tx.row(HEAD)
    return row[0] if row else 0


def of_topic(
    tx: Tx, environment: str, pattern: TopicPattern, position: int, until: int, limit: int
) -> tuple[list[Record], int]:
    """Records after `position` and up to `until` that fit the pattern, in order, and up to where the log was searched.

    At most `limit` of them, and at most STRETCH positions when the pattern has wildcards: until it was searched up to
    `until`, more may follow. until: not beyond the head that was read before, or records may be missed.
    """
    asked = {
        "environment": environment,
        "kind": pattern.kind,
        "first": pattern.first,
        "last": pattern.last,
        "position": position,
        "limit": limit,
    }
    if pattern.name is not None:
        found = [Record(*row) for row in tx.rows(OF_NAME, asked | {"until": until})]
        return found, found[-1].position if len(found) == limit else until
    end = min(until, position + STRETCH)
    rows = [Record(*row) for row in tx.rows(IN_STRETCH, asked | {"until": end, "stretch": STRETCH})]
    if len(rows) == limit:
        end = rows[-1].position
    elif not rows and end < until:
        # Where old records were removed, the log goes on much later.
        row = tx.row(NEXT_POSITION, {"position": end})
        end = max(end, min(row[0] - 1, until)) if row and row[0] else until
    return [record for record in rows if pattern.fits(record)], end


def count_of_name(tx: Tx, environment: str, kind: Kind, name: str, position: int, limit: int) -> int:
    """How many records of that name are after `position`, counted up to `limit`."""
    params = {"environment": environment, "kind": kind, "name": name, "position": position, "limit": limit}
    row = tx.row(COUNT_OF_NAME, params)
    return row[0] if row else 0


def lock_head(tx: Tx) -> int:
    """The last position given; until this transaction commits nobody is given another."""
    row = tx.row(HEAD_TO_LOCK)
    return row[0] if row else 0
