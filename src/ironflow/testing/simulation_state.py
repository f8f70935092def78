"""What all runs of one TestClient share: functions, mocks, queued events, clock and ids."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ironflow.base.time import FixedClock
from ironflow.engine import commands
from ironflow.features.jobs.in_tx import with_trigger_value
from ironflow.features.waits.in_tx import Wait, matches
from ironflow.log.record import Record
from ironflow.sdk.durable.context import Clients
from ironflow.sdk.durable.definition.function import FunctionDefinition
from ironflow.sdk.values.payload import Raw, from_payload, to_payload
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

    def take_event(self, wait: commands.WaitForEvent, begun_by: Record) -> Record | None:
        """The oldest queued event that the wait is for; it is not there for other waits any more.

        begun_by: the event that started the waiting run.
        """
        wait = with_trigger_value(wait, from_payload(Raw(begun_by.data.encode())))
        looked_for = Wait("", "wait", wait.step_id, ENVIRONMENT, wait.event, wait.path, wait.value, wait.expression)
        found = next((each for each in self.events if matches(looked_for, each)), None)
        if found is not None:
            self.events.remove(found)
        return found

    def remember_fault(self, fault: NotMocked) -> None:
        self.fault = self.fault or fault

    async def publish(self, topic: str, message: Raw, key: str) -> dict[str, Any]:
        """What publishing gives. No subscriber receives the message."""
        return {"eventId": self.new_id("evt"), "sequence": self._made["evt"]}
