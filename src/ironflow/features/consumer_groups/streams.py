"""Members over RPC streams: a share of the group's events, alone or with acks on the same stream."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from ironflow.base.call import Call
from ironflow.base.errors import InvalidArgument
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.acking import Acks, Result, Said
from ironflow.features.consumer_groups.contract import AckResultCode
from ironflow.features.consumer_groups.member import Member
from ironflow.features.consumer_groups.messages import event_message

if TYPE_CHECKING:
    from ironflow.features.consumer_groups.service import ConsumerGroups

HEARTBEAT_S = 15.0
_CODES = {"invalid_argument": AckResultCode.INVALID_ARGUMENT, "not_found": AckResultCode.NOT_FOUND}


async def listen(groups: "ConsumerGroups", member: Member) -> AsyncGenerator[contract.SubscriptionEvent | None, None]:
    """The member's share for as long as somebody listens; then it leaves. None first, when it has begun."""
    try:
        yield None
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
    acks = Acks(groups, call, member, with_results=True)
    hearing = asyncio.create_task(_hear(acks, requests))
    hearing.add_done_callback(lambda _: member.poke())
    try:
        yield contract.FromServer(joined=_joined(member))
        while True:
            while acks.results:
                yield contract.FromServer(ack_result=_result(acks.results.popleft()))
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


async def _hear(acks: Acks, requests: AsyncIterator[contract.ToServer]) -> None:
    """Until there are no more frames and all of them are settled."""
    async for frame in requests:
        if frame.ack is None:
            raise InvalidArgument("After `join`, every frame of this stream is `ack`.")
        ack = frame.ack
        await acks.say(Said(ack.event_id, ack.ack_type, ack.redeliver_delay_ms or None, ack.ack_id))
    await acks.done()


def _result(result: Result) -> contract.AckResult:
    said, fault = result
    code = AckResultCode.OK if fault is None else _CODES.get(fault.connect, AckResultCode.INTERNAL)
    message = "" if fault is None else fault.message
    return contract.AckResult(ack_id=said.ack_id, event_id=said.event_id, code=code, message=message)
