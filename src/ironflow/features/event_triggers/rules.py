"""What is decided about recorded events that are given to a function; pure."""

from collections.abc import Sequence
from typing import Literal

from ironflow.base.errors import InvalidArgument
from ironflow.base.time import Millis, to_millis
from ironflow.features.event_triggers.contract import InvalidEventTrigger, TriggerRecorded
from ironflow.features.functions.contract import FunctionNotActive, FunctionNotFound
from ironflow.features.functions.in_tx import Startable
from ironflow.log.scan import Filter

Verdict = Literal["start", "known", "unmatched", "redacted"]
# Below every priority that a function can give: live runs are handed out first. Source: decision 0069.
PRIORITY = -101
_RAN_IN_VAIN = frozenset({"failed", "cancelled"})


def decide_trigger(
    *, matches: bool, redacted: bool, given: bool, run_statuses: Sequence[str], again_after_failure: bool
) -> Verdict:
    """Whether a recorded event starts a run of the function.

    matches: one of its triggers matches the event. given: it was given to the function this way before.
    run_statuses: of the function's runs that the event has started.
    """
    if not matches:
        return "unmatched"
    if given:
        return "known"
    if run_statuses and not (again_after_failure and _RAN_IN_VAIN.issuperset(run_statuses)):
        return "known"
    return "redacted" if redacted else "start"


def check_startable(function: Startable | None, function_id: str, environment: str) -> Startable:
    """Raises FunctionNotFound, FunctionNotActive, InvalidEventTrigger."""
    if function is None:
        raise FunctionNotFound(f"There is no function {function_id[:80]!r} in environment {environment!r}.")
    if function.status != "active":
        raise FunctionNotActive(f"Function {function_id!r} is {function.status}. Set its status to active first.")
    if not function.has_triggers:
        raise InvalidEventTrigger(f"Function {function_id!r} has no event triggers, so no recorded event is for it.")
    return function


def filter_of(request: TriggerRecorded, triggers: Sequence[str], environment: str, now: Millis) -> Filter:
    """Which events are looked at. triggers: the patterns of the function's triggers."""
    return Filter(
        environment=environment,
        names=tuple(request.names) or tuple(triggers),
        since=to_millis(request.since) if request.since else 0,
        until=until_of(request, now),
    )


def until_of(request: TriggerRecorded, now: Millis) -> Millis:
    """The first moment whose events are not looked at."""
    return to_millis(request.until) if request.until else now + 1


def position_of(cursor: str) -> int:
    """Raises InvalidArgument."""
    if not cursor:
        return 0
    if not cursor.isdecimal() or len(cursor) > 18:
        raise InvalidArgument(f"{cursor[:40]!r} is no cursor: send the next_cursor of the batch before, or none.")
    return int(cursor)


def capacity(in_flight: int, unfinished: int, limit: int) -> int:
    """How many runs may be started now."""
    return max(0, min(limit, in_flight - unfinished))
