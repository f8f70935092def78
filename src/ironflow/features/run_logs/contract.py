"""What can be asked of the lines of a run, and what a worker reports of them. All of it is ours."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import InvalidArgument
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.features.runs.contract import RunNotFound


class InvalidLogQuery(InvalidArgument):
    """A cursor is one that an answer gave, a level is debug, info, warn or error."""

    code = "INVALID_LOG_QUERY"


class LogLine(Message, kw_only=True):
    """A line that is kept. execution_seq, number: its place in the run. attempt: of the run, when it was written.

    step_id, step_name: of the step whose body wrote it; absent for a line of the handler.
    """

    at: datetime
    level: str
    message: str
    execution_seq: int
    number: int
    attempt: int
    data: Json | None = None
    step_id: str | None = None
    step_name: str | None = None
    truncated: bool | None = None


class GetRunLogs(Message, kw_only=True):
    """level: only lines of this level and above. step: only lines of this step, by id or name.

    cursor: of an answer, to read on behind it. limit 0 means 1,000. wait: seconds to hold an empty answer while the
    run has not ended, at most 25.
    """

    run_id: Annotated[str, field(also=("id",))]
    level: str = ""
    step: str = ""
    cursor: str = ""
    limit: Annotated[int, field(ge=0, le=1000)] = 0
    wait: Annotated[float, field(ge=0)] = 0


class RunLogs(Message, kw_only=True):
    """lines: in the order in which they were written. cursor: behind the last of them.

    next_cursor: the same, when there are more now. ended: the run has ended, so that no more will come.
    """

    lines: list[LogLine]
    cursor: str
    ended: bool
    next_cursor: str | None = None


get = operation(
    "run_logs.get", GetRunLogs, RunLogs,
    rest="GET /api/v1/runs/{run_id}/logs", scope="runs:read", holds=True,
    errors=(RunNotFound, InvalidLogQuery),
    doc="The lines that a run's handler and steps wrote with `ctx.logger`; with `wait`, held until there is one.",
)  # fmt: skip
