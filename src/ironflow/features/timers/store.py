"""What is remembered of timers: one row for each time that a run waits for."""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.engine.effects import TimerKind
from ironflow.storage.port import Tx

# The loop looks at least as often, notified or not.
LOOK_EVERY_MS = 1_000


class Timer(NamedTuple):
    """step_id: the step that waits, empty for retry, start and wake."""

    run_id: str
    kind: TimerKind
    step_id: str
    due_at: Millis


SET = """INSERT INTO timers (run_id, kind, step_id, due_at) VALUES (:run_id, :kind, :step_id, :due_at)
ON CONFLICT (run_id, kind, step_id) DO UPDATE SET due_at = excluded.due_at"""
DROP = "DELETE FROM timers WHERE run_id = :run_id"
# Materialized: where PostgreSQL reads a subquery that skips locked rows anew for each row, it finds others each time.
TAKE_DUE = """WITH due AS MATERIALIZED (
 SELECT run_id, kind, step_id FROM timers WHERE due_at <= :now ORDER BY due_at LIMIT :limit {skip_locked})
DELETE FROM timers WHERE (run_id, kind, step_id) IN (SELECT run_id, kind, step_id FROM due)
RETURNING run_id, kind, step_id, due_at"""
DELETE = "DELETE FROM timers WHERE run_id = :run_id AND kind = :kind AND step_id = :step_id"
NEXT = "SELECT min(due_at) FROM timers"


def set_timers(tx: Tx, timers: list[Timer], now: Millis) -> None:
    """Adds timers, or moves those that exist; notifies `timers` for those that are due before the loop looks again."""
    if timers:
        tx.many(SET, [timer._asdict() for timer in timers])
        if any(timer.due_at < now + LOOK_EVERY_MS for timer in timers):
            tx.notify("timers")


def drop_timers(tx: Tx, run_ids: list[str]) -> None:
    if run_ids:
        tx.many(DROP, [{"run_id": run_id} for run_id in run_ids])


def drop_timer(tx: Tx, run_id: str, kind: TimerKind, step_id: str) -> None:
    tx.many(DELETE, [{"run_id": run_id, "kind": kind, "step_id": step_id}])


def take_due(tx: Tx, now: Millis, limit: int) -> list[Timer]:
    """Removes up to `limit` due timers and returns them, earliest first. They come back if the transaction fails."""
    due = [Timer(*row) for row in tx.rows(TAKE_DUE, {"now": now, "limit": limit})]
    return sorted(due, key=lambda timer: timer.due_at)


def next_due(tx: Tx) -> Millis | None:
    """When the earliest timer is due, None without any."""
    row = tx.row(NEXT)
    return row[0] if row else None
