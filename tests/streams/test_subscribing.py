"""Subscribers of an entity see what is appended to its stream, in the order of its versions, and nothing refused."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import pytest

from ironflow.base.errors import VersionConflict
from ironflow.base.json import read_json
from ironflow.features.streams import contract as streams
from ironflow.features.subscriptions import contract as subscriptions
from ironflow.features.subscriptions.contract import SubscriptionEvent
from tests.support.work import Work

WITHIN_S = 10


async def append(server: Work, entity: str = "order-7", **more: Any) -> streams.Appended:
    fields = {"entity_type": "order", "event_name": "order.changed", "data": {"n": 1}, **more}
    return await server.call(streams.append, entity_id=entity, **fields)


def following(server: Work, pattern: str) -> AsyncGenerator[SubscriptionEvent, None]:
    """What a subscriber gets, after the last thousand that match."""
    return server.stream(subscriptions.subscribe, pattern=pattern, options={"replay": 1000})


async def take(source: AsyncGenerator[SubscriptionEvent, None], number: int) -> list[SubscriptionEvent]:
    async with asyncio.timeout(WITHIN_S):
        return [await anext(source) for _ in range(number)]


async def test_an_appended_event_is_published_with_its_version(server: Work):
    first = await append(server, version=2, metadata={"by": "me"})

    async with aclosing(following(server, "entity:order.order-7.>")) as events:
        (event,) = await take(events, 1)

    assert (event.event_id, event.topic) == (first.event_id, "entity:order.order-7.order.changed")
    assert read_json(event.data) == {
        "id": first.event_id,
        "name": "order.changed",
        "data": {"n": 1},
        "entityVersion": 1,
        "version": 2,
        "timestamp": "2026-01-01T00:00:00Z",
        "source": "api",
        "metadata": {"by": "me"},
    }


@pytest.mark.parametrize("pattern", ["entity:order.>", "entity:*.*.order.changed"])
async def test_each_stream_is_seen_in_the_order_of_its_versions_without_what_was_refused(server: Work, pattern: str):
    await append(server, "order-0")
    async with aclosing(following(server, pattern)) as events:
        await take(events, 1)

        async def write(number: int) -> None:
            with suppress(VersionConflict):
                await append(server, f"order-{number % 3}", expected_version=-1 if number % 2 else 99)

        await asyncio.gather(*(write(number) for number in range(60)))
        await server.loop("log-tail")
        seen = await take(events, 30)

    versions: dict[str, list[int]] = {}
    for event in seen:
        entity = event.topic.split(".")[1]
        versions.setdefault(entity, []).append(read_json(event.data)["entityVersion"])
    assert versions == {"order-0": [*range(2, 12)], "order-1": [*range(1, 11)], "order-2": [*range(1, 11)]}
    assert [event.sequence for event in seen] == sorted(event.sequence for event in seen)


async def test_an_appended_event_is_not_an_emitted_one_to_subscribers(server: Work):
    await append(server)
    emitted = await server.emit("order.changed")
    async with aclosing(following(server, "events:order.*")) as events:
        assert [event.event_id for event in await take(events, 1)] == [emitted.event_id]
