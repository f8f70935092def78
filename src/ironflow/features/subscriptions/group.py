"""A subscription with a consumer group: a member of the group, with the face of other subscriptions.

Its id is that of the wish, as for others, not the member's. An ack names only the event, and is found by it.
"""

from collections.abc import Callable

from ironflow.base.call import Call
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.consumer_groups.acking import Acks, Said
from ironflow.features.consumer_groups.claiming import Handed
from ironflow.features.consumer_groups.member import Member
from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.features.subscriptions import rules
from ironflow.features.subscriptions.contract import Subscribe, SubscribeOptions
from ironflow.features.subscriptions.entry import Entry, entry_of

TAKE_MAX = 64
# Of so many events it is known that they were sent here; acks of older ones are not understood.
SENT_MAX = groups.INFLIGHT_MAX


async def enter_group(rooms: ConsumerGroups, call: Call, request: Subscribe) -> Member:
    """A new member of the group that the options name, which is created as they say when there is none.

    Raises InvalidSubscription, InvalidPattern, InvalidExpression, InvalidGroup.
    """
    options = request.options or SubscribeOptions()
    rules.check_options(options)
    member = await rooms.enter(
        call,
        groups.JoinGroup(namespace=options.namespace, group_name=options.consumer_group),
        otherwise=groups.CreateGroup(
            namespace=options.namespace,
            name=options.consumer_group,
            pattern=request.pattern,
            filter_expr=options.filter,
            ack_mode=options.ack_mode or groups.AckMode.AUTO,
            backpressure=options.backpressure or groups.BackpressureMode.BUFFER,
        ),
        ack_mode=options.ack_mode,
    )
    try:
        rules.check_group_pattern(member.group.pattern, request.pattern)
    except BaseException:
        await rooms.leave(member)
        raise
    return member


class GroupSubscription:
    """A member of a group on a WebSocket. wake: called when there is something to take; it must not wait."""

    def __init__(
        self,
        subscription_id: str,
        rooms: ConsumerGroups,
        call: Call,
        member: Member,
        wake: Callable[["GroupSubscription"], None],
    ) -> None:
        self.id = subscription_id
        self._rooms = rooms
        self._member = member
        self._acks = Acks(rooms, call, member, with_results=False)
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
        """What it held goes to others."""
        self._rooms.leave_soon(self._member)

    def awaits(self, event_id: str) -> bool:
        """Whether the event was sent here and nothing was said of it yet."""
        return event_id in self._to_ack

    async def ack(self, event_id: str, ack_type: groups.AckType | None, delay_ms: int | None) -> None:
        """Takes the client's word on an event that it `awaits`."""
        del self._to_ack[event_id]
        await self._acks.say(Said(event_id, ack_type, delay_ms))
