"""What a namespace means to subscribers: it parts emitted events, and nothing that is sent without one."""

from typing import Any

import pytest

from ironflow.features.pubsub import contract as pubsub
from tests.subscriptions.following import following
from tests.support.work import Work


@pytest.mark.parametrize("how", [{}, {"replay": 10}, {"start_after_sequence": 0}])
async def test_messages_to_topics_arrive_in_every_namespace(server: Work, how: dict[str, Any]):
    async def publish() -> None:
        for number in range(2):
            await server.call(pubsub.publish, topic="mail", data={"n": number})

    before = bool(how)
    if before:
        await publish()
    async with following(server, "topic:mail", namespace="accounts", **how) as follower:
        if not before:
            await publish()
        assert await follower.data(2) == [{"n": 0}, {"n": 1}]


@pytest.mark.parametrize("how", [{}, {"replay": 10}, {"start_after_sequence": 0}])
async def test_emitted_events_arrive_in_their_own_namespace(server: Work, how: dict[str, Any]):
    async def emit() -> None:
        for number, namespace in enumerate(("accounts", "default", "accounts")):
            await server.emit("bill.paid", {"n": number}, namespace=namespace)

    before = bool(how)
    if before:
        await emit()
    async with following(server, "bill.paid", namespace="accounts", **how) as follower:
        if not before:
            await emit()
        assert await follower.data(2) == [{"n": 0}, {"n": 2}]
        assert await follower.rest() == []


async def test_the_servers_own_events_arrive_in_every_namespace(server: Work):
    async with following(server, "system.function.>", namespace="accounts") as follower:
        await server.a_function("charge")
        assert await follower.topics(1) == ["system.function.charge.registered"]
