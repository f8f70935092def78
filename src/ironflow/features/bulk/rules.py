"""What is decided about bulk jobs; pure."""

from ironflow.base.time import to_millis
from ironflow.engine import commands
from ironflow.features.bulk.contract import InvalidBulk, StartBulk
from ironflow.features.runs.in_tx import Filter, status_filter

# Removes rows; the others are commands to each run.
DELETE = "delete"
ACTIONS = ("cancel", "retry", "resume", DELETE)
_FILTER = ("function_id", "statuses", "since", "until", "event_id", "parent_run_id", "search")


def check_bulk(request: StartBulk) -> None:
    """Raises InvalidBulk. A job without any filter would reach every run."""
    if request.action not in ACTIONS:
        raise InvalidBulk(f"action is {request.action[:40]!r}; it is {', '.join(ACTIONS)}.")
    if request.function_version and not request.function_id:
        raise InvalidBulk("function_version is that of a function: send its function_id, too.")
    if request.force and request.action != "cancel":
        raise InvalidBulk(f"force is of a cancel; the action is {request.action}.")
    if not any(getattr(request, name) for name in _FILTER):
        raise InvalidBulk(f"Say which runs: {', '.join(_FILTER)}; at least one of them.")


def filter_of(request: StartBulk, environment: str) -> Filter:
    return Filter(
        environment=environment,
        function_id=request.function_id,
        event_id=request.event_id,
        parent_run_id=request.parent_run_id,
        search=request.search,
        since=to_millis(request.since) if request.since else 0,
        until=to_millis(request.until) if request.until else 0,
        function_version=request.function_version,
        states=tuple(status_filter(request.statuses)),
    )


def command_for(action: str, reason: str, force: bool) -> commands.Command:
    """The command that the job gives to each run. action: one of ACTIONS, not DELETE. force: of a cancel."""
    match action:
        case "cancel":
            return commands.Cancel(cause=reason or "cancelled in bulk", force=force)
        case "retry":
            return commands.Resume(from_step="", from_sequence=0)
        case "resume":
            return commands.Resume()
        case _:
            raise LookupError(f"no bulk action {action!r}")
