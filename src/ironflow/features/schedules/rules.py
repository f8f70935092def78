"""What is decided about schedules; pure. Source: docs/guides/schedules.md."""

import hashlib
import re
from typing import Any, NamedTuple

from ironflow.base.cron import check_cron, next_tick
from ironflow.base.errors import IronflowError
from ironflow.base.overlap import check_overlap
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.features.schedules.contract import InvalidSchedule, ScheduleConflict

ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
EVERY_MS_MIN = 1_000
CATCH_UP_MS_MIN = 10_000
DESCRIPTION_CHARS_MAX = 1_000
BACKFILLS_MAX = 10
# Ticks of one schedule that start runs in one transaction.
TICKS_MAX = 100
MISSED_MAX = 1_000
KINDS = ("cron", "every_ms", "at")
# What determines the ticks.
TIMING = (*KINDS, "timezone", "jitter_ms", "starts_at", "ends_at")
# What an absent field is.
EMPTY: dict[str, Any] = {
    "cron": "",
    "timezone": "",
    "every_ms": 0,
    "at": None,
    "jitter_ms": 0,
    "starts_at": None,
    "ends_at": None,
    "catch_up_ms": None,
    "overlap": "all",
    "description": "",
    "input": "null",
}


class ScheduleRow(NamedTuple):
    """A schedule as it is stored. input: JSON text. status: active, paused or ended.

    next_at: the next tick, None when there is none; due_at: the same with its jitter.
    """

    environment: str
    id: str
    version: int
    function_id: str
    input: str
    cron: str
    timezone: str
    every_ms: int
    at: Millis | None
    jitter_ms: int
    starts_at: Millis | None
    ends_at: Millis | None
    catch_up_ms: int | None
    overlap: str
    description: str
    status: str
    next_at: Millis | None
    due_at: Millis | None
    last_at: Millis | None
    last_run_id: str
    started: int
    skipped: int
    missed: int
    created_at: Millis
    updated_at: Millis


class BackfillRow(NamedTuple):
    environment: str
    schedule_id: str
    id: str
    next_at: Millis
    until_at: Millis
    overlap: str
    started: int
    created_at: Millis


class Due(NamedTuple):
    """ticks: those that come now, in order. missed: how many were too old. schedule: as it goes on after them."""

    ticks: list[Millis]
    missed: int
    schedule: ScheduleRow


def check_schedule(schedule: ScheduleRow) -> None:
    """Raises InvalidSchedule."""
    if not ID.fullmatch(schedule.id):
        raise InvalidSchedule(
            f"{schedule.id[:60]!r} is no schedule id: write 1 to 128 letters, digits, `_`, `-` or `.`."
        )
    given = [name for name in KINDS if getattr(schedule, name)]
    if len(given) != 1:
        has = " and ".join(given) or "none of them"
        raise InvalidSchedule(f"A schedule has one of {', '.join(KINDS)}; this one has {has}.")
    if schedule.timezone and not schedule.cron:
        raise InvalidSchedule("timezone is that of cron, and there is no cron.")
    try:
        check_overlap(schedule.overlap)
        if schedule.cron:
            check_cron(schedule.cron, schedule.timezone)
    except IronflowError as fault:
        raise InvalidSchedule(fault.message) from None
    _check_times(schedule)
    if len(schedule.description) > DESCRIPTION_CHARS_MAX:
        raise InvalidSchedule(f"description has more than {DESCRIPTION_CHARS_MAX} characters.")


def _check_times(schedule: ScheduleRow) -> None:
    if schedule.every_ms and schedule.every_ms < EVERY_MS_MIN:
        raise InvalidSchedule(f"every_ms is {schedule.every_ms}; {EVERY_MS_MIN} is the least.")
    if schedule.every_ms and schedule.jitter_ms > schedule.every_ms:
        raise InvalidSchedule(f"jitter_ms is {schedule.jitter_ms}, longer than every_ms, which is {schedule.every_ms}.")
    if schedule.catch_up_ms is not None and schedule.catch_up_ms < CATCH_UP_MS_MIN:
        raise InvalidSchedule(
            f"catch_up_ms is {schedule.catch_up_ms}; {CATCH_UP_MS_MIN} is the least, for ticks are never on the "
            "millisecond. Leave it out to have one run make up for all missed ticks."
        )
    if schedule.starts_at is not None and schedule.ends_at is not None and schedule.ends_at <= schedule.starts_at:
        raise InvalidSchedule("ends_at is not later than starts_at.")


def check_version(schedule: ScheduleRow, expected: int) -> None:
    """expected: 0 for any. Raises ScheduleConflict."""
    if expected and expected != schedule.version:
        raise ScheduleConflict(
            f"Schedule {schedule.id!r} is at version {schedule.version}, the change expects {expected}. Read it again "
            "and decide again, or leave expected_version out.",
            details={"current_version": schedule.version, "expected_version": expected},
        )


