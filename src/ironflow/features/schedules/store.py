"""What is remembered of schedules and their backfills."""

from ironflow.base.time import Millis
from ironflow.features.schedules.rules import BackfillRow, ScheduleRow
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(ScheduleRow._fields)
_BACKFILL = ", ".join(BackfillRow._fields)
_KEY = ("environment", "id")
INSERT = f"""INSERT INTO named_schedules ({_COLUMNS}) VALUES ({", ".join(f":{name}" for name in ScheduleRow._fields)})
ON CONFLICT (environment, id) DO NOTHING"""
_SET = ", ".join(f"{name} = :{name}" for name in ScheduleRow._fields if name not in _KEY)
SAVE = f"""UPDATE named_schedules SET {_SET}
WHERE environment = :environment AND id = :id"""
ONE = f"SELECT {_COLUMNS} FROM named_schedules WHERE environment = :environment AND id = :id"
ONE_TO_CHANGE = ONE + " {for_update}"
AFTER = f"""SELECT {_COLUMNS} FROM named_schedules WHERE environment = :environment AND id > :cursor
 AND (:function_id = '' OR function_id = :function_id) AND (:status = '' OR status = :status)
ORDER BY id LIMIT :limit"""
DELETE = "DELETE FROM named_schedules WHERE environment = :environment AND id = :id"
DUE = f"""SELECT {_COLUMNS} FROM named_schedules WHERE status = 'active' AND due_at IS NOT NULL AND due_at <= :now
ORDER BY due_at, environment, id LIMIT :limit {{skip_locked}}"""
FIRST_DUE = "SELECT min(due_at) FROM named_schedules WHERE status = 'active' AND due_at IS NOT NULL"
ADD_BACKFILL = f"""INSERT INTO schedule_backfills ({_BACKFILL})
VALUES ({", ".join(f":{name}" for name in BackfillRow._fields)})"""
SAVE_BACKFILL = """UPDATE schedule_backfills SET next_at = :next_at, started = :started
WHERE environment = :environment AND schedule_id = :schedule_id AND id = :id"""
DELETE_BACKFILL = """DELETE FROM schedule_backfills
WHERE environment = :environment AND schedule_id = :schedule_id AND id = :id"""
BACKFILLS = f"""SELECT {_BACKFILL} FROM schedule_backfills
WHERE environment = :environment AND schedule_id = :schedule_id ORDER BY id"""
# One that starts its runs one after another waits until its last one has ended.
NEXT_BACKFILL = f"""SELECT {", ".join(f"b.{name}" for name in BackfillRow._fields)}
FROM schedule_backfills b JOIN named_schedules s ON s.environment = b.environment AND s.id = b.schedule_id
WHERE s.status <> 'paused' AND b.environment NOT IN {{each:full}} AND (b.overlap = 'all' OR NOT EXISTS (
 SELECT 1 FROM tick_runs t JOIN runs r ON r.id = t.run_id WHERE t.environment = b.environment
 AND t.owner = 'backfill/' || b.schedule_id || '/' || b.id AND r.status NOT IN ('completed', 'failed', 'cancelled')))
ORDER BY b.started, b.id LIMIT 1 {{skip_locked}}"""
ANY_BACKFILL = "SELECT 1 FROM schedule_backfills LIMIT 1"


def insert(tx: Tx, schedule: ScheduleRow) -> bool:
    """Whether its id was free. Notifies `schedules`."""
    tx.notify("schedules")
    return tx.run(INSERT, schedule._asdict()) > 0


def save(tx: Tx, schedule: ScheduleRow) -> None:
    """Notifies `schedules`."""
    tx.run(SAVE, schedule._asdict())
    tx.notify("schedules")


def save_ticked(tx: Tx, schedule: ScheduleRow) -> None:
    """As save, by the loop itself, which needs no notification."""
    tx.run(SAVE, schedule._asdict())


def schedule(tx: Tx, environment: str, schedule_id: str, *, to_change: bool = False) -> ScheduleRow | None:
    row = tx.row(ONE_TO_CHANGE if to_change else ONE, {"environment": environment, "id": schedule_id})
    return ScheduleRow(*row) if row else None


def schedules_after(
    tx: Tx, environment: str, function_id: str, status: str, cursor: str, limit: int
) -> list[ScheduleRow]:
    """By id, after `cursor`. function_id, status: empty for any."""
    params = {"environment": environment, "function_id": function_id, "status": status}
    return [ScheduleRow(*row) for row in tx.rows(AFTER, {**params, "cursor": cursor, "limit": limit})]


def delete(tx: Tx, environment: str, schedule_id: str) -> None:
    """Without its backfills."""
    tx.run(DELETE, {"environment": environment, "id": schedule_id})


def due(tx: Tx, now: Millis, limit: int) -> list[ScheduleRow]:
    """Schedules whose tick has come, earliest first; no other node gets them in this moment."""
    return [ScheduleRow(*row) for row in tx.rows(DUE, {"now": now, "limit": limit})]


def first_due(tx: Tx) -> Millis | None:
    row = tx.row(FIRST_DUE)
    return row[0] if row else None


def add_backfill(tx: Tx, backfill: BackfillRow) -> None:
    """Notifies `schedule_backfills`."""
    tx.run(ADD_BACKFILL, backfill._asdict())
    tx.notify("schedule_backfills")


def save_backfill(tx: Tx, backfill: BackfillRow) -> None:
    tx.run(SAVE_BACKFILL, backfill._asdict())


def delete_backfill(tx: Tx, backfill: BackfillRow) -> None:
    key = {"environment": backfill.environment, "schedule_id": backfill.schedule_id, "id": backfill.id}
    tx.run(DELETE_BACKFILL, key)


def backfills(tx: Tx, environment: str, schedule_id: str) -> list[BackfillRow]:
    """Those under way, at most BACKFILLS_MAX."""
    params = {"environment": environment, "schedule_id": schedule_id}
    return [BackfillRow(*row) for row in tx.rows(BACKFILLS, params)]


def next_backfill(tx: Tx, full: list[str]) -> BackfillRow | None:
    """One that may start runs, for this node alone; the one that has started the fewest.

    full: environments whose backfills wait.
    """
    row = tx.row(NEXT_BACKFILL, {"full": full})
    return BackfillRow(*row) if row else None


def has_backfills(tx: Tx) -> bool:
    return tx.row(ANY_BACKFILL) is not None
