"""Filters of subscribers and groups: CEL over `data`, `topic`, `name` and `timestamp`, or short: `status:failed`.

`field:value` means that the field of the data is equal, also where it is a number or a boolean of that spelling.
Source: protocol/connectrpc.md 7, protocol/websocket.md 1.
"""

import re
from functools import lru_cache

from ironflow.base.cel import Expression, expression
from ironflow.base.json import read_json, write_json_text
from ironflow.base.time import to_datetime
from ironflow.log.record import Record
from ironflow.log.topics import topic_of

_SHORT = re.compile(r"\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([^:?{}()\[\]\"'&|=<>]+)")
_ROOTS = ("data", "topic", "name", "timestamp")
_BARE = re.compile(r"-?\d+(\.\d+)?|true|false")


class EventFilter:
    """A compiled filter."""

    def __init__(self, compiled: Expression) -> None:
        self._compiled = compiled

    def fits(self, record: Record) -> bool:
        """Whether the record passes. What cannot be evaluated, such as a missing field, does not pass."""
        return self._compiled.matches(
            read_json(record.data),
            name=record.name,
            topic=topic_of(record),
            timestamp=to_datetime(record.created_at).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )


@lru_cache(maxsize=4096)
def event_filter(text: str) -> EventFilter:
    """Raises InvalidExpression."""
    short = _SHORT.fullmatch(text)
    return EventFilter(expression(_equality(short[1], short[2].strip()) if short else text))


def _equality(field: str, value: str) -> str:
    path = field if field.partition(".")[0] in _ROOTS else f"data.{field}"
    same = f"{path} == {write_json_text(value)}"
    return f"{same} || {path} == {value}" if _BARE.fullmatch(value) else same
