"""One event on its way to subscribers: decoded once, written once for each shape, however many receive it."""

from functools import cached_property

import msgspec

from ironflow.base.json import NULL, Json, write_json_text
from ironflow.base.time import Millis, to_datetime
from ironflow.features.consumer_groups.contract import EventMetadata
from ironflow.log.filters import EventFilter
from ironflow.log.record import EVERYWHERE, Record
from ironflow.log.topics import payload_text, topic_of

# Beside its data an entry takes about this much, queues included.
OVERHEAD_BYTES = 600


class Entry:
    """A record of the log, or an event of the system.

    sequence: what a subscription goes on after. data, custom: JSON texts. parts: what patterns are compared with.
    namespace: whose followers receive it, None for those of every namespace.
    """

    def __init__(self, record: Record, sequence: int, topic: str, parts: tuple[str, ...], data: str) -> None:
        self.record = record
        self.sequence = sequence
        self.topic = topic
        self.parts = parts
        self.data = data
        # Asked by every subscriber that its topic fits.
        self.namespace = None if record.kind in EVERYWHERE else record.namespace
        self.size_bytes = len(data) + OVERHEAD_BYTES
        self._verdicts: dict[EventFilter, bool] = {}

    def passes(self, chosen: EventFilter) -> bool:
        """Whether the filter lets it through; asked of the filter once, however many subscribers have it."""
        verdict = self._verdicts.get(chosen)
        if verdict is None:
            verdict = self._verdicts[chosen] = chosen.fits(self.record)
        return verdict

    @cached_property
    def plain(self) -> str:
        """The event frame of protocol/websocket.md 1 from the topic on, without its end."""
        # The data goes in as it was sent, byte for byte.
        topic = write_json_text(self.topic)
        return f'"topic":{topic},"data":{self.data},"eventId":{write_json_text(self.record.id)}'

    @cached_property
    def with_meta(self) -> str:
        about = {
            "timestamp": to_datetime(self.at),
            "sequence": self.sequence,
            "source": self.record.source,
            "namespace": self.record.namespace,
        }
        text = write_json_text(about)
        custom = f',"custom":{self.record.metadata}' if self.record.metadata else ""
        return f'{self.plain},"meta":{text[:-1]}{custom}}}'

    @cached_property
    def payload(self) -> Json:
        return msgspec.Raw(self.data.encode()) if self.data else NULL

    @cached_property
    def metadata(self) -> EventMetadata:
        custom = self.record.metadata
        return EventMetadata(
            timestamp=to_datetime(self.at),
            source=self.record.source,
            namespace=self.record.namespace,
            custom=msgspec.Raw(custom.encode()) if custom else None,
        )

    @property
    def at(self) -> Millis:
        return self.record.created_at


def entry_of(record: Record) -> Entry | None:
    """The entry of a record of the log; None for one without a topic."""
    topic = topic_of(record)
    if not topic:
        return None
    tokens = tuple(record.name.split("."))
    if record.kind != "entity":
        return Entry(record, record.position, topic, tokens, record.data)
    parts = (record.entity_type or "", record.entity_id or "", *tokens)
    return Entry(record, record.position, topic, parts, payload_text(record))
