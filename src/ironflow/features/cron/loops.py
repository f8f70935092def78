"""What goes on by itself: a tick that has come becomes an event and a run of its function, once across all nodes.

Ticks missed while no server ran fire once, at the start. Source: DESIGN.md 4, "cron".
"""

from dataclasses import dataclass

from ironflow.base.ids import Ids
from ironflow.base.json import write_json_text
from ironflow.base.time import Millis, to_datetime
from ironflow.features.functions import schedules
from ironflow.features.functions.index import FunctionIndex
from ironflow.features.functions.schedules import Schedule
from ironflow.features.runs.creation import Creation, creation
from ironflow.features.runs.ledger import Ledger
from ironflow.log.record import Record
from ironflow.storage.due import run_due
from ironflow.storage.port import Database, Tx

BATCH = 200
# Workers skip the validation of a cron event's data by this word. Source: protocol/step-semantics.md 12.
SOURCE = "cron"


@dataclass(frozen=True, slots=True)
class Ticked:
    """What one round did. more: the batch was full. next_at: when the next tick comes."""

    ticked: int
    more: bool
    next_at: Millis | None


class FireCron:
    """Fires due schedules and moves them to their next tick, in one transaction."""

    name = "cron"
    topic = "cron"
    every_ms = 1_000

    def __init__(self, db: Database, ledger: Ledger, index: FunctionIndex, ids: Ids) -> None:
        self._db = db
        self._ledger = ledger
        self._index = index
        self._ids = ids

    async def run_once(self, now: Millis) -> Ticked:
        ticked, next_at = await run_due(self._db, schedules.next_at, lambda tx: self._fire(tx, now), now)
        return Ticked(ticked, more=ticked == BATCH, next_at=next_at)

    def _fire(self, tx: Tx, now: Millis) -> int:
        self._index.refresh(tx)
        due = schedules.due(tx, now, BATCH)
        events: list[Record] = []
        created: list[Creation] = []
        for schedule in due:
            next_at = schedules.tick_after(schedule.cron, schedule.timezone, now)
            # A schedule without any further tick is put off for ever.
            schedules.move(tx, schedule, next_at if next_at is not None else 2**62)
            function = self._index.get(schedule.environment, schedule.function_id)
            if function is None or function.status != "active":
                continue
            event = self._event(schedule, now)
            events.append(event)
            created.append(creation(self._ids.new("run"), function, event))
        self._ledger.start(tx, created, events, now)
        return len(due)

    def _event(self, schedule: Schedule, now: Millis) -> Record:
        data = {"cron": schedule.cron, "scheduledAt": to_datetime(schedule.next_at)}
        return Record(
            id=self._ids.new("evt"),
            environment=schedule.environment,
            kind="event",
            name=schedule.event,
            data=write_json_text(data),
            source=SOURCE,
            created_at=now,
        )
