"""A member of a group: it extends what the loop holds, settles what the loop has finished, and gives plain events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from ironflow.base.errors import ConnectionLost, IronflowError, Unavailable
from ironflow.base.operation import Operation
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.contract import AckType, MemberNotFound
from ironflow.sdk.client.connection.membership import Join, events_of
from ironflow.sdk.client.connection.received import SubscriptionEvent, plain
from ironflow.sdk.client.connection.status import Status
from ironflow.sdk.wire.reconnect import Reconnect
from ironflow.sdk.wire.retries import Retries

WITHIN_S = 10
JOIN = Join(contract.join, contract.JoinGroup(group_name="g"), "g", "")


class FakeServer:
    """The calls of one member. sent: what its stream brings, an error for a connection that breaks."""

    def __init__(self, *sent: contract.SubscriptionEvent | IronflowError) -> None:
        self._sent = list(sent)
        self.extended: list[list[str]] = []
        self.acked: list[tuple[str, AckType]] = []
        self.joins = 0
        self.refuses: list[IronflowError] = []
        self.lost: set[str] = set()
        self._changed = asyncio.Event()

    async def stream(
        self, _operation: Operation[Any, Any], _request: Any, opened: Callable[[], None], timeout_s: float | None = None
    ) -> AsyncGenerator[contract.SubscriptionEvent, None]:
        self.joins += 1
        opened()
        while self._sent:
            item = self._sent.pop(0)
            if isinstance(item, IronflowError):
                raise item
            yield item
        await asyncio.Event().wait()

    async def call(self, _operation: Operation[Any, Any], request: Any, *, timeout: Any = None) -> Any:
        if isinstance(request, contract.ExtendEvents):
            self.extended.append(request.event_ids)
            self._changed.set()
            return contract.Extended(event_ids=[each for each in request.event_ids if each not in self.lost])
        if self.refuses:
            raise self.refuses.pop(0)
        self.acked.append((request.event_id, request.ack_type))
        return contract.Acked()

    async def until(self, number: int) -> None:
        """Until so many requests for more time have come."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.extended) < number:
                self._changed.clear()
                await self._changed.wait()


def sent(event_id: str, *, auto: bool | None = False, ack_wait_ms: int = 30, member: str = "m1") -> Any:
    return contract.SubscriptionEvent(
        subscription_id=member,
        event_id=event_id,
        topic="topic:mail",
        data=msgspec.Raw(b'{"n":1}'),
        delivery_attempt=1,
        ack_wait_ms=ack_wait_ms,
        auto_ack=auto,
    )


def following(server: Any) -> "aclosing[AsyncGenerator[SubscriptionEvent, None]]":
    return aclosing(events_of(server, JOIN, Status(""), Reconnect.of(Retries()), None))


async def ids(events: AsyncIterator[SubscriptionEvent], count: int) -> list[str]:
    return [(await anext(events)).id for _ in range(count)]


async def test_events_are_extended_while_the_loop_works_and_until_they_are_settled():
    server = FakeServer(sent("a"), sent("b"))
    async with following(server) as events:
        first = await anext(events)
        await server.until(3)
        assert await first.ack()
        number = len(server.extended)
        await server.until(number + 2)

    # The one that waits for its turn too.
    assert server.extended[0] == ["a", "b"]
    assert server.extended[-1] == ["b"]
    assert server.acked == [("a", AckType.ACK)]


async def test_an_event_that_the_loop_left_behind_is_extended_no_more():
    server = FakeServer(sent("a"), sent("b"))
    async with following(server) as events:
        assert await ids(events, 2) == ["a", "b"]
        await server.until(len(server.extended) + 2)

    assert server.extended[-1] == ["b"]
    assert server.acked == []


async def test_an_event_that_the_server_gave_to_another_is_extended_no_more():
    server = FakeServer(sent("a"), sent("b"))
    server.lost = {"a"}
    async with following(server) as events:
        await anext(events)
        await server.until(2)

    assert server.extended[:2] == [["a", "b"], ["b"]]


async def test_auto_acks_an_event_when_the_loop_asks_for_the_next():
    server = FakeServer(sent("a", auto=True), sent("b", auto=True), sent("c", auto=True))
    async with following(server) as events:
        first = await anext(events)
        assert server.acked == []
        assert await first.nak()
        assert await ids(events, 2) == ["b", "c"]

    # The one at which the loop was left comes again.
    assert server.acked == [("a", AckType.NAK), ("b", AckType.ACK)]


async def test_an_older_server_settles_auto_events_itself():
    server = FakeServer(sent("a", auto=None, ack_wait_ms=0), sent("b", auto=None, ack_wait_ms=0))
    async with following(server) as events:
        assert await ids(events, 2) == ["a", "b"]

    assert (server.acked, server.extended) == ([], [])


async def test_what_waits_when_the_connection_breaks_comes_again_and_not_twice():
    server = FakeServer(sent("a"), sent("b"), ConnectionLost("gone"), sent("a", member="m2"), sent("b", member="m2"))
    async with following(server) as events:
        found = [await anext(events) for _ in range(2)]

    assert [(each.id, each.member_id) for each in found] == [("a", "m2"), ("b", "m2")]
    assert server.joins == 2


@pytest.mark.parametrize(
    ("refusals", "counted"),
    [([], True), ([Unavailable("x"), ConnectionLost("y")], True), ([Unavailable("x"), MemberNotFound("gone")], False)],
)
async def test_an_ack_is_repeated_and_one_that_is_lost_is_no_error(refusals: list[IronflowError], counted: bool):
    server = FakeServer(sent("a"))
    server.refuses = refusals
    async with following(server) as events:
        assert await (await anext(events)).ack() is counted


async def test_what_ends_a_membership_is_raised_in_the_loop():
    server = FakeServer(contract.GroupNotFound("deleted"))
    async with following(server) as events:
        with pytest.raises(contract.GroupNotFound):
            await anext(events)


ENVELOPE = b'{"id":"e","name":"item.added","entityVersion":3,"version":2,"source":"api","data":{"sku":1}}'


@pytest.mark.parametrize(
    ("topic", "payload", "found"),
    [
        ("events:order.placed", b"1", ("order.placed", 1, None, None, None, 1)),
        ("topic:mail.in", b"null", ("mail.in", None, None, None, None, 1)),
        ("system.run.r1.created", b"{}", ("run.r1.created", {}, None, None, None, 1)),
        ("entity:cart.c.7.item.added", ENVELOPE, ("item.added", {"sku": 1}, "cart", "c.7", 3, 2)),
    ],
)
def test_an_event_is_plain_whatever_its_topic(topic: str, payload: bytes, found: tuple[Any, ...]):
    assert tuple(plain(topic, msgspec.Raw(payload))) == found
