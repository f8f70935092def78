"""A member of a consumer group, whose events a program's `async for` loop takes.

It extends the ack wait of the events that it holds, acks those that the loop has finished, and unwraps their payloads.
"""

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
from ironflow.sdk.client.connection.received import Plain, SubscriptionEvent, plain
from ironflow.sdk.client.connection.status import Status
from ironflow.sdk.wire.reconnect import Reconnect
from ironflow.sdk.wire.retries import Retries

WITHIN_S = 10
JOIN = Join(contract.join, contract.JoinGroup(group_name="g"), "g", "")


class FakeServer:
    """Stands in for the calls of one member. stream_items: what its streams deliver in turn; an error ends a stream.

    extended: the event ids of each request to extend. acked: the acks that were accepted. ack_errors: with which the
    next acks fail, in turn. lost: ids of events that are not extended any more.
    """

    def __init__(self, *stream_items: contract.SubscriptionEvent | IronflowError) -> None:
        self._stream_items = list(stream_items)
        self.extended: list[list[str]] = []
        self.acked: list[tuple[str, AckType]] = []
        self.joins = 0
        self.ack_errors: list[IronflowError] = []
        self.lost: set[str] = set()
        self._changed = asyncio.Event()

    async def stream(
        self, _operation: Operation[Any, Any], _request: Any, opened: Callable[[], None], timeout_s: float | None = None
    ) -> AsyncGenerator[contract.SubscriptionEvent, None]:
        self.joins += 1
        opened()
        while self._stream_items:
            item = self._stream_items.pop(0)
            if isinstance(item, IronflowError):
                raise item
            yield item
        await asyncio.Event().wait()

    async def call(self, _operation: Operation[Any, Any], request: Any, *, timeout: Any = None) -> Any:
        if isinstance(request, contract.ExtendEvents):
            self.extended.append(request.event_ids)
            self._changed.set()
            return contract.Extended(event_ids=[each for each in request.event_ids if each not in self.lost])
        if self.ack_errors:
            raise self.ack_errors.pop(0)
        self.acked.append((request.event_id, request.ack_type))
        return contract.Acked()

    async def until_extended(self, times: int) -> None:
        """Waits until the member has sent this many requests to extend."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.extended) < times:
                self._changed.clear()
                await self._changed.wait()


def delivery(event_id: str, *, auto: bool | None = False, ack_wait_ms: int = 30, member: str = "m1") -> Any:
    return contract.SubscriptionEvent(
        subscription_id=member,
        event_id=event_id,
        topic="topic:mail",
        data=msgspec.Raw(b'{"n":1}'),
        delivery_attempt=1,
        ack_wait_ms=ack_wait_ms,
        auto_ack=auto,
    )


def subscribed(server: Any) -> "aclosing[AsyncGenerator[SubscriptionEvent, None]]":
    return aclosing(events_of(server, JOIN, Status(""), Reconnect.of(Retries()), None))


async def ids(events: AsyncIterator[SubscriptionEvent], count: int) -> list[str]:
    return [(await anext(events)).id for _ in range(count)]


async def test_events_are_extended_while_the_loop_works_and_until_they_are_settled():
    server = FakeServer(delivery("a"), delivery("b"))
    async with subscribed(server) as events:
        first = await anext(events)
        await server.until_extended(3)
        assert await first.ack()
        times = len(server.extended)
        await server.until_extended(times + 2)

    # Also the event that the loop has not taken yet.
    assert server.extended[0] == ["a", "b"]
    assert server.extended[-1] == ["b"]
    assert server.acked == [("a", AckType.ACK)]


async def test_an_event_is_not_extended_any_more_when_the_loop_has_taken_the_next_one():
    server = FakeServer(delivery("a"), delivery("b"))
    async with subscribed(server) as events:
        assert await ids(events, 2) == ["a", "b"]
        await server.until_extended(len(server.extended) + 2)

    assert server.extended[-1] == ["b"]
    assert server.acked == []


async def test_an_event_that_the_server_delivered_to_another_member_is_not_extended_any_more():
    server = FakeServer(delivery("a"), delivery("b"))
    server.lost = {"a"}
    async with subscribed(server) as events:
        await anext(events)
        await server.until_extended(2)

    assert server.extended[:2] == [["a", "b"], ["b"]]


async def test_auto_acks_an_event_when_the_loop_asks_for_the_next():
    server = FakeServer(delivery("a", auto=True), delivery("b", auto=True), delivery("c", auto=True))
    async with subscribed(server) as events:
        first = await anext(events)
        assert server.acked == []
        assert await first.nak()
        assert await ids(events, 2) == ["b", "c"]

    # The loop ended at `c`: it is not acked, so that the server delivers it again.
    assert server.acked == [("a", AckType.NAK), ("b", AckType.ACK)]


async def test_an_older_server_settles_auto_events_itself():
    server = FakeServer(delivery("a", auto=None, ack_wait_ms=0), delivery("b", auto=None, ack_wait_ms=0))
    async with subscribed(server) as events:
        assert await ids(events, 2) == ["a", "b"]

    assert (server.acked, server.extended) == ([], [])


async def test_events_that_wait_when_the_connection_breaks_are_delivered_again_and_taken_once():
    server = FakeServer(
        delivery("a"), delivery("b"), ConnectionLost("gone"), delivery("a", member="m2"), delivery("b", member="m2")
    )
    async with subscribed(server) as events:
        taken = [await anext(events) for _ in range(2)]

    assert [(each.id, each.member_id) for each in taken] == [("a", "m2"), ("b", "m2")]
    assert server.joins == 2


@pytest.mark.parametrize(
    ("ack_errors", "counted"),
    [([], True), ([Unavailable("x"), ConnectionLost("y")], True), ([Unavailable("x"), MemberNotFound("gone")], False)],
)
async def test_an_ack_is_retried_and_is_false_for_an_unknown_member(ack_errors: list[IronflowError], counted: bool):
    server = FakeServer(delivery("a"))
    server.ack_errors = ack_errors
    async with subscribed(server) as events:
        assert await (await anext(events)).ack() is counted


async def test_an_error_that_ends_a_membership_is_raised_in_the_loop():
    server = FakeServer(contract.GroupNotFound("deleted"))
    async with subscribed(server) as events:
        with pytest.raises(contract.GroupNotFound):
            await anext(events)


ENVELOPE = b'{"id":"e","name":"item.added","entityVersion":3,"version":2,"source":"api","data":{"sku":1}}'


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
    [
        ("events:order.placed", b"1", Plain("order.placed", 1)),
        ("topic:mail.in", b"null", Plain("mail.in", None)),
        ("system.run.r1.created", b"{}", Plain("run.r1.created", {})),
        (
            "entity:cart.c.7.item.added",
            ENVELOPE,
            Plain("item.added", {"sku": 1}, "cart", "c.7", entity_version=3, version=2),
        ),
    ],
)
def test_a_payload_is_unwrapped_by_the_kind_of_its_topic(topic: str, payload: bytes, expected: Plain):
    assert plain(topic, msgspec.Raw(payload)) == expected