def changed(schedule: ScheduleRow, fields: dict[str, Any], cleared: list[str]) -> ScheduleRow:
    """The schedule with these fields; a new one of cron, every_ms and at replaces the others.

    cleared: names of fields that become empty. Raises InvalidSchedule.
    """
    unknown = sorted(set(cleared) - EMPTY.keys())
    if unknown:
        raise InvalidSchedule(f"clear names {', '.join(unknown)}; these can be cleared: {', '.join(EMPTY)}.")
    both = sorted(set(cleared) & fields.keys())
    if both:
        raise InvalidSchedule(f"{', '.join(both)} is both given and cleared.")
    kinds = [name for name in KINDS if fields.get(name)]
    replaced = {name: EMPTY[name] for name in KINDS} if kinds else {}
    if kinds and "cron" not in kinds and "timezone" not in fields:
        replaced["timezone"] = ""
    return schedule._replace(**{**replaced, **{name: EMPTY[name] for name in cleared}, **fields})


def has_same_ticks(schedule: ScheduleRow, other: ScheduleRow) -> bool:
    return all(getattr(schedule, name) == getattr(other, name) for name in TIMING)


def tick_after(schedule: ScheduleRow, after: Millis) -> Millis | None:
    """The first tick later than `after`; None when there is none."""
    if schedule.starts_at is not None:
        after = max(after, schedule.starts_at - 1)
    tick = _tick_after(schedule, after)
    return None if tick is None or (schedule.ends_at is not None and tick > schedule.ends_at) else tick


def _tick_after(schedule: ScheduleRow, after: Millis) -> Millis | None:
    if schedule.cron:
        tick = next_tick(schedule.cron, schedule.timezone, to_datetime(after))
        return to_millis(tick) if tick is not None else None
    if schedule.every_ms:
        anchor = schedule.starts_at if schedule.starts_at is not None else schedule.created_at
        return anchor + ((after - anchor) // schedule.every_ms + 1) * schedule.every_ms
    return schedule.at if schedule.at is not None and schedule.at > after else None


def ticks_between(schedule: ScheduleRow, since: Millis, until: Millis | None, limit: int) -> list[Millis]:
    """The first `limit` ticks later than `since`, up to `until`, None for no end; oldest first."""
    ticks: list[Millis] = []
    tick = tick_after(schedule, since)
    while tick is not None and (until is None or tick <= until) and len(ticks) < limit:
        ticks.append(tick)
        tick = tick_after(schedule, tick)
    return ticks


def due_at(schedule: ScheduleRow, tick: Millis) -> Millis:
    """When a tick comes: up to jitter_ms later, by chance, and on every node the same."""
    if not schedule.jitter_ms:
        return tick
    text = f"{schedule.environment}/{schedule.id}/{tick}"
    drawn = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return tick + drawn % (schedule.jitter_ms + 1)


def decide_next(schedule: ScheduleRow, after: Millis) -> ScheduleRow:
    """The schedule with its first tick later than `after`; ended without one, unless it is paused."""
    tick = tick_after(schedule, after)
    if tick is None:
        status = "paused" if schedule.status == "paused" else "ended"
        return schedule._replace(next_at=None, due_at=None, status=status)
    status = "active" if schedule.status == "ended" else schedule.status
    return schedule._replace(next_at=tick, due_at=due_at(schedule, tick), status=status)


def decide_due(schedule: ScheduleRow, now: Millis) -> Due:
    """The ticks that come now.

    Without catch_up_ms, one comes for all that have passed. With it, each of them comes that is not older than that; at
    most TICKS_MAX at a time, the others right after.
    """
    if schedule.next_at is None or schedule.due_at is None or schedule.due_at > now:
        return Due([], 0, schedule)
    catch_up_ms = schedule.catch_up_ms
    if catch_up_ms is None:
        return Due([schedule.next_at], 0, decide_next(schedule, now)._replace(last_at=schedule.next_at))
    ticks: list[Millis] = []
    missed = 0
    while schedule.due_at is not None and schedule.next_at is not None and schedule.due_at <= now:
        if len(ticks) == TICKS_MAX or missed == MISSED_MAX:
            break
        if now - schedule.due_at > catch_up_ms:
            missed += 1
        else:
            ticks.append(schedule.next_at)
        schedule = decide_next(schedule, schedule.next_at)._replace(last_at=schedule.next_at)
    return Due(ticks, missed, schedule)


def decide_backfill(schedule: ScheduleRow, backfill: BackfillRow) -> tuple[list[Millis], BackfillRow | None]:
    """The ticks of a backfill that come now, and how it goes on; None when it has ended."""
    ticks: list[Millis] = []
    tick: Millis | None = backfill.next_at
    count_max = TICKS_MAX if backfill.overlap == "all" else 1
    while tick is not None and tick <= backfill.until_at and len(ticks) < count_max:
        ticks.append(tick)
        tick = tick_after(schedule, tick)
    if tick is None or tick > backfill.until_at:
        return ticks, None
    return ticks, backfill._replace(next_at=tick, started=backfill.started + len(ticks))
