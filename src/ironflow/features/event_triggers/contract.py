"""What can be asked: recorded events start runs of a function that was not there, or was broken, when they came."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import InvalidArgument
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.features.events import contract as events
from ironflow.features.functions.contract import FunctionNotActive, FunctionNotFound


class InvalidEventTrigger(InvalidArgument):
    """A function without event triggers is given no recorded events. Register it with one that matches them."""

    code = "INVALID_EVENT_TRIGGER"


class TriggerRecorded(Message, kw_only=True):
    """One batch of recorded events, oldest first, that start runs of a function, each once.

    names: only events of these, at most 100; a name may hold `*` and `>`. Without any, all that the triggers match.
    since, until: when they were recorded; until is now unless it is given. failed: also events whose runs of this
    function have all failed or were cancelled. dry_run: only count. limit: at most so many runs are started.
    in_flight: no more runs are started while so many that were started this way have not ended.
    cursor: where the batch before ended.
    """

    function_id: Annotated[str, field(max_length=256)]
    names: Annotated[list[str], field(max_length=100)] = []
    since: datetime | None = None
    until: datetime | None = None
    failed: bool = False
    dry_run: bool = False
    limit: Annotated[int, field(ge=1, le=500)] = 200
    in_flight: Annotated[int, field(ge=1, le=10_000)] = 100
    cursor: str = ""


class RecordedTriggered(Message, kw_only=True):
    """Events by what became of them. started: they started a run; with dry_run, they would.

    known: the function has had them. unmatched: no trigger of the function matches. refused: their key is that of a run
    that has not ended, so no other was started. redacted: their data was removed. run_ids: of the runs started.
    waiting: as many runs as allowed have not ended; ask again later. next_cursor: there are more, up to until.
    """

    started: int
    known: int
    unmatched: int
    refused: int
    redacted: int
    run_ids: list[str] = []
    waiting: bool = False
    next_cursor: str | None = None
    until: datetime


trigger = operation(
    "event_triggers.trigger", TriggerRecorded, RecordedTriggered,
    rest="POST /api/v1/events/trigger", scope="functions:invoke", asks=(events.list_.scope,),
    errors=(FunctionNotFound, FunctionNotActive, InvalidEventTrigger),
    doc="Gives a batch of recorded events to one function, each once; nothing else notices them.",
)  # fmt: skip
