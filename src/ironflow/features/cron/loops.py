"""The loop that turns a due tick into an event and a run of its function, once across all nodes.

Ticks missed while no server ran fire once, at the start. Source: DESIGN.md 4, "cron".
"""

from ironflow.base.json import write_json_text
from ironflow.base.loop import Ran
from ironflow.base.overlap import Overlap, check_overlap
from ironflow.base.time import Millis, to_datetime
from ironflow.features.functions import in_tx as functions
from ironflow.features.functions.in_tx import Schedule
from ironflow.features.ticks.in_tx import Tick, TickStarter, function_owner
from ironflow.storage.due import run_due
from ironflow.storage.port import Database, Tx

BATCH = 200
# A tick that fires this much after its time is counted as late: no server ran, or it is overloaded.
LATE_MS = 60_000
# Workers skip the validation of a cron event's data by this name. Source: protocol/step-semantics.md 12.
SOURCE = "cron"


class FireCron:
    """Fires due schedules and moves them to their next tick, in one transaction."""

    name = "cron"
    topic = "cron"
    every_ms = 1_000
    notable = ("late",)

    def __init__(self, db: Database, starter: TickStarter) -> None:
        self._db = db
        self._starter = starter
        # How many schedules of the last batch were late.
        self._late = 0

    async def run_once(self, now: Millis) -> Ran:
        self._late = 0
        fired, next_at = await run_due(self._db, functions.next_schedule_at, lambda tx: self._fire(tx, now), now)
        return Ran({"fired": fired - self._late, "late": self._late}, more=fired == BATCH, next_at=next_at)

    def _fire(self, tx: Tx, now: Millis) -> int:
        due = functions.due_schedules(tx, now, BATCH)
        self._late = sum(now - schedule.next_at > LATE_MS for schedule in due)
        starting: list[tuple[Tick, Overlap]] = []
        for schedule in due:
            next_at = functions.tick_after(schedule.cron, schedule.timezone, now)
            # A schedule without any further tick is put off for ever.
            functions.move_schedule(tx, schedule, next_at if next_at is not None else 2**62)
            starting.append((_tick(schedule), check_overlap(schedule.overlap)))
        self._starter.start(tx, starting, now)
        return len(due)


def _tick(schedule: Schedule) -> Tick:
    data = {"cron": schedule.cron, "scheduledAt": to_datetime(schedule.next_at)}
    return Tick(
        environment=schedule.environment,
        owner=function_owner(schedule.function_id),
        tick_at=schedule.next_at,
        function_id=schedule.function_id,
        event=schedule.event,
        data=write_json_text(data),
        source=SOURCE,
    )
