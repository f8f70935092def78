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
from tests.support.groups import WITHIN_S, a_group, join, numbers, publish
from tests.support.house import House
from tests.support.work import Work


class Talk:
    """Frames there and back. None sent ends the client's half."""

    def __init__(self, house: House) -> None:
        self._frames: asyncio.Queue[ToServer | None] = asyncio.Queue()
        call = Call(environment="default", now=house.now)
        self.stream = house.dispatch.stream(contract.subscribe, call, self._sent())

    async def _sent(self) -> AsyncIterator[ToServer]:
        while (frame := await self._frames.get()) is not None:
            yield frame

    def say(self, **frame: Any) -> None:
        self._frames.put_nowait(reader(ToServer).build(frame) if frame else None)  # type: ignore[arg-type]

    async def hear(self) -> FromServer:
        async with asyncio.timeout(WITHIN_S):
            return await anext(self.stream)


def joining(group: str = "billing") -> contract.JoinGroup:
    return contract.JoinGroup(group_name=group)


def ack(event_id: str, ack_id: int, ack_type: str | None = "ack", delay_ms: int = 0) -> contract.SubscriptionAck:
    kind = contract.AckType(ack_type) if ack_type else None
    return contract.SubscriptionAck(event_id=event_id, ack_type=kind, ack_id=ack_id, redeliver_delay_ms=delay_ms)


async def test_a_member_joins_gets_events_and_hears_what_became_of_its_acks(house: Work):
    await a_group(house)
    talk = Talk(house)
    talk.say(join=joining())
    joined = (await talk.hear()).joined
    await publish(house, 2)
    events = [(await talk.hear()).event, (await talk.hear()).event]
    assert joined is not None
    assert [event and event.subscription_id for event in events] == [joined.subscription_id] * 2
    assert (joined.group_name, joined.pattern, joined.ack_mode.value) == ("billing", "topic:mail", "manual")

    first, second = (event for event in events if event is not None)
    assert numbers([first, second]) == [0, 1]
    talk.say(ack=ack(first.event_id, 1))
    talk.say(ack=ack(second.event_id, 2, "ack", delay_ms=5))
    talk.say(ack=ack(second.event_id, 3, None))
    talk.say(ack=ack("msg_x", 4))
    results = [(await talk.hear()).ack_result for _ in range(4)]
    assert {result.ack_id: result.code for result in results if result} == {
        1: AckResultCode.OK,
        2: AckResultCode.INVALID_ARGUMENT,
        3: AckResultCode.INVALID_ARGUMENT,
        4: AckResultCode.OK,
    }
    found = await house.call(contract.get, name="billing")
    assert (found.in_flight, found.member_count) == (1, 1)
    await talk.stream.aclose()
    found = await house.call(contract.get, name="billing")
    assert (found.in_flight, found.waiting, found.member_count) == (0, 1, 0)


async def test_acks_sent_before_the_client_closes_its_half_count(house: Work):
    await a_group(house)
    talk = Talk(house)
    talk.say(join=joining())
    await talk.hear()
    await publish(house, 20)
    events = [(await talk.hear()).event for _ in range(20)]
    for place, event in enumerate(events):
        assert event is not None
        talk.say(ack=ack(event.event_id, place))
    talk.say()
    heard = [frame async for frame in talk.stream]

    assert sorted(frame.ack_result.ack_id for frame in heard if frame.ack_result) == list(range(20))
    other = await join(house, "billing")
    assert await other.rest() == []
    await other.leave()


async def test_a_member_of_a_gone_membership_hears_not_found(house: Work):
    await a_group(house)
    talk = Talk(house)
    talk.say(join=joining())
    await talk.hear()
    house.inside.groups.members()[0].end = lambda why: None  # type: ignore[method-assign]
    await house.call(contract.delete, name="billing")
    talk.say(ack=ack("msg_x", 1))
    result = (await talk.hear()).ack_result

    assert result is not None
    assert (result.code, "Join the group again" in result.message) == (AckResultCode.NOT_FOUND, True)
    await talk.stream.aclose()


@pytest.mark.parametrize("frames", [[{}], [{"ack": ack("x", 1)}], [{"join": joining()}, {"join": joining()}]])
async def test_frames_out_of_order_end_the_stream(house: Work, frames: list[dict[str, Any]]):
    await a_group(house)
    talk = Talk(house)
    for frame in frames:
        talk.say(**frame)
    with pytest.raises(InvalidArgument):
        _ = [frame async for frame in talk.stream]
    assert house.inside.groups.members() == []


async def test_a_quiet_stream_beats(house: Work, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.01)
    await a_group(house)
    talk = Talk(house)
    talk.say(join=joining())
    assert (await talk.hear()).joined is not None
    assert (await talk.hear()).heartbeat is not None
    await talk.stream.aclose()
