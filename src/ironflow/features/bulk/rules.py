"""What is decided about bulk jobs; pure."""

from ironflow.base.time import to_millis
from ironflow.engine import commands
from ironflow.features.bulk.contract import InvalidBulk, StartBulk
from ironflow.features.runs.queries import Filter
from ironflow.features.runs.rules import status_filter

ACTIONS = ("cancel", "retry", "resume")
_FILTER = ("function_id", "statuses", "since", "until", "event_id", "search")


def check_bulk(request: StartBulk) -> None:
    """Raises InvalidBulk. A job without any filter would reach every run there is, which nobody means."""
    if request.action not in ACTIONS:
        raise InvalidBulk(f"action is {request.action[:40]!r}; it is {', '.join(ACTIONS)}.")
    if not any(getattr(request, name) for name in _FILTER):
        raise InvalidBulk(f"Say which runs: {', '.join(_FILTER)}; at least one of them.")


def filter_of(request: StartBulk, environment: str) -> Filter:
    return Filter(
        environment=environment,
        function_id=request.function_id,
        event_id=request.event_id,
        search=request.search,
        since=to_millis(request.since) if request.since else 0,
        until=to_millis(request.until) if request.until else 0,
        states=tuple(status_filter(request.statuses)),
    )


def command_for(action: str, reason: str) -> commands.Command:
    """What the job asks of each run."""
    match action:
        case "cancel":
            return commands.Cancel(cause=reason or "cancelled in bulk")
        case "retry":
            return commands.Resume(from_step="", from_sequence=0)
        case _:
            return commands.Resume()
