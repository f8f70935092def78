"""What can be asked of dead letters. Our own operations, REST only. Source: behaviour.md 8.

The errors of consumer groups that these operations share are declared here, because groups stand on dead letters.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from ironflow.base.errors import InvalidArgument, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation


class GroupNotFound(NotFound):
    """There is no consumer group of that name in this environment and namespace."""

    code = "CONSUMER_GROUP_NOT_FOUND"


class InvalidGroup(InvalidArgument):
    """A group's or namespace's name is 1 to 128 letters, digits, `_`, `-`, `.` or `:`."""

    code = "INVALID_CONSUMER_GROUP"


class DeadLetter(Message, kw_only=True):
    """An event that is not delivered any more. attempts: deliveries so far. data: absent when the log has lost it."""

    event_id: str
    sequence: int
    topic: str
    reason: str
    attempts: int
    dead_at: datetime
    data: Json | None = None


class ListDeadLetters(Message, kw_only=True):
    """By position in the log. topic: a pattern of topics. reason: a part of it."""

    namespace: str = ""
    name: str
    topic: str = ""
    reason: str = ""
    limit: Annotated[int, field(ge=1, le=1000)] = 100
    cursor: str = ""


class DeadLetters(Message, kw_only=True):
    dead_letters: list[DeadLetter]
    count: int
    next_cursor: str | None = None


class ChooseDeadLetters(Message, kw_only=True):
    """Those of event_ids, or those that fit topic and reason; `all` when neither is given."""

    namespace: str = ""
    name: str
    event_ids: Annotated[list[str], field(max_length=1000)] = msgspec.field(default_factory=list)
    topic: str = ""
    reason: str = ""
    all: bool = False


class Chosen(Message, kw_only=True):
    """count: how many dead letters were chosen."""

    count: int


_DEAD_LETTERS = "/api/v1/consumer-groups/{name}/dead-letters"

list_ = operation(
    "consumer_groups.dead_letters", ListDeadLetters, DeadLetters,
    rest=f"GET {_DEAD_LETTERS}", scope="groups:read", errors=(GroupNotFound,),
    doc="Events that a group no longer delivers, with the reasons.",
)  # fmt: skip
replay = operation(
    "consumer_groups.replay", ChooseDeadLetters, Chosen,
    rest=f"POST {_DEAD_LETTERS}/replay", scope="groups:write", errors=(GroupNotFound, InvalidGroup),
    doc="Delivers dead letters again, with all their redeliveries.",
)  # fmt: skip
purge = operation(
    "consumer_groups.purge", ChooseDeadLetters, Chosen,
    rest=f"POST {_DEAD_LETTERS}/purge", scope="groups:write", errors=(GroupNotFound, InvalidGroup),
    doc="Deletes dead letters; the events stay in the log.",
)  # fmt: skip
