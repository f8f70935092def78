"""What is remembered of cron triggers: when each fires next. Kept with the function's registration."""

from typing import NamedTuple

from ironflow.base.cron import next_tick
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.features.functions.contract import Trigger
from ironflow.features.functions.rules import FunctionRow
from ironflow.storage.port import Tx

# What a cron tick's event is called when its trigger names none.
TICK = "ironflow/cron"


class Schedule(NamedTuple):
    """place: of the trigger among the function's. event: what the tick's event is called. overlap: empty for `all`."""

    environment: str
    function_id: str
    place: int
    cron: str
    timezone: str
    event: str
    next_at: Millis
    overlap: str


_COLUMNS = ", ".join(Schedule._fields)
OWN = f"SELECT {_COLUMNS} FROM schedules WHERE environment = :environment AND function_id = :function_id"
DROP = "DELETE FROM schedules WHERE environment = :environment AND function_id = :function_id"
ADD = f"""INSERT INTO schedules ({_COLUMNS})
VALUES (:environment, :function_id, :place, :cron, :timezone, :event, :next_at, :overlap)"""
DUE = f"SELECT {_COLUMNS} FROM schedules WHERE next_at <= :now ORDER BY next_at LIMIT :limit {{skip_locked}}"
MOVE = """UPDATE schedules SET next_at = :next_at
WHERE environment = :environment AND function_id = :function_id AND place = :place"""
NEXT = "SELECT min(next_at) FROM schedules"
NEXT_RUNS = """SELECT function_id, min(next_at) FROM schedules
WHERE environment = :environment AND function_id IN {each:ids} GROUP BY function_id"""


def replace_schedules(tx: Tx, function: FunctionRow, now: Millis) -> None:
    """The function's cron triggers as they are now; none unless it is active. Notifies `cron`.

    A schedule that stays as it is keeps its next tick, also one that has come and not been fired yet.
    """
    of_function = {"environment": function.environment, "function_id": function.id}
    known = {(each.cron, each.timezone): each.next_at for each in (Schedule(*row) for row in tx.rows(OWN, of_function))}
    tx.run(DROP, of_function)
    added: list[Schedule] = []
    for number, trigger in enumerate(function.config.triggers):
        if trigger.cron and function.status == "active":
            next_at = known.get((trigger.cron, trigger.timezone)) or tick_after(trigger.cron, trigger.timezone, now)
            if next_at is not None:
                event = trigger.event or TICK
                zone = trigger.timezone
                place = (function.environment, function.id, number)
                added.append(Schedule(*place, trigger.cron, zone, event, next_at, trigger.overlap))
    if added:
        tx.many(ADD, [each._asdict() for each in added])
        tx.notify("cron")


def tick_after(cron: str, timezone: str, now: Millis) -> Millis | None:
    """The first tick after `now`; None when there is none any more."""
    tick = next_tick(cron, timezone, to_datetime(now))
    return to_millis(tick) if tick is not None else None


def ticks_to_come(function: FunctionRow, now: Millis, limit: int) -> list[tuple[Millis, Trigger]]:
    """The next `limit` ticks of the cron triggers of a function, in order; none unless it is active."""
    found: list[tuple[Millis, Trigger]] = []
    for trigger in function.config.triggers if function.status == "active" else ():
        at = tick_after(trigger.cron, trigger.timezone, now) if trigger.cron else None
        for _ in range(limit):
            if at is None:
                break
            found.append((at, trigger))
            at = tick_after(trigger.cron, trigger.timezone, at)
    return sorted(found, key=lambda tick: tick[0])[:limit]


def due_schedules(tx: Tx, now: Millis, limit: int) -> list[Schedule]:
    """Schedules whose tick has come, earliest first; no other node gets them in this moment."""
    return [Schedule(*row) for row in tx.rows(DUE, {"now": now, "limit": limit})]


def move_schedule(tx: Tx, schedule: Schedule, next_at: Millis) -> None:
    tx.run(
        MOVE,
        {
            "environment": schedule.environment,
            "function_id": schedule.function_id,
            "place": schedule.place,
            "next_at": next_at,
        },
    )


def next_schedule_at(tx: Tx) -> Millis | None:
    """When the earliest schedule fires, None without any."""
    row = tx.row(NEXT)
    return row[0] if row else None


def next_runs(tx: Tx, environment: str, function_ids: list[str]) -> dict[str, Millis]:
    """When each of the functions that has a schedule fires next."""
    rows = tx.rows(NEXT_RUNS, {"environment": environment, "ids": function_ids})
    return {row[0]: row[1] for row in rows}
