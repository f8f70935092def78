"""The loops that start the runs of due ticks and of backfills, once across all nodes."""

from collections import Counter

from ironflow.base.json import write_json_text
from ironflow.base.loop import Ran
from ironflow.base.overlap import Overlap, check_overlap
from ironflow.base.time import Millis, to_datetime
from ironflow.features.limits.service import Limiter
from ironflow.features.schedules import rules, store
from ironflow.features.schedules.rules import ScheduleRow
from ironflow.features.ticks import in_tx as ticks
from ironflow.features.ticks.in_tx import Tick, TickStarter
from ironflow.storage.port import Database, Tx

BATCH = 50
# What the event of a schedule's run is called, and its source.
EVENT, SOURCE = "ironflow/schedule", "schedule"


class FireSchedules:
    """Starts the runs of due ticks and moves their schedules, in one transaction."""

    name = "schedules"
    topic = "schedules"
    every_ms = 1_000
    notable = ("missed",)

    def __init__(self, db: Database, starter: TickStarter) -> None:
        self._db = db
        self._starter = starter

    async def run_once(self, now: Millis) -> Ran:
        next_at = await self._db.peek(store.first_due)
        if next_at is None or next_at > now:
            return Ran(next_at=next_at)
        done = await self._db.write(lambda tx: self._fire(tx, now))
        next_at = await self._db.peek(store.first_due)
        return Ran(dict(done), more=next_at is not None and next_at <= now and bool(done), next_at=next_at)

    def _fire(self, tx: Tx, now: Millis) -> Counter[str]:
        due = [rules.decide_due(schedule, now) for schedule in store.due(tx, now, BATCH)]
        starting: list[tuple[Tick, Overlap]] = [
            (tick_of(each.schedule, tick), check_overlap(each.schedule.overlap)) for each in due for tick in each.ticks
        ]
        outcomes = iter(self._starter.start(tx, starting, now) if starting else ())
        done: Counter[str] = Counter()
        for each in due:
            found = [next(outcomes) for _ in each.ticks]
            counts = Counter(outcome.what for outcome in found)
            run_ids = [outcome.run_id for outcome in found if outcome.run_id]
            schedule = each.schedule
            schedule = schedule._replace(
                started=schedule.started + counts["started"] + counts["kept"],
                skipped=schedule.skipped + counts["skipped"],
                missed=schedule.missed + each.missed + counts["inactive"],
                last_run_id=run_ids[-1] if run_ids else schedule.last_run_id,
            )
            store.save_ticked(tx, schedule)
            done += counts
            done["missed"] += each.missed
        return done


class AdvanceBackfills:
    """Starts the runs of backfills, a batch of ticks in one transaction, with their progress."""

    name = "schedule-backfills"
    topic = "schedule_backfills"
    every_ms = 1_000
    notable = ()

    def __init__(self, db: Database, starter: TickStarter, limiter: Limiter) -> None:
        self._db = db
        self._starter = starter
        self._limiter = limiter

    async def run_once(self, now: Millis) -> Ran:
        if not await self._db.peek(store.has_backfills):
            return Ran()
        done = await self._db.write(lambda tx: self._advance(tx, now))
        return Ran({"ticks": done or 0}, more=done is not None)

    def _advance(self, tx: Tx, now: Millis) -> int | None:
        """How many ticks came; None when no backfill may go on."""
        # A backfill waits where its events would exceed the bytes of its environment.
        backfill = store.next_backfill(tx, self._limiter.full_environments(now))
        if backfill is None:
            return None
        schedule = store.schedule(tx, backfill.environment, backfill.schedule_id)
        if schedule is None:
            return None
        came, after = rules.decide_backfill(schedule, backfill)
        owner = ticks.backfill_owner(backfill.schedule_id, backfill.id)
        overlap = check_overlap(backfill.overlap)
        starting: list[tuple[Tick, Overlap]] = [
            (tick_of(schedule, tick)._replace(owner=owner), overlap) for tick in came
        ]
        self._starter.start(tx, starting, now)
        if after is None:
            store.delete_backfill(tx, backfill)
            ticks.forget(tx, backfill.environment, owner)
        else:
            store.save_backfill(tx, after)
        return len(came)


def tick_of(schedule: ScheduleRow, tick_at: Millis) -> Tick:
    """The event has the schedule's input, and in its metadata what it was scheduled by and for."""
    about = {"schedule": schedule.id, "scheduledAt": to_datetime(tick_at)}
    return Tick(
        environment=schedule.environment,
        owner=ticks.schedule_owner(schedule.id),
        tick_at=tick_at,
        function_id=schedule.function_id,
        event=EVENT,
        data=schedule.input,
        source=SOURCE,
        metadata=write_json_text(about),
    )
