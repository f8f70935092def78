"""Members of consumer groups that a test drives, without a connection: an event counts as written when taken.

member = await join(server, "billing")
(first,) = await member.take(1)
await member.ack(first)
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ironflow.base.call import Call
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.contract import SubscriptionEvent
from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.features.pubsub import contract as pubsub
from tests.support.server import Server

# The deadline for an event that comes without further action of the test.
WITHIN_S = 10.0


class Client:
    """A member over the `join` stream, with unary acks."""

    def __init__(
        self, server: Server, group: str, stream: AsyncGenerator[SubscriptionEvent, None], namespace: str
    ) -> None:
        self._server, self._group, self._stream, self._namespace = server, group, stream, namespace
        self._next: asyncio.Task[SubscriptionEvent] | None = None

    async def take(self, count: int) -> list[SubscriptionEvent]:
        """The next events, as soon as they arrive."""
        return [await self._one(WITHIN_S) for _ in range(count)]

    async def rest(self) -> list[SubscriptionEvent]:
        """The events that arrive until the server is idle."""
        found: list[SubscriptionEvent] = []
        while True:
            # Everything scheduled on the loop and in the database's threads has run.
            await settled(self._server)
            if self._next is None:
                self._next = asyncio.ensure_future(anext(self._stream))
                continue
            if not self._next.done():
                return found
            task, self._next = self._next, None
            found.append(task.result())

    async def ack(self, event: SubscriptionEvent, ack_type: str = "ack", delay_ms: int = 0) -> contract.Acked:
        return await self._server.call(
            contract.ack,
            namespace=self._namespace,
            group_name=self._group,
            consumer_id=event.subscription_id,
            event_id=event.event_id,
            ack_type=ack_type,
            redeliver_delay_ms=delay_ms,
        )

    async def nak(self, event: SubscriptionEvent, delay_ms: int = 0) -> None:
        await self.ack(event, "nak", delay_ms)

    async def extend(self, *events: SubscriptionEvent) -> list[str]:
        """The ids of those that it still holds."""
        asked = {"consumer_id": events[0].subscription_id, "event_ids": [each.event_id for each in events]}
        return (await self._server.call(contract.extend, **asked)).event_ids

    async def leave(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        await self._stream.aclose()

    async def _one(self, within_s: float) -> SubscriptionEvent:
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._stream))
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.shield(self._next)
        finally:
            if self._next.done():
                self._next = None


async def join(
    server: Server,
    group: str,
    *,
    namespace: str = "default",
    env: str = "default",
    is_there: Callable[[], bool] = lambda: True,
    **more: Any,
) -> Client:
    """A member; it is in the group when this returns."""
    call = Call(environment=env, now=server.now, is_there=is_there)
    request = contract.JoinGroup(namespace=namespace, group_name=group, **more)
    stream = server.dispatch.stream(contract.join, call, request)
    # None: the stream has begun.
    assert await anext(stream) is None
    return Client(server, group, stream, namespace)


async def settled(server: Server) -> None:
    """Returns when the matcher is idle and every task it has woken has run."""
    for _ in range(3):
        async with asyncio.timeout(WITHIN_S):
            await server.part(ConsumerGroups).matcher.idle()
        await asyncio.sleep(0)


async def a_group(
    server: Server, name: str = "billing", pattern: str = "topic:mail", **more: Any
) -> contract.ConsumerGroup:
    """A group with manual acks unless the test says otherwise."""
    return await server.call(contract.create, **{"name": name, "pattern": pattern, "ack_mode": "manual", **more})


async def publish(
    server: Server, count: int = 1, *, topic: str = "mail", start: int = 0, env: str = "default"
) -> list[str]:
    """Messages numbered from `start`; their ids in order."""
    numbers = range(start, start + count)
    sent = await asyncio.gather(*(server.call(pubsub.publish, topic=topic, data={"n": n}, env=env) for n in numbers))
    return [each.event_id for each in sent]


def numbers(events: list[SubscriptionEvent]) -> list[int]:
    """The numbers that `publish` gave them."""
    import msgspec

    return [msgspec.json.decode(event.data)["n"] for event in events]
