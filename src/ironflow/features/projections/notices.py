"""What is told of projections: `system.projection.<name>.<partition>.updated` with the new state.

The state is kept as it is and becomes words when somebody listens. Source: protocol/connectrpc.md 7, websocket.md 4.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.base.time import Millis
from ironflow.features.projections.contract import GLOBAL


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A new state of a partition. state: JSON text. event_name: empty where the log has the event no more."""

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

    def notices(self) -> list[Notice]:
        said: dict[str, Any] = {
            "state": msgspec.Raw(self.state.encode()),
            "last_event_id": self.event_id,
            "last_event_name": self.event_name,
        }
        parts = ("projection", self.name, self.partition or GLOBAL, "updated")
        return [Notice(self.environment, parts, write_json_text(said), self.at)]
