"""What can be asked of many runs at once."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import FailedPrecondition, InvalidArgument, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus


class BulkNotFound(NotFound):
    """There is no bulk job of that id in this environment."""

    code = "BULK_NOT_FOUND"


class BulkEnded(FailedPrecondition):
    """The bulk job has ended already."""

    code = "BULK_ENDED"


class BulkNotUndoable(FailedPrecondition):
    """What the bulk job did cannot be undone."""

    code = "BULK_NOT_UNDOABLE"


class InvalidBulk(InvalidArgument):
    """A bulk job has an action (cancel, retry, resume, pause or delete) and a filter that says which runs."""

    code = "INVALID_BULK"


class StartBulk(Message, kw_only=True):
    """action: cancel, retry, resume, pause, or delete, which removes ended runs for ever.

    The filter is that of runs.list; at least one field of it must be given. function_version: only runs that were
    created with this version of the function.

    dry_run: only count. reason: recorded with the runs. force: of a cancel: runs end at once, whose compensations
    would run before, or run already; without it the latter are left to that.
    """

    action: str
    function_id: str = ""
    statuses: list[RunStatus] = []
    since: datetime | None = None
    until: datetime | None = None
    event_id: str = ""
    parent_run_id: str = ""
    key: str = ""
    search: str = ""
    error: str = ""
    output: str = ""
    failed_step: str = ""
    reason: str = ""
    force: bool = False
    dry_run: bool = False
    function_version: Annotated[int, field(ge=0)] = 0


class Bulk(Message, kw_only=True):
    """status: running, done, stopped or dry_run. matched: runs that passed the filter when it began, counted up to
    10,000; more: there are more, or may be: a text is looked for in the newest 100,000 runs to count. An ended job has
    the whole number. changed and refused: what became of those reached so far (a cancel needs runs that have not
    ended, a delete those that have). undoes: the job whose changes this one takes back, empty for the others."""

    id: str
    action: str
    status: str
    matched: int
    more: bool = False
    changed: int
    refused: int
    created_at: datetime
    updated_at: datetime
    undoes: str = ""


class NamedBulk(Message, kw_only=True):
    id: str


class ListBulks(Message, kw_only=True):
    limit: Annotated[int, field(ge=1, le=1000)] = 50
    cursor: str = ""


class Bulks(Message, kw_only=True):
    jobs: list[Bulk]
    count: int
    next_cursor: str | None = None


start = operation(
    "bulk.start", StartBulk, Bulk,
    rest="POST /api/v1/runs/bulk", success=202, scope="runs:write",
    asks=(runs.cancel.scope, runs.delete.scope), errors=(InvalidBulk,),
    doc="Starts to cancel, retry, resume, pause or delete all runs that pass a filter; it goes on by itself.",
)  # fmt: skip
get = operation(
    "bulk.get", NamedBulk, Bulk,
    rest="GET /api/v1/runs/bulk/{id}", scope="runs:read", errors=(BulkNotFound,),
    doc="How far a bulk job has come.",
)  # fmt: skip
list_ = operation(
    "bulk.list", ListBulks, Bulks,
    rest="GET /api/v1/runs/bulk", scope="runs:read",
    doc="Bulk jobs, newest first.",
)  # fmt: skip
stop = operation(
    "bulk.stop", NamedBulk, Bulk,
    rest="POST /api/v1/runs/bulk/{id}/stop", scope="runs:write", errors=(BulkNotFound, BulkEnded),
    doc="Stops a bulk job; what it has changed stays changed.",
)  # fmt: skip
undo = operation(
    "bulk.undo", NamedBulk, Bulk,
    rest="POST /api/v1/runs/bulk/{id}/undo", success=202, scope="runs:write",
    errors=(BulkNotFound, BulkNotUndoable),
    doc="Starts a job that takes back what an ended one has done within a day: it pauses the runs that were resumed, "
    "or resumes those that were paused; runs that have ended since are refused. Nothing else can be undone.",
)  # fmt: skip
