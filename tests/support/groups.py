"""Members of consumer groups in the test's own hands, without a connection: what the test takes was written.

member = await join(house, "billing")
(first,) = await member.take(1)
await member.ack(first)
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ironflow.base.call import Call
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.contract import SubscriptionEvent
from ironflow.features.pubsub import contract as pubsub
from tests.support.house import House

# So long a test waits for what is to come by itself; it comes at once unless something is broken.
WITHIN_S = 10.0


class Client:
    """A member over the `join` stream, with unary acks."""

    def __init__(
        self, house: House, group: str, stream: AsyncGenerator[SubscriptionEvent, None], namespace: str
    ) -> None:
        self._house, self._group, self._stream, self._namespace = house, group, stream, namespace
        self._next: asyncio.Task[SubscriptionEvent] | None = None

    async def take(self, count: int) -> list[SubscriptionEvent]:
        """The next events, as soon as they are there."""
        return [await self._one(WITHIN_S) for _ in range(count)]

    async def rest(self) -> list[SubscriptionEvent]:
        """What it gets until nothing more comes."""
        found: list[SubscriptionEvent] = []
        while True:
            # Everything that waits in the loop and in the database's threads has had its turn.
            await settled(self._house)
            if self._next is None:
                self._next = asyncio.ensure_future(anext(self._stream))
                continue
            if not self._next.done():
                return found
            task, self._next = self._next, None
            found.append(task.result())

    async def ack(self, event: SubscriptionEvent, ack_type: str = "ack", delay_ms: int = 0) -> None:
        await self._house.call(
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
    house: House,
    group: str,
    *,
    namespace: str = "default",
    env: str = "default",
    is_there: Callable[[], bool] = lambda: True,
    **more: Any,
) -> Client:
    """A member; it is in the group when this returns."""
    call = Call(environment=env, now=house.now, is_there=is_there)
    request = contract.JoinGroup(namespace=namespace, group_name=group, **more)
    stream = house.dispatch.stream(contract.join, call, request)
    # The word that it has begun.
    assert await anext(stream) is None
    return Client(house, group, stream, namespace)


async def settled(house: House) -> None:
    """Until the desk has nothing under way and everybody who was woken has run."""
    for _ in range(3):
        async with asyncio.timeout(WITHIN_S):
            await house.inside.groups.idle()
        await asyncio.sleep(0)


async def a_group(
    house: House, name: str = "billing", pattern: str = "topic:mail", **more: Any
) -> contract.ConsumerGroup:
    """A group with manual acks unless the test says otherwise."""
    return await house.call(contract.create, **{"name": name, "pattern": pattern, "ack_mode": "manual", **more})


async def publish(
    house: House, count: int = 1, *, topic: str = "mail", start: int = 0, env: str = "default"
) -> list[str]:
    """Messages numbered from `start`; their ids in order."""
    numbers = range(start, start + count)
    sent = await asyncio.gather(*(house.call(pubsub.publish, topic=topic, data={"n": n}, env=env) for n in numbers))
    return [each.event_id for each in sent]


def numbers(events: list[SubscriptionEvent]) -> list[int]:
    """The numbers that `publish` gave them."""
    import msgspec

    return [msgspec.json.decode(event.data)["n"] for event in events]
