"""Cron expressions: five fields, six with seconds first, or a macro such as `@daily`.

The fields are parsed, and matched against the calendar, by cronsim. Time zones are applied here: cronsim's own handling
of them is wrong in the repeated hour, for six fields, and where midnight does not exist.
"""

import copy
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ironflow.base.errors import InvalidArgument

if TYPE_CHECKING:
    from cronsim import CronSim

EXPRESSION_CHARS_MAX = 1024
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SECOND = timedelta(seconds=1)
# A zone changes its offset at most once in this time.
_STEP = timedelta(hours=6)
# No zone changes its offset by more than this; crossing the date line is the largest change.
_CHANGE_MAX = timedelta(hours=26)


class InvalidCron(InvalidArgument):
    """A cron expression has five fields, or six with seconds first, or is a macro such as @daily."""

    code = "INVALID_CRON"


@lru_cache(maxsize=1024)
def check_cron(expression: str, timezone: str = "") -> str:
    """The expression with macros replaced. Raises InvalidCron for a bad expression or an unknown time zone."""
    next_tick(expression, timezone, datetime(2026, 1, 1, tzinfo=UTC))
    return _expand(expression)


def next_tick(expression: str, timezone: str, after: datetime) -> datetime | None:
    """The first tick later than `after`, in UTC; None when there is none within fifty years. Raises InvalidCron.

    A schedule whose minute and hour fields both begin without `*` fires at each local time once: at the first
    occurrence of a repeated time, and at the first moment after the gap for a skipped one. Any other schedule fires
    whenever the local clock shows a matching time. Source: docs/guides/flow-control.md, "Cron".
    """
    calendar = _calendar(expression)
    zone = _zone(timezone)
    after = after.astimezone(UTC).replace(microsecond=0)
    fixed = not any(field.startswith("*") for field in calendar.parts[1:3])
    try:
        return _fixed_tick(calendar, zone, after) if fixed else _running_tick(calendar, zone, after)
    except (StopIteration, OverflowError):
        return None


def _expand(expression: str) -> str:
    return _MACROS.get(expression.strip(), expression.strip())


@lru_cache(maxsize=1024)
def _calendar(expression: str) -> "CronSim":
    """The parsed expression. It is shared: `_match` works on a copy."""
    from cronsim import CronSim, CronSimError

    if len(expression) > EXPRESSION_CHARS_MAX:
        raise InvalidCron(f"The cron expression has {len(expression)} characters; {EXPRESSION_CHARS_MAX} is the limit.")
    text = _expand(expression)
    if len(text.split()) not in (5, 6):
        raise InvalidCron(f"{expression!r} has {len(text.split())} fields; write five, or six with seconds first.")
    try:
        return CronSim(text, datetime(2026, 1, 1))  # noqa: DTZ001 - without a zone it is only a calendar
    except CronSimError as fault:
        raise InvalidCron(f"{expression!r} is not a cron expression: {fault}.") from None


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidCron(f"{name!r} is not a time zone. Write a name such as Europe/Berlin.") from None


def _match(calendar: "CronSim", local: datetime) -> datetime:
    """The first local time later than `local` that matches. Raises StopIteration when none does for fifty years."""
    search = copy.copy(calendar)
    search.dt = local
    return next(search)


def _fixed_tick(calendar: "CronSim", zone: ZoneInfo, after: datetime) -> datetime:
    """The tick of a schedule that fires at each local time once."""
    local = after.astimezone(zone)
    if local.fold:
        # All times of the repeated stretch have had their first occurrence.
        local = _end_of_repetition(local, zone)
    local = local.replace(tzinfo=None, fold=0)
    while True:
        local = _match(calendar, local)
        tick = _first_occurrence(local, zone)
        if tick > after:
            return tick


def _running_tick(calendar: "CronSim", zone: ZoneInfo, after: datetime) -> datetime:
    """The tick of a schedule that fires whenever the local clock shows a matching time.

    It walks through stretches of one offset; stretches that cannot contain a match are skipped.
    """
    at, offset = after, _offset(after, zone)
    while True:
        local = (at + offset).replace(tzinfo=None)
        tick = _match(calendar, local).replace(tzinfo=UTC) - offset
        walked = at
        while True:
            if walked >= at + _CHANGE_MAX and tick - _CHANGE_MAX > walked:
                # Whatever the offset becomes, the local clock shows times between the two matches until then.
                walked = tick - _CHANGE_MAX
                if _offset(walked, zone) != offset:
                    at, offset = walked, _offset(walked, zone)
                    break
            until = min(walked + _STEP, tick)
            if _offset(until, zone) != offset:
                changed = _first_change(walked, until, zone)
                at, offset = changed - _SECOND, _offset(changed, zone)
                break
            if until == tick:
                return tick
            walked = until


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _first_change(before: datetime, at: datetime, zone: ZoneInfo) -> datetime:
    """The first second after `before` with the offset of `at`, which is not that of `before`."""
    offset = _offset(at, zone)
    while at - before > _SECOND:
        middle = before + timedelta(seconds=(at - before) // _SECOND // 2)
        if _offset(middle, zone) == offset:
            at = middle
        else:
            before = middle
    return at


def _first_occurrence(local: datetime, zone: ZoneInfo) -> datetime:
    """When the local clock shows `local` for the first time, or the first moment after the gap that skips it."""
    tick = local.replace(tzinfo=zone).astimezone(UTC)
    if tick.astimezone(zone).replace(tzinfo=None) == local:
        return tick
    # In a gap, fold 0 takes the offset before it and fold 1 the one after it.
    return _first_change(local.replace(tzinfo=zone, fold=1).astimezone(UTC), tick, zone)


def _end_of_repetition(local: datetime, zone: ZoneInfo) -> datetime:
    """The last local second of the repeated stretch that `local`, of fold 1, is in."""
    naive = local.replace(tzinfo=None, fold=0)
    first = naive.replace(tzinfo=zone).astimezone(UTC)
    changed = _first_change(first, local.astimezone(UTC), zone)
    return ((changed - _SECOND) + _offset(first, zone)).replace(tzinfo=None)
