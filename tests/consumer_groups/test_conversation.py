"""A member on one stream in both directions: joined, events, acks and their results."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ironflow.base.call import Call
from ironflow.base.errors import InvalidArgument
from ironflow.base.spelling import reader
from ironflow.features.consumer_groups import contract, streams
from ironflow.features.consumer_groups.contract import AckResultCode, FromServer, ToServer
from ironflow.features.consumer_groups.service import ConsumerGroups
from tests.support.groups import WITHIN_S, a_group, join, numbers, publish
from tests.support.server import Server
from tests.support.work import Work


class Conversation:
    """One stream in both directions. `send` without a frame closes the client's half."""

    def __init__(self, server: Server) -> None:
        self._frames: asyncio.Queue[ToServer | None] = asyncio.Queue()
        call = Call(environment="default", now=server.now)
        self.stream = server.dispatch.stream(contract.subscribe, call, self._sent())

    async def _sent(self) -> AsyncIterator[ToServer]:
        while (frame := await self._frames.get()) is not None:
            yield frame

    def send(self, **frame: Any) -> None:
        self._frames.put_nowait(reader(ToServer).build(frame) if frame else None)  # type: ignore[arg-type]

    async def receive(self) -> FromServer:
        async with asyncio.timeout(WITHIN_S):
            return await anext(self.stream)


def joining(group: str = "billing") -> contract.JoinGroup:
    return contract.JoinGroup(group_name=group)


def ack(event_id: str, ack_id: int, ack_type: str | None = "ack", delay_ms: int = 0) -> contract.SubscriptionAck:
    kind = contract.AckType(ack_type) if ack_type else None
    return contract.SubscriptionAck(event_id=event_id, ack_type=kind, ack_id=ack_id, redeliver_delay_ms=delay_ms)


async def test_a_member_joins_gets_events_and_the_results_of_its_acks(server: Work):
    await a_group(server)
    conversation = Conversation(server)
    conversation.send(join=joining())
    joined = (await conversation.receive()).joined
    await publish(server, 2)
    events = [(await conversation.receive()).event, (await conversation.receive()).event]
    assert joined is not None
    assert [event and event.subscription_id for event in events] == [joined.subscription_id] * 2
    assert (joined.group_name, joined.pattern, joined.ack_mode.value) == ("billing", "topic:mail", "manual")

    first, second = (event for event in events if event is not None)
    assert numbers([first, second]) == [0, 1]
    conversation.send(ack=ack(first.event_id, 1))
    conversation.send(ack=ack(second.event_id, 2, "ack", delay_ms=5))
    conversation.send(ack=ack(second.event_id, 3, None))
    conversation.send(ack=ack("msg_x", 4))
    results = [(await conversation.receive()).ack_result for _ in range(4)]
    assert {result.ack_id: result.code for result in results if result} == {
        1: AckResultCode.OK,
        2: AckResultCode.INVALID_ARGUMENT,
        3: AckResultCode.INVALID_ARGUMENT,
        4: AckResultCode.OK,
    }
    found = await server.call(contract.get, name="billing")
    assert (found.in_flight, found.member_count) == (1, 1)
    await conversation.stream.aclose()
    found = await server.call(contract.get, name="billing")
    assert (found.in_flight, found.waiting, found.member_count) == (0, 1, 0)


async def test_acks_sent_before_the_client_closes_its_half_count(server: Work):
    await a_group(server)
    conversation = Conversation(server)
    conversation.send(join=joining())
    await conversation.receive()
    await publish(server, 20)
    events = [(await conversation.receive()).event for _ in range(20)]
    for ack_id, event in enumerate(events):
        assert event is not None
        conversation.send(ack=ack(event.event_id, ack_id))
    conversation.send()
    received = [frame async for frame in conversation.stream]

    assert sorted(frame.ack_result.ack_id for frame in received if frame.ack_result) == list(range(20))
    other = await join(server, "billing")
    assert await other.rest() == []
    await other.leave()


async def test_an_ack_of_an_ended_membership_is_answered_not_found(server: Work):
    await a_group(server)
    conversation = Conversation(server)
    conversation.send(join=joining())
    await conversation.receive()
    server.part(ConsumerGroups).matcher.members()[0].end = lambda why: None  # type: ignore[method-assign]
    await server.call(contract.delete, name="billing")
    conversation.send(ack=ack("msg_x", 1))
    result = (await conversation.receive()).ack_result

    assert result is not None
    assert (result.code, "Join the group again" in result.message) == (AckResultCode.NOT_FOUND, True)
    await conversation.stream.aclose()


@pytest.mark.parametrize("frames", [[{}], [{"ack": ack("x", 1)}], [{"join": joining()}, {"join": joining()}]])
async def test_frames_out_of_order_end_the_stream(server: Work, frames: list[dict[str, Any]]):
    await a_group(server)
    conversation = Conversation(server)
    for frame in frames:
        conversation.send(**frame)
    with pytest.raises(InvalidArgument):
        _ = [frame async for frame in conversation.stream]
    assert server.part(ConsumerGroups).matcher.members() == []


async def test_an_idle_stream_sends_heartbeats(server: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.01)
    await a_group(server)
    conversation = Conversation(server)
    conversation.send(join=joining())
    assert (await conversation.receive()).joined is not None
    assert (await conversation.receive()).heartbeat is not None
    await conversation.stream.aclose()
