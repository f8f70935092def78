"""Members over RPC streams: a share of the group's events, alone or with acks on the same stream."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from ironflow.base.call import Call
from ironflow.base.errors import InvalidArgument, IronflowError
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.contract import AckResultCode
from ironflow.features.consumer_groups.member import Member
from ironflow.features.consumer_groups.messages import event_message

if TYPE_CHECKING:
    from ironflow.features.consumer_groups.service import ConsumerGroups

HEARTBEAT_S = 15.0
# Acks of one stream that are on their way to the disk; who sends more waits.
ACKS_MAX = 1_000
_CODES = {"invalid_argument": AckResultCode.INVALID_ARGUMENT, "not_found": AckResultCode.NOT_FOUND}


async def listen(
    groups: "ConsumerGroups", call: Call, request: contract.JoinGroup
) -> AsyncGenerator[contract.GroupEvent, None]:
    """The member's share for as long as somebody listens."""
    member = await groups.enter(call, request)
    try:
        while True:
            while (handed := member.take()) is not None:
                yield event_message(member.id, handed)
                # The transport asks for the next one when this one is written.
                member.sent(handed)
            await member.wait()
    finally:
        await groups.leave(member)


async def converse(
    groups: "ConsumerGroups", call: Call, requests: AsyncIterator[contract.ToServer]
) -> AsyncGenerator[contract.FromServer, None]:
    """The member's share, and the results of the acks that it sends. Ends when the member sends no more.

    Raises InvalidArgument when the first frame is not `join`, or a later one is not `ack`.
    """
    first = await anext(requests, None)
    if first is None or first.join is None:
        raise InvalidArgument("The first frame of this stream is `join`.")
    member = await groups.enter(call, first.join)
    acks = _Acks(groups, call, member)
    hearing = asyncio.create_task(acks.hear(requests))
    hearing.add_done_callback(lambda _: member.poke())
    try:
        yield contract.FromServer(joined=_joined(member))
        while True:
            while acks.results:
                yield contract.FromServer(ack_result=acks.results.popleft())
            if hearing.done():
                # Also what made it stop.
                hearing.result()
                return
            if (handed := member.take()) is not None:
                yield contract.FromServer(event=event_message(member.id, handed))
                member.sent(handed)
            elif not await member.wait(HEARTBEAT_S):
                yield contract.FromServer(heartbeat=contract.StreamHeartbeat())
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        await groups.leave(member)


def _joined(member: Member) -> contract.Joined:
    group = member.group
    return contract.Joined(
        subscription_id=member.id,
        group_name=group.name,
        pattern=group.pattern,
        ack_mode=contract.AckMode(group.ack_mode),
    )


class _Acks:
    """Settles what a member's frames say, many at a time, and keeps the results."""

    def __init__(self, groups: "ConsumerGroups", call: Call, member: Member) -> None:
        self._groups, self._call, self._member = groups, call, member
        self._under_way: set[asyncio.Task[None]] = set()
        self.results: deque[contract.AckResult] = deque()

    async def hear(self, requests: AsyncIterator[contract.ToServer]) -> None:
        """Until there are no more frames and all of them are settled."""
        async for frame in requests:
            if frame.ack is None:
                raise InvalidArgument("After `join`, every frame of this stream is `ack`.")
            if len(self._under_way) >= ACKS_MAX:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self._settle(frame.ack))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _settle(self, ack: contract.SubscriptionAck) -> None:
        code, message = AckResultCode.OK, ""
        try:
            await self._groups.say(self._call, self._member, ack.event_id, ack.ack_type, ack.redeliver_delay_ms or None)
        except IronflowError as fault:
            code, message = _CODES.get(fault.connect, AckResultCode.INTERNAL), fault.message
        self.results.append(contract.AckResult(ack_id=ack.ack_id, event_id=ack.event_id, code=code, message=message))
        self._member.poke()
