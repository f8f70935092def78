"""Events as subscriptions and members of groups receive them. Source: protocol/connectrpc.md 7."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from ironflow.base.duration import Duration, duration_ms
from ironflow.features.consumer_groups.contract import AckType
from ironflow.sdk.values.payload import Raw, from_payload

ENTITY = "entity:"


class Plain(NamedTuple):
    """The name and the data of an event, and its place in an entity's stream where it is of one."""

    name: str
    data: Any
    entity_type: str | None = None
    entity_id: str | None = None
    entity_version: int | None = None
    version: int = 1


def plain(topic: str, payload: Raw) -> Plain:
    """What is within a received payload: of an entity's event, the event without its envelope.

    entity_type: up to the first dot of the topic; a type that contains dots is not distinguished from the id.
    """
    data = from_payload(payload)
    if not topic.startswith(ENTITY):
        kind = "system." if topic.startswith("system.") else topic.partition(":")[0] + ":"
        return Plain(topic.removeprefix(kind), data)
    name = data["name"]
    # An id and a name may contain dots: the name is known.
    entity_type, _, entity_id = topic.removeprefix(ENTITY).removesuffix(f".{name}").partition(".")
    return Plain(name, data["data"], entity_type, entity_id, data["entityVersion"], data["version"])


# Settles an event, or extends its time (None); returns whether it counted. The delay is in ms, None for the group's.
Settle = Callable[["SubscriptionEventFields", AckType | None, int | None], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class SubscriptionEventFields:
    """The fields of an event; the asynchronous and the blocking subscription add how it is settled.

    entity_type, entity_id, entity_version: of events of an entity's stream only. version: of its schema.
    attempt: of a group's event, from 1; 0 otherwise. member_id: the member of the group that has it.
    """

    id: str
    topic: str
    name: str
    data: Any
    timestamp: datetime | None
    sequence: int
    source: str = ""
    namespace: str = "default"
    metadata: Mapping[str, Any] | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    entity_version: int | None = None
    version: int = 1
    attempt: int = 0
    member_id: str = ""
    _settle: Settle | None = field(default=None, repr=False, compare=False)

    async def _send_settlement(self, ack_type: AckType | None, delay: Duration | None = None) -> bool:
        if self._settle is None:
            return False
        return await self._settle(self, ack_type, None if delay is None else duration_ms(delay, number_unit="s"))


class SubscriptionEvent(SubscriptionEventFields):
    """One event of a subscription. name: the topic without its kind, or the name of an entity's event.

    sequence: what `after=` goes on behind. The methods are for events of a group; others return False.
    """

    __slots__ = ()

    async def ack(self) -> bool:
        """It is done. Durable when this returns True.

        False: it does not count, or is not known to: the event is with another member, or its member was lost with the
        connection. Then it comes again. An ack that is lost on its way is repeated.
        """
        return await self._send_settlement(AckType.ACK)

    async def nak(self, delay: Duration | None = None) -> bool:
        """Deliver it again after `delay`; None for the group's own. Returns as `ack` does. Raises InvalidAck."""
        return await self._send_settlement(AckType.NAK, delay)

    async def term(self) -> bool:
        """Never deliver it again: it goes to the dead letters. Returns as `ack` does."""
        return await self._send_settlement(AckType.TERM)

    async def extend(self) -> bool:
        """Begins its time anew, for work that goes on after the loop asked for the next event. False: it is lost.

        Raises MemberNotFound, ConnectionLost.
        """
        return await self._send_settlement(None)
