"""What can be asked of gathered events. Source: behaviour.md 1, "Debounce"."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation


class DebounceNotFound(NotFound):
    """There is no such pending debounce; it may have fired."""

    code = "DEBOUNCE_NOT_FOUND"


class Debounce(Message, kw_only=True):
    """Events of one lane. event_id: the last one, which will start the run. events: how many came so far."""

    id: str
    function_id: str
    key: str
    event_id: str
    events: int
    first_at: datetime
    fire_at: datetime


class ListDebounces(Message, kw_only=True):
    function_id: str = ""
    limit: Annotated[int, field(ge=1, le=1000)] = 100
    cursor: str = ""


class Debounces(Message, kw_only=True):
    entries: list[Debounce]
    count: int
    next_cursor: str | None = None


class CancelDebounce(Message, kw_only=True):
    id: str


list_ = operation(
    "debounces.list", ListDebounces, Debounces,
    rest="GET /api/v1/debounce/entries", scope="runs:read",
    doc="Events that are being gathered and have not started a run yet.",
)  # fmt: skip
cancel = operation(
    "debounces.cancel", CancelDebounce, None,
    rest="DELETE /api/v1/debounce/entries/{id}", scope="runs:cancel", errors=(DebounceNotFound,),
    doc="Deletes gathered events: they start no run.",
)  # fmt: skip
