"""What can be asked of slots."""

from ironflow.base.fields import Message
from ironflow.base.operation import operation
from ironflow.features.functions.contract import FunctionNotFound


class ListSlots(Message, kw_only=True):
    function_id: str


class SlotLane(Message, kw_only=True):
    """The slots of one key. kind: `key`, of the function's own limit; `scope`, of one that functions share; `actor`.

    scope: its name. key: the value of the limit's key, empty for a limit without one. limit: 0 for any number.
    held, waiting: runs with and without a slot; holders and next are the ids of the first of them, next the one that
    waits longest first.
    """

    kind: str
    scope: str = ""
    key: str
    limit: int
    held: int
    waiting: int
    holders: list[str]
    next: list[str]


class SlotLanes(Message, kw_only=True):
    """lanes: at most 100, those for which most runs wait first. truncated: there are more runs than were counted."""

    lanes: list[SlotLane]
    truncated: bool


list_ = operation(
    "slots.list", ListSlots, SlotLanes,
    rest="GET /api/v1/slots", scope="runs:read", errors=(FunctionNotFound,),
    doc="Which runs hold the slots of a function's limits and actors, and which wait; of at most 10,000 runs.",
)  # fmt: skip
