"""Subscriptions where no WebSocket passes, and what a stream of them announces."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from ironflow import Client, sync
from ironflow.base.errors import (
    ConnectionLost,
    FailedPrecondition,
    IronflowError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from ironflow.base.pattern import InvalidPattern
from ironflow.features.subscriptions.contract import Subscribe, SubscribeOptions, subscribe
from ironflow.sdk.client.connection.following import Begun
from ironflow.sdk.client.connection.request import SubscriptionRequest
from ironflow.sdk.client.connection.rpc import AutoLink
from ironflow.sdk.wire.transport import CannotConnect
from tests.wire.server_process import Server, a_server

REQUEST = SubscriptionRequest("a")


class Fixed:
    """A link that gives the same each time, then raises."""

    def __init__(self, *given: Any) -> None:
        self.given = given
        self.opened = 0

    async def open(self, request: SubscriptionRequest) -> AsyncGenerator[Any, None]:
        self.opened += 1
        for each in self.given:
            if isinstance(each, Exception):
                raise each
            yield each


async def all_of(link: AutoLink) -> list[Any]:
    found: list[Any] = []
    try:
        async with aclosing(link.open(REQUEST)) as arriving:
            async for each in arriving:
                found += [each]
    except IronflowError as fault:
        found.append(type(fault))
    return found


@pytest.mark.parametrize("fault", [NotFound(), PermissionDenied(), FailedPrecondition(), ConnectionLost("cut off")])
async def test_where_no_websocket_passes_streams_are_used_from_then_on(fault: IronflowError):
    socket, stream = Fixed(fault), Fixed(Begun(7), ConnectionLost())
    link = AutoLink(socket, stream)

    assert await all_of(link) == [Begun(7), ConnectionLost]
    assert await all_of(link) == [Begun(7), ConnectionLost]
    assert (socket.opened, stream.opened) == (1, 2)


async def test_where_a_websocket_has_passed_streams_are_not_used():
    socket, stream = Fixed(Begun(7), ConnectionLost()), Fixed(Begun(8))
    link = AutoLink(socket, stream)

    assert await all_of(link) == [Begun(7), ConnectionLost]
    assert await all_of(link) == [Begun(7), ConnectionLost]
    assert stream.opened == 0


@pytest.mark.parametrize("fault", [CannotConnect(), Unauthenticated(), InvalidPattern(), Unavailable()])
async def test_a_server_that_is_away_or_refuses_is_no_reason_for_streams(fault: IronflowError):
    socket, stream = Fixed(fault), Fixed(Begun(7))
    assert await all_of(AutoLink(socket, stream)) == [type(fault)]
    assert stream.opened == 0


async def test_while_neither_passes_both_are_tried_again():
    socket, stream = Fixed(ConnectionLost()), Fixed(CannotConnect())
    link = AutoLink(socket, stream)
    assert await all_of(link) == [CannotConnect]
    assert await all_of(link) == [CannotConnect]
    assert (socket.opened, stream.opened) == (2, 2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with a_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.mark.processes
async def test_a_stream_announces_what_its_events_follow_when_it_is_asked_to(server: Server):
    async with Client(server.address) as client, asyncio.timeout(60):
        before = await client.publish("sdk.announced", 1)
        options = SubscribeOptions(announces=True)
        async with aclosing(client._calls.stream(subscribe, Subscribe(pattern="topic:x", options=options))) as answers:
            announced = await anext(answers)
        async with aclosing(
            client._calls.stream(
                subscribe, Subscribe(pattern="topic:sdk.announced", options=SubscribeOptions(replay=1))
            )
        ) as answers:
            plain = await anext(answers)

    assert (announced.topic, announced.event_id) == ("", "")
    assert announced.sequence >= before.sequence
    assert (plain.topic, plain.event_id) == ("topic:sdk.announced", before.event_id)


@pytest.mark.processes
def test_scripts_follow_by_streams(server: Server):
    with sync.Client(server.address) as client:
        client.publish("sdk.scripts.grpc", 1)
        with client.subscribe("topic:sdk.scripts.grpc", replay=1, transport="grpc") as events:
            assert next(events).data == 1
            assert events.is_connected


def test_another_transport_is_refused():
    with pytest.raises(IronflowError, match="write 'websocket', 'grpc' or 'auto'"):
        Client("http://x").subscribe("a", transport="pigeon")  # type: ignore[arg-type]
