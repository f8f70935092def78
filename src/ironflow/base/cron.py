"""Cron expressions: five fields, six with seconds first, or a macro such as `@daily`.

Parsed by cronsim, which keeps to local time across daylight saving changes.
"""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ironflow.base.errors import InvalidArgument

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


class InvalidCron(InvalidArgument):
    """A cron expression has five fields, or six with seconds first, or is a macro such as @daily."""

    code = "INVALID_CRON"


@lru_cache(maxsize=1024)
def check_cron(expression: str, timezone: str = "") -> str:
    """The expression with macros replaced. Raises InvalidCron for a bad expression or an unknown time zone."""
    next_tick(expression, timezone, datetime(2026, 1, 1, tzinfo=UTC))
    return _MACROS.get(expression.strip(), expression.strip())


def next_tick(expression: str, timezone: str, after: datetime) -> datetime | None:
    """The first tick after `after`, in UTC; None when there is none within fifty years. Raises InvalidCron."""
    from cronsim import CronSim, CronSimError

    if len(expression) > EXPRESSION_CHARS_MAX:
        raise InvalidCron(f"The cron expression has {len(expression)} characters; {EXPRESSION_CHARS_MAX} is the limit.")
    text = _MACROS.get(expression.strip(), expression.strip())
    if len(text.split()) not in (5, 6):
        raise InvalidCron(f"{expression!r} has {len(text.split())} fields; write five, or six with seconds first.")
    try:
        zone = ZoneInfo(timezone or "UTC")
        return next(CronSim(text, after.astimezone(zone))).astimezone(UTC)
    except CronSimError as fault:
        raise InvalidCron(f"{expression!r} is not a cron expression: {fault}.") from None
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidCron(f"{timezone!r} is not a time zone. Write a name such as Europe/Berlin.") from None
    except (StopIteration, OverflowError):
        return None
