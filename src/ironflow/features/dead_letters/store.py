"""What is remembered of dead letters."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ironflow.base.time import Millis
from ironflow.storage.port import Tx

INSERT = """INSERT INTO dead_letters (group_id, position, event_id, topic, reason, attempts, dead_at)
VALUES (:group_id, :position, :event_id, :topic, :reason, :attempts, :dead_at)
ON CONFLICT (group_id, position) DO UPDATE SET reason = excluded.reason, attempts = excluded.attempts,
 dead_at = excluded.dead_at"""
_COLUMNS = "group_id, position, event_id, topic, reason, attempts, dead_at"
AFTER = f"""SELECT {_COLUMNS} FROM dead_letters WHERE group_id = :group_id AND position > :position
 AND dead_at <= :until AND (:reason = '' OR reason LIKE :reason_like ESCAPE '!')
ORDER BY position LIMIT :limit"""
BY_EVENT = f"""SELECT {_COLUMNS} FROM dead_letters
WHERE group_id = :group_id AND event_id IN {{each:event_ids}} ORDER BY position"""
COUNT = "SELECT count(*) FROM dead_letters WHERE group_id = :group_id"
DELETE = "DELETE FROM dead_letters WHERE group_id = :group_id AND position = :position"
DELETE_OF_GROUP = "DELETE FROM dead_letters WHERE group_id = :group_id"
DELETE_OLD = """DELETE FROM dead_letters WHERE dead_at <= :oldest AND (group_id, position) IN (
  SELECT group_id, position FROM dead_letters WHERE dead_at <= :oldest ORDER BY dead_at LIMIT :limit)"""
FIRST = """SELECT group_id, min(position) AS first FROM dead_letters GROUP BY group_id ORDER BY first LIMIT 1"""


class DeadLetter(NamedTuple):
    """A dead letter as it is stored. position: of its event in the log. topic: empty when the event is not kept."""

    group_id: str
    position: int
    event_id: str
    topic: str
    reason: str
    attempts: int
    dead_at: Millis


def add(tx: Tx, dead_letters: Sequence[DeadLetter]) -> None:
    tx.many(INSERT, [each._asdict() for each in dead_letters])


def after(tx: Tx, group_id: str, position: int, reason: str, until: Millis, limit: int) -> list[DeadLetter]:
    """Dead letters by position, those after `position` that were added at `until` or before.

    reason: a part of it, empty for any.
    """
    escaped = reason.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    params: dict[str, Any] = {
        "group_id": group_id,
        "position": position,
        "reason": reason,
        "reason_like": f"%{escaped}%",
        "until": until,
        "limit": limit,
    }
    return [DeadLetter(*row) for row in tx.rows(AFTER, params)]


def of_events(tx: Tx, group_id: str, event_ids: Sequence[str]) -> list[DeadLetter]:
    return [DeadLetter(*row) for row in tx.rows(BY_EVENT, {"group_id": group_id, "event_ids": list(event_ids)})]


def count(tx: Tx, group_id: str) -> int:
    row = tx.row(COUNT, {"group_id": group_id})
    return row[0] if row else 0


def delete(tx: Tx, dead_letters: Iterable[DeadLetter]) -> None:
    tx.many(DELETE, [{"group_id": each.group_id, "position": each.position} for each in dead_letters])


def delete_of_group(tx: Tx, group_id: str) -> None:
    tx.run(DELETE_OF_GROUP, {"group_id": group_id})


def delete_old(tx: Tx, oldest: Millis, limit: int) -> int:
    """Deletes up to `limit` dead letters that were added at `oldest` or before; how many."""
    return tx.run(DELETE_OLD, {"oldest": oldest, "limit": limit})


def first(tx: Tx) -> tuple[str, int] | None:
    """(group id, position) of the dead letter with the lowest position."""
    row = tx.row(FIRST)
    return (row[0], row[1]) if row else None
