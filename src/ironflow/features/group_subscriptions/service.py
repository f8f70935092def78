"""An adapter that makes a member of a consumer group look like other subscriptions of a WebSocket.

Its id is that of the request, as for others, not the member's. An ack names only the event, and is found by it.
"""

from collections.abc import Callable

from ironflow.base.call import Call
from ironflow.base.socket import PING_EVERY_S, PONG_WITHIN_S
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.consumer_groups.service import Acks, ConsumerGroups, Handed, Member, PendingAck
from ironflow.features.subscriptions.contract import Subscribe
from ironflow.features.subscriptions.service import Entry, Subscriptions, entry_of

TAKE_MAX = 64
# So many sent events are remembered; acks of older ones are ignored.
SENT_MAX = groups.INFLIGHT_MAX
# After this time a pong has come that was asked for after an event, or the socket is closed.
CONFIRMED_MS = int((PING_EVERY_S + PONG_WITHIN_S) * 1000)


async def join_group(
    subscriptions: Subscriptions,
    service: ConsumerGroups,
    call: Call,
    request: Subscribe,
    subscription_id: str,
    wake: Callable[["GroupSubscription"], None],
) -> "GroupSubscription":
    """A subscription with a consumer group. Raises what `Subscriptions.enter_group` raises."""
    member = await subscriptions.enter_group(call, request, confirmed_ms=CONFIRMED_MS)
    return GroupSubscription(subscription_id, service, call, member, wake)


class GroupSubscription:
    """A member of a group on a WebSocket. wake: called when there is something to take; it must not wait."""

    def __init__(
        self,
        subscription_id: str,
        service: ConsumerGroups,
        call: Call,
        member: Member,
        wake: Callable[["GroupSubscription"], None],
    ) -> None:
        self.id = subscription_id
        self._groups = service
        self._call = call
        self._member = member
        self._acks = Acks(service, call, member, with_results=False)
        # What the last `take` gave, until it is written.
        self._taken: list[Handed] = []
        # Events that the client is to ack, in the order in which they were sent.
        self._to_ack: dict[str, None] = {}
        member.woken = lambda: wake(self)

    @property
    def ready(self) -> bool:
        return self._member.ready

    async def take(self) -> list[Entry]:
        """What there is now. Raises what ended the membership."""
        entries: list[Entry] = []
        while len(entries) < TAKE_MAX and (handed := self._member.take()) is not None:
            entry = entry_of(handed.record)
            if entry is not None:
                entries.append(entry)
            self._taken.append(handed)
            if not handed.is_auto:
                self._to_ack[handed.record.id] = None
        while len(self._to_ack) > SENT_MAX:
            del self._to_ack[next(iter(self._to_ack))]
        return entries

    def sent(self) -> None:
        """What was taken is written to the socket."""
        for handed in self._taken:
            self._member.sent(handed)
        self._taken.clear()

    def close(self) -> None:
        """Its deliveries go to other members."""
        self._groups.leave_soon(self._member)

    def awaits(self, event_id: str) -> bool:
        """Whether the event was sent here and is not settled yet."""
        return event_id in self._to_ack

    async def ack(self, event_id: str, ack_type: groups.AckType | None, delay_ms: int | None) -> None:
        """Settles an event that it `awaits`."""
        del self._to_ack[event_id]
        self._call.require(groups.ack.scope)
        await self._acks.add(PendingAck(event_id, ack_type, delay_ms))
