"""What is decided about bulk jobs; pure."""

from ironflow.base.time import to_millis
from ironflow.engine import commands
from ironflow.engine.model import Run
from ironflow.features.bulk.contract import BulkNotUndoable, InvalidBulk, StartBulk
from ironflow.features.runs.in_tx import Filter, output_filter, status_filter

# Removes rows; the others are commands to each run.
DELETE = "delete"
ACTIONS = ("cancel", "retry", "resume", "pause", DELETE)
# What takes an action back. A cancelled run stays cancelled, and a retried one has dropped its results.
UNDO = {"resume": "pause", "pause": "resume"}
UNDO_WITHIN_MS = 24 * 3600 * 1000
# Runs are counted so far before a job begins, and a text is looked for in so many of them at a time.
COUNT_MAX = 10_000
SCAN_MAX = 100_000
_FILTER = (
    "function_id", "statuses", "since", "until", "event_id", "parent_run_id", "key", "search", "error", "output",
    "failed_step",
)  # fmt: skip


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


def check_undo(action: str, status: str, undoes: str, age_ms: int) -> None:
    """Whether the changes of a job can be taken back. age_ms: since it was started. Raises BulkNotUndoable."""
    if undoes:
        raise BulkNotUndoable("This bulk job takes another back. Start a new one instead.")
    if action not in UNDO:
        raise BulkNotUndoable(f"A {action} cannot be undone; only {' and '.join(UNDO)} can.")
    if status == "running":
        raise BulkNotUndoable("The bulk job is still running. Stop it first, then undo what it did.")
    if age_ms > UNDO_WITHIN_MS:
        raise BulkNotUndoable("The bulk job is more than a day old: the runs that it changed are no longer known.")


def can_be_undone(action: str, run: Run) -> bool:
    """Whether an undo changes this run. action: what the undo does, `pause` or `resume`.

    A resume would also begin a failed run again, or one that is paused for another reason: no pause did that.
    Source: docs/guides/dashboard.md, "Actions on many runs".
    """
    if run.ended:
        return False
    return action != "resume" or run.pause_requested or (run.status == "paused" and run.reason == "injection")


def filter_of(request: StartBulk, environment: str) -> Filter:
    return Filter(
        environment=environment,
        function_id=request.function_id,
        event_id=request.event_id,
        parent_run_id=request.parent_run_id,
        key=request.key,
        search=request.search,
        error=request.error,
        output=output_filter(request.output),
        failed_step=request.failed_step,
        since=to_millis(request.since) if request.since else 0,
        until=to_millis(request.until) if request.until else 0,
        function_version=request.function_version,
        states=tuple(status_filter(request.statuses)),
    )


def command_for(job_id: str, action: str, reason: str, force: bool) -> commands.Command:
    """The command that the job gives to each run. action: one of ACTIONS, not DELETE. force: of a cancel.

    reason: what the request gave, or empty.
    """
    by = f"bulk job {job_id}"
    match action:
        case "cancel":
            return commands.Cancel(cause=reason or "cancelled in bulk", force=force)
        case "retry":
            return commands.Resume(from_step="", from_sequence=0, by=by, note=reason)
        case "resume":
            return commands.Resume(by=by, note=reason)
        case "pause":
            return commands.Pause(by=by, note=reason)
        case _:
            raise LookupError(f"no bulk action {action!r}")
