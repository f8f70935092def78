"""What can be asked of the versions of a function's code."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import InvalidArgument
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.features.functions.contract import FunctionNotFound


class InvalidMove(InvalidArgument):
    """Runs are moved from one version to another that a worker has served."""

    code = "INVALID_MOVE"


class ListCodeVersions(Message, kw_only=True):
    function_id: str


class CodeVersion(Message, kw_only=True):
    """A version of a function's code. version: empty for workers that name none. workers: live ones.

    runs: pinned to it that have not ended. newest: new runs begin with it. may_go: its workers are needed no more.
    """

    version: str
    first_seen_at: datetime | None = None
    workers: int = 0
    runs: int = 0
    newest: bool = False
    may_go: bool = False


class CodeVersions(Message, kw_only=True):
    """on_code_change: continue, warn, pause or pin. versions: those with workers or runs, the newest first."""

    function_id: str
    on_code_change: str
    versions: list[CodeVersion]


class ListRegistrations(Message, kw_only=True):
    """cursor: empty for the newest."""

    function_id: str
    limit: Annotated[int, field(ge=1, le=100)] = 20
    cursor: str = ""


class Registration(Message, kw_only=True):
    """A version of a function's configuration. config: what was registered, without what is the default.

    actor: who registered it. runs: those that began with it and have not ended.
    """

    version: int
    config: Json
    code_hash: str = ""
    reason: str = ""
    actor: str = ""
    recorded_at: datetime
    runs: int


class Registrations(Message, kw_only=True):
    """registrations: the newest first. truncated: the environment has more unfinished runs than were counted."""

    registrations: list[Registration]
    truncated: bool
    next_cursor: str | None = None


class MoveRuns(Message, kw_only=True):
    """from_version: of runs that have not ended. to_version: empty for the newest when their next execution begins.

    An execution under way ends where it is.
    """

    function_id: str
    from_version: str
    to_version: str = ""
    reason: Annotated[str, field(max_length=1000)] = ""


class Moved(Message, kw_only=True):
    runs: int


versions = operation(
    "deploys.versions", ListCodeVersions, CodeVersions,
    rest="GET /api/v1/function-versions", scope="functions:read", errors=(FunctionNotFound,),
    doc="The versions of a function's code with their workers and runs, and which workers may go.",
)  # fmt: skip
registrations = operation(
    "deploys.registrations", ListRegistrations, Registrations,
    rest="GET /api/v1/function-versions/registered", scope="functions:read", errors=(FunctionNotFound,),
    doc="The configurations that a function had, by its version, with the runs under way; of at most 10,000 runs.",
)  # fmt: skip
move_runs = operation(
    "deploys.move_runs", MoveRuns, Moved,
    rest="POST /api/v1/function-versions/move-runs", scope="runs:write", errors=(FunctionNotFound, InvalidMove),
    doc="Moves the runs under way of one version of a function's code to another, for workers that never come back.",
)  # fmt: skip
