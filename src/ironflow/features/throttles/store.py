"""Throttled starts: at most `limit` starts in any `period`, for each key. No start is dropped.

The last `limit` starts of a key are kept; the next one may not come before the oldest of them is a period old.
"""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.engine.commands import Create
from ironflow.storage.port import Tx


class Throttled(NamedTuple):
    """At most `limit` runs with this key start in any `period_ms`. key: empty where the throttle has none."""

    limit: int
    period_ms: int
    key: str


LOCK = "{lock_key}"
STARTS = """SELECT number, start_at FROM throttle_starts
WHERE environment = :environment AND function_id = :function_id AND key = :key ORDER BY number DESC LIMIT :limit"""
ADD = """INSERT INTO throttle_starts (environment, function_id, key, number, start_at)
VALUES (:environment, :function_id, :key, :number, :start_at)"""
FORGET = """DELETE FROM throttle_starts
WHERE environment = :environment AND function_id = :function_id AND key = :key AND number <= :number"""
FORGET_OLD = """DELETE FROM throttle_starts WHERE start_at < :oldest"""


def next_start(tx: Tx, command: Create, throttled: Throttled, now: Millis) -> Millis | None:
    """Reserves the next start. Returns its time, None for now."""
    key = {
        "environment": command.environment,
        "function_id": command.function_id,
        "key": throttled.key,
    }
    tx.rows(LOCK, {"lock": "throttle/" + "/".join(key.values())})
    starts = tx.rows(STARTS, {**key, "limit": throttled.limit})
    start_at = now
    if len(starts) == throttled.limit:
        start_at = max(now, starts[-1][1] + throttled.period_ms)
    number = starts[0][0] + 1 if starts else 1
    tx.run(ADD, {**key, "number": number, "start_at": start_at})
    tx.run(FORGET, {**key, "number": number - throttled.limit})
    return start_at if start_at > now else None


def forget_old(tx: Tx, oldest: Millis) -> int:
    """Deletes starts before `oldest`. Returns how many."""
    return tx.run(FORGET_OLD, {"oldest": oldest})
