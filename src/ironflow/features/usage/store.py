"""What is remembered of usage."""

from ironflow.base.time import DAY_MS, Millis
from ironflow.features.usage.rules import Chunk, Head, Usage
from ironflow.storage.port import Tx

HEAD = "SELECT counted, pass_cursor, passed_at FROM usage_heads WHERE name = 'usage'"
SAVE_HEAD = """UPDATE usage_heads SET counted = :counted, pass_cursor = :pass_cursor, passed_at = :passed_at
WHERE name = 'usage'"""
# The first and the last event of a chunk.
DAYS = f"""SELECT created_at / {DAY_MS} FROM events WHERE position IN (
  (SELECT min(position) FROM events WHERE position > :after AND position <= :until),
  (SELECT max(position) FROM events WHERE position > :after AND position <= :until))"""
# The length of a text is known without reading it; the columns behind it are not, on SQLite. Materialized, because the
# sorter of a GROUP BY would hold the texts themselves.
_SIZE = "octet_length(data) + coalesce(octet_length(metadata), 0) AS size"
_CHUNK = "FROM events WHERE position > :after AND position <= :until"
SUMS_OF_ONE_DAY = f"""WITH sizes AS MATERIALIZED (SELECT environment, {_SIZE} {_CHUNK})
SELECT environment, CAST(:day AS BIGINT), CAST(sum(size) AS BIGINT) FROM sizes GROUP BY environment"""
SUMS = f"""WITH sizes AS MATERIALIZED (SELECT environment, created_at / {DAY_MS} AS day, {_SIZE} {_CHUNK})
SELECT environment, day, CAST(sum(size) AS BIGINT) FROM sizes GROUP BY environment, day"""
ADD_DAY = """INSERT INTO usage_days (environment, day, event_bytes) VALUES (:environment, :day, :bytes)
ON CONFLICT (environment, day) DO UPDATE SET event_bytes = usage_days.event_bytes + excluded.event_bytes"""
ADD_TOTAL = """INSERT INTO usage_totals (environment, event_bytes, pass_bytes) VALUES (:environment, :bytes, :again)
ON CONFLICT (environment) DO UPDATE SET event_bytes = usage_totals.event_bytes + excluded.event_bytes,
pass_bytes = usage_totals.pass_bytes + excluded.pass_bytes"""
END_PASS = "UPDATE usage_totals SET event_bytes = pass_bytes, pass_bytes = 0"
DELETE_EMPTY = "DELETE FROM usage_totals WHERE event_bytes = 0"
DELETE_DAYS = "DELETE FROM usage_days WHERE day < :day"
DAY = "SELECT environment, event_bytes FROM usage_days WHERE day = :day"
STORED = """SELECT environment, CAST(sum(bytes) AS BIGINT) FROM (
  SELECT environment, event_bytes AS bytes FROM usage_totals
  UNION ALL SELECT environment, bytes_stored FROM kv_buckets) AS parts GROUP BY environment"""

# (environment, day, bytes)
Sum = tuple[str, int, int]


def head(tx: Tx, *, to_write: bool = False) -> Head:
    row = tx.row(HEAD + " {for_update}" if to_write else HEAD)
    return Head(*row) if row else Head(0, 0, 0)


def save_head(tx: Tx, head: Head) -> None:
    tx.run(SAVE_HEAD, head._asdict())


def sums(tx: Tx, chunk: Chunk) -> list[Sum]:
    """Bytes of the events of a chunk, by environment and day.

    A chunk whose first and last event are of one day counts for that day, imported events in between as well: reading
    the day of each would read its data, and fill the database's cache with it.
    """
    params = {"after": chunk.after, "until": chunk.until}
    days = {row[0] for row in tx.rows(DAYS, params)}
    rows = tx.rows(SUMS_OF_ONE_DAY, {**params, "day": days.pop()}) if len(days) == 1 else tx.rows(SUMS, params)
    return [(row[0], row[1], row[2]) for row in rows]


def add(tx: Tx, found: list[Sum]) -> None:
    """Adds new events."""
    tx.many(ADD_DAY, [{"environment": env, "day": day, "bytes": size} for env, day, size in found])
    tx.many(ADD_TOTAL, [{"environment": env, "bytes": size, "again": 0} for env, _, size in found])


def add_again(tx: Tx, found: list[Sum]) -> None:
    """Adds to the count of all events that is under way."""
    tx.many(ADD_TOTAL, [{"environment": env, "bytes": 0, "again": size} for env, _, size in found])


def end_pass(tx: Tx, oldest_day: int) -> None:
    """The count of all events has ended: it takes the place of the sum that was kept meanwhile."""
    tx.run(END_PASS)
    tx.run(DELETE_EMPTY)
    tx.run(DELETE_DAYS, {"day": oldest_day})


def usage(tx: Tx, day: int) -> dict[str, Usage]:
    """By environment."""
    today: dict[str, int] = {row[0]: row[1] for row in tx.rows(DAY, {"day": day})}
    stored: dict[str, int] = {row[0]: row[1] for row in tx.rows(STORED)}
    return {name: Usage(today.get(name, 0), stored.get(name, 0)) for name in today.keys() | stored.keys()}


def usage_at(tx: Tx, now: Millis) -> dict[str, Usage]:
    return usage(tx, now // DAY_MS)
