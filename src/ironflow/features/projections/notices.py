"""What this feature publishes: states as readers see them. Source: protocol/connectrpc.md 7."""

from collections.abc import Sequence
from dataclasses import dataclass

from ironflow.base.json import to_json, write_json_text
from ironflow.base.notice import Notice
from ironflow.base.time import Millis


@dataclass(frozen=True, slots=True)
class StateSaved:
    """`system.projection.<name>.<partition>.updated`; encoded only when there is a listener."""

    environment: str
    name: str
    partition: str
    state: str
    event_id: str
    event_name: str
    at: Millis

    @property
    def weight(self) -> int:
        return 1

    @property
    def size_bytes(self) -> int:
        return len(self.state)

    def notices(self) -> Sequence[Notice]:
        data = {"state": to_json(self.state), "last_event_id": self.event_id, "last_event_name": self.event_name}
        parts = ("projection", self.name, self.partition, "updated")
        return (Notice(self.environment, parts, write_json_text(data), self.at),)
