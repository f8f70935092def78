"""System notices about appends to entities' streams: `system.stream.<entityId>.appended`.

Source: protocol/operating.md 4.
"""

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.log.record import Record

# About what the text of one notice takes.
TEXT_BYTES = 200


class Appended:
    """The events of one commit. Those of streams are published; their texts are made when they are read.

    records: all of them, which are counted.
    """

    __slots__ = ("_records", "records")

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self._records = [record for record in records if record.entity_id]

    @property
    def weight(self) -> int:
        return len(self._records)

    @property
    def size_bytes(self) -> int:
        return TEXT_BYTES * len(self._records)

    def notices(self) -> list[Notice]:
        return [_notice(record) for record in self._records]


def _notice(record: Record) -> Notice:
    entity_id = record.entity_id or ""
    fields = {
        "entity_id": entity_id,
        "entity_type": record.entity_type or "",
        "entity_version": record.entity_version or 0,
        "event_name": record.name,
        "event_id": record.id,
    }
    return Notice(record.environment, ("stream", entity_id, "appended"), write_json_text(fields), record.created_at)
