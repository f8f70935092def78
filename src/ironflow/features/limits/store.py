"""What is remembered of limits."""

from ironflow.features.limits.rules import LimitRow
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(LimitRow._fields)
SAVE = f"""INSERT INTO limits ({_COLUMNS}) VALUES ({", ".join(f":{name}" for name in LimitRow._fields)})
ON CONFLICT (subject) DO UPDATE SET requests_per_second = excluded.requests_per_second, burst = excluded.burst,
connections = excluded.connections, event_bytes_per_day = excluded.event_bytes_per_day,
stored_bytes = excluded.stored_bytes"""
AFTER = f"SELECT {_COLUMNS} FROM limits WHERE subject > :cursor ORDER BY subject LIMIT :limit"
ALL = f"SELECT {_COLUMNS} FROM limits ORDER BY subject"
DELETE = "DELETE FROM limits WHERE subject = :subject"


def save(tx: Tx, limit: LimitRow) -> None:
    tx.run(SAVE, limit._asdict())


def limits_after(tx: Tx, cursor: str, limit: int) -> list[LimitRow]:
    """By subject, after `cursor`."""
    return [LimitRow(*row) for row in tx.rows(AFTER, {"cursor": cursor, "limit": limit})]


def all_limits(tx: Tx) -> list[LimitRow]:
    return [LimitRow(*row) for row in tx.rows(ALL)]


def delete(tx: Tx, subject: str) -> bool:
    """Whether there was one."""
    return tx.run(DELETE, {"subject": subject}) > 0
