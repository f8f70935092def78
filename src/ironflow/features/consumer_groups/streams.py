"""Members over RPC streams: a share of the group's events, alone or with acks on the same stream."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from ironflow.base.call import Call
from ironflow.base.errors import InvalidArgument
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.acking import Acks, PendingAck, Result
from ironflow.features.consumer_groups.contract import AckResultCode
from ironflow.features.consumer_groups.member import Member
from ironflow.features.consumer_groups.members import Members
from ironflow.features.consumer_groups.messages import event_message

HEARTBEAT_S = 15.0
NOT_IN_FLIGHT = "The event is not in flight with this member any more; the ack changed nothing."
_CODES = {"invalid_argument": AckResultCode.INVALID_ARGUMENT, "not_found": AckResultCode.NOT_FOUND}


async def listen(groups: Members, member: Member) -> AsyncGenerator[contract.SubscriptionEvent | None, None]:
    """The member's events until the consumer closes this generator; then the member leaves. Yields None once joined."""
    try:
        yield None
        while True:
            while (handed := member.take()) is not None:
                yield event_message(member, handed)
                # The transport reads the next event once this one is written.
                member.sent(handed)
            await member.wait()
    finally:
        await groups.leave(member)


async def converse(
    groups: Members, call: Call, requests: AsyncIterator[contract.ToServer]
) -> AsyncGenerator[contract.FromServer, None]:
    """The member's events and the results of its acks. Ends when the member closes its half of the stream.

    Raises InvalidArgument when the first frame is not `join`, or a later one is not `ack`.
    """
    first = await anext(requests, None)
    if first is None or first.join is None:
        raise InvalidArgument("The first frame of this stream is `join`.")
    member = await groups.enter(call, first.join)
    acks = Acks(groups, call, member, with_results=True)
    receiving = asyncio.create_task(_receive_acks(acks, requests))
    receiving.add_done_callback(lambda _: member.poke())
    try:
        yield contract.FromServer(joined=_joined(member))
        while True:
            while acks.results:
                yield contract.FromServer(ack_result=_result(acks.results.popleft()))
            if receiving.done():
                # Raises the error that ended it, if any.
                receiving.result()
                return
            if (handed := member.take()) is not None:
                yield contract.FromServer(event=event_message(member, handed))
                member.sent(handed)
            elif not await member.wait(HEARTBEAT_S):
                yield contract.FromServer(heartbeat=contract.StreamHeartbeat())
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        await groups.leave(member)


def _joined(member: Member) -> contract.Joined:
    group = member.group
    return contract.Joined(
        subscription_id=member.id,
        group_name=group.name,
        pattern=group.pattern,
        ack_mode=contract.AckMode(group.ack_mode),
    )


async def _receive_acks(acks: Acks, requests: AsyncIterator[contract.ToServer]) -> None:
    """Settles every ack of the stream. Returns when the last one is settled."""
    async for frame in requests:
        if frame.ack is None:
            raise InvalidArgument("After `join`, every frame of this stream is `ack`.")
        ack = frame.ack
        await acks.add(PendingAck(ack.event_id, ack.ack_type, ack.redeliver_delay_ms or None, ack.ack_id))
    await acks.done()


def _result(result: Result) -> contract.AckResult:
    ack, fault, settled = result
    code = AckResultCode.OK if fault is None else _CODES.get(fault.connect, AckResultCode.INTERNAL)
    message = NOT_IN_FLIGHT if fault is None and not settled else "" if fault is None else fault.message
    return contract.AckResult(ack_id=ack.ack_id, event_id=ack.event_id, code=code, message=message)
