"""What all runs of one TestClient share: functions, mocks, queued events, clock and ids."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ironflow.base.time import FixedClock
from ironflow.features.runs.in_tx import event_text
from ironflow.features.waits.in_tx import Wait, matches
from ironflow.log.record import Record
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.durable.context import Clients
from ironflow.sdk.values.payload import Raw, to_payload
from ironflow.testing.mocks import Mocks, NotMocked

ENVIRONMENT = "default"


@dataclass
class SimulationState:
    """fault: the first step or function that was met without a mock. events: sent and not yet taken, oldest first.

    entities: their states, by name and key.
    """

    functions: Mapping[str, FunctionDefinition]
    strict: bool
    secrets: Mapping[str, str]
    clock: FixedClock
    clients: Clients | None = None
    steps: Mocks = field(default_factory=Mocks)
    invokes: Mocks = field(default_factory=Mocks)
    events: list[Record] = field(default_factory=list)
    fault: NotMocked | None = None
    entities: dict[tuple[str, str], Raw] = field(default_factory=dict[tuple[str, str], Raw])
    _made: Counter[str] = field(default_factory=Counter)

    def new_id(self, prefix: str) -> str:
        """`run_1`, `run_2`, …: the same in every test run."""
        self._made[prefix] += 1
        return f"{prefix}_{self._made[prefix]}"

    def event(self, name: str, data: Any, *, source: str = "", metadata: Any = None, version: int = 1) -> Record:
        """An event that happens now. Raises SerializationError."""
        return Record(
            id=self.new_id("evt"),
            environment=ENVIRONMENT,
            kind="event",
            name=name,
            data=bytes(to_payload(data, f"the data of event {name!r}")).decode(),
            created_at=self.clock.now(),
            metadata=None if metadata is None else bytes(to_payload(metadata, "the metadata")).decode(),
            version=version,
            source=source,
        )

    def event_for(self, waits: Iterable[Wait]) -> tuple[Record, list[Wait]] | None:
        """The oldest queued event that one of the waits is for, and all that it is for; it is not queued any more."""
        waits = list(waits)
        for event in self.events:
            found = [wait for wait in waits if matches(wait, event)]
            if found:
                self.events.remove(event)
                return event, found
        return None

    def text_of(self, event: Record) -> str:
        """The event as a step returns it."""
        return event_text(event)

    def remember_fault(self, fault: NotMocked) -> None:
        self.fault = self.fault or fault

    async def publish(self, topic: str, message: Raw, key: str) -> dict[str, Any]:
        """What publishing gives. No subscriber receives the message."""
        return {"eventId": self.new_id("evt"), "sequence": self._made["evt"]}
