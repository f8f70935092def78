"""`next_tick` against a search through every minute, near and far from every kind of clock change of 2020 to 2040.

IRONFLOW_CRON_ROUNDS: more expressions at more changes of each zone, 1 without it. IRONFLOW_CRON_SEED: another seed.
"""

import calendar
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest

from ironflow.base.cron import next_tick

ROUNDS = int(os.environ.get("IRONFLOW_CRON_ROUNDS", "1"))
SEED = int(os.environ.get("IRONFLOW_CRON_SEED", "20260301"))
FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
# Longer than any change of an offset.
BEFORE = timedelta(hours=30)

Matches = Callable[[datetime], bool]


@dataclass
class Expression:
    """An expression with its meaning. seconds: at which it fires. fixed: it fires once at each local time."""

    text: str
    seconds: list[int]
    matches: Matches
    fixed: bool


def numbers(chance: random.Random, low: int, high: int, few: bool = False) -> tuple[str, set[int]]:
    """A field of numbers as text and as what it stands for."""
    kind = chance.choice(["one", "list", "range", "steps"] + ([] if few else ["star", "stars"]))
    every = range(low, high + 1)
    step = chance.randint(1, max(2, (high - low) // 2))
    first, last = sorted(chance.sample(every, 2))
    match kind:
        case "star":
            return "*", set(every)
        case "stars":
            return f"*/{step}", set(every[::step])
        case "one":
            return str(first), {first}
        case "list":
            items = chance.sample(every, min(len(every), chance.randint(2, 5)))
            return ",".join(map(str, items)), set(items)
        case "range":
            return f"{first}-{last}", set(range(first, last + 1))
        case _:
            return f"{first}-{last}/{step}", set(range(first, last + 1, step))


def last_day(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def days(chance: random.Random) -> tuple[str, Callable[[date], bool]]:
    if chance.random() < 0.6:
        return "*", lambda day: True
    if chance.random() < 0.2:
        return "L", lambda day: day.day == last_day(day)
    text, wanted = numbers(chance, 1, 31, few=True)
    return text, lambda day: day.day in wanted


def weekdays(chance: random.Random) -> tuple[str, Callable[[date], bool]]:
    """Sunday is 0 and 7."""
    if chance.random() < 0.6:
        return "*", lambda day: True
    name, number = chance.choice([("SUN", 0), ("7", 0), ("0", 0), ("sat", 6), ("MON", 1), ("5", 5)])
    match chance.choice(["name", "last", "nth", "range"]):
        case "last" if name.isdigit():
            return f"{name}L", lambda day: day.isoweekday() % 7 == number and day.day + 7 > last_day(day)
        case "nth":
            nth = chance.randint(1, 5)
            return f"{name}#{nth}", lambda day: day.isoweekday() % 7 == number and (day.day - 1) // 7 + 1 == nth
        case "range":
            return "FRI-SAT,SUN", lambda day: day.isoweekday() in (5, 6, 7)
        case _:
            return name, lambda day: day.isoweekday() % 7 == number


def an_expression(chance: random.Random, fields: int, near: datetime, few: bool = False) -> Expression:
    """near: a local time that the expression is likely to match. few: it has few ticks."""
    minute_text, minutes = numbers(chance, 0, 59, few)
    hour_text, hours = numbers(chance, 0, 23, few)
    if chance.random() < 0.6:
        # Close to the change of the clock, where it matters.
        first = max(0, min(23, near.hour - chance.randint(0, 2)))
        hours = set(range(first, min(24, first + chance.randint(1, 3))))
        hour_text = f"{min(hours)}-{max(hours)}" if len(hours) > 1 else str(min(hours))
    day_text, on_day = days(chance)
    weekday_text, on_weekday = weekdays(chance)
    month_text, months = ("*", set(range(1, 13))) if chance.random() < 0.8 else numbers(chance, 1, 12, few=True)
    second_text, seconds = numbers(chance, 0, 59) if fields == 6 else ("0", {0})
    both = day_text.startswith("*") or weekday_text.startswith("*")

    def matches(local: datetime) -> bool:
        if local.minute not in minutes or local.hour not in hours or local.month not in months:
            return False
        day = local.date()
        return on_day(day) and on_weekday(day) if both else on_day(day) or on_weekday(day)

    text = f"{minute_text} {hour_text} {day_text} {month_text} {weekday_text}"
    return Expression(
        text=f"{second_text} {text}" if fields == 6 else text,
        seconds=sorted(seconds),
        matches=matches,
        fixed=not minute_text.startswith("*") and not hour_text.startswith("*"),
    )


def clock(zone: ZoneInfo, first: datetime, last: datetime) -> list[tuple[datetime, datetime]]:
    """What the local clock shows at each full minute between two moments."""
    found: list[tuple[datetime, datetime]] = []
    while first <= last:
        found.append((first, first.astimezone(zone).replace(tzinfo=None)))
        first += MINUTE
    return found


def ticks(expression: Expression, clock: list[tuple[datetime, datetime]]) -> Iterator[datetime]:
    """Every tick, in order. A time has come when the local clock shows it, or a later one, for the first time."""
    latest = clock[0][1]
    for at, local in clock[1:]:
        if not expression.fixed:
            if expression.matches(local):
                yield from (at + timedelta(seconds=second) for second in expression.seconds)
            continue
        skipped = latest + MINUTE
        while skipped < local:
            if expression.matches(skipped):
                yield at
            skipped += MINUTE
        if local > latest and expression.matches(local):
            yield from (at + timedelta(seconds=second) for second in expression.seconds)
        latest = max(latest, local)


def check(expression: Expression, zone: str, after: datetime, clock: list[tuple[datetime, datetime]]) -> None:
    tick = next_tick(expression.text, zone, after)
    right = next((each for each in ticks(expression, clock) if each > after), None)
    assert tick is None or tick > after
    if right is None:
        assert tick is None or tick > clock[-1][0], (expression.text, zone, after.isoformat(), str(tick))
    else:
        assert tick == right, (expression.text, zone, after.isoformat(), str(tick), str(right))


@cache
def changes() -> dict[str, list[datetime]]:
    """The moments at which each zone changes its offset; of zones that are always equal, one."""
    weeks = [FIRST + timedelta(days=7 * number) for number in range((LAST - FIRST).days // 7)]
    found: dict[tuple[timedelta | None, ...], tuple[str, ZoneInfo]] = {}
    for name in sorted(available_timezones() - {"localtime"}):
        zone = ZoneInfo(name)
        offsets = tuple(week.astimezone(zone).utcoffset() for week in weeks)
        if len(set(offsets)) > 1:
            found.setdefault(offsets, (name, zone))
    return {
        name: [
            change(zone, week)
            for week, offset, after in zip(weeks, offsets, offsets[1:], strict=False)
            if offset != after
        ]
        for offsets, (name, zone) in found.items()
    }


def change(zone: ZoneInfo, week: datetime) -> datetime:
    """The minute of the week at which the offset changes."""
    low, high = 0, 7 * 24 * 60
    while high - low > 1:
        middle = (low + high) // 2
        changed = (week + middle * MINUTE).astimezone(zone).utcoffset() != week.astimezone(zone).utcoffset()
        low, high = (low, middle) if changed else (middle, high)
    return week + high * MINUTE


def moments(chance: random.Random, change: datetime) -> Iterator[datetime]:
    """Moments near a change: exactly at it, in the hours around it, and any within a day."""
    yield change - timedelta(seconds=chance.choice([0, 1, 60]))
    yield change + timedelta(seconds=chance.randint(-7200, 7200), milliseconds=chance.choice([0, 1, 999]))
    yield change + timedelta(seconds=chance.randint(-80_000, 80_000))


def test_zones_with_changes_are_known() -> None:
    assert len(changes()) > 40
    assert sum(map(len, changes().values())) > 1_000


@pytest.mark.parametrize("fields", [5, 6])
def test_the_next_tick_is_that_of_a_search_through_every_minute(fields: int) -> None:
    """Each zone that changes its clock, at one of its changes, more of them with more rounds."""
    chance = random.Random(SEED + fields)
    for name, all_changes in changes().items():
        zone = ZoneInfo(name)
        for each in chance.sample(all_changes, min(len(all_changes), 1 + ROUNDS // 2)):
            minutes = clock(zone, each - 2 * BEFORE, each + BEFORE)
            for _ in range(ROUNDS):
                expression = an_expression(chance, fields, each.astimezone(zone))
                for after in moments(chance, each):
                    check(expression, name, after, minutes)


@pytest.mark.parametrize("fields", [5, 6])
def test_a_tick_months_away_is_that_of_a_search_through_every_minute(fields: int) -> None:
    chance = random.Random(SEED - fields)
    for _ in range(3 * ROUNDS):
        name = chance.choice(sorted(changes()))
        zone = ZoneInfo(name)
        after = FIRST + timedelta(seconds=chance.randint(0, 20 * 365 * 86_400))
        minutes = clock(zone, after.replace(second=0, microsecond=0) - BEFORE, after + timedelta(days=70))
        for _ in range(10):
            check(an_expression(chance, fields, after.astimezone(zone), few=True), name, after, minutes)


def test_following_ticks_never_repeat_and_never_go_back() -> None:
    """As a server does: each tick is asked for from the last one, through a change of the clock."""
    chance = random.Random(SEED)
    for name, all_changes in changes().items():
        zone, each = ZoneInfo(name), chance.choice(all_changes)
        minutes = clock(zone, each - 2 * BEFORE, each + timedelta(hours=8))
        expression = an_expression(chance, 5, each.astimezone(zone))
        after, last = each - timedelta(hours=8), minutes[-1][0]
        found: list[datetime] = []
        while (tick := next_tick(expression.text, name, found[-1] if found else after)) and tick <= last:
            found.append(tick)

        # Several skipped times come together, as one tick.
        assert found == sorted({tick for tick in ticks(expression, minutes) if after < tick <= last})
