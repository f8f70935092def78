"""What happens: subscriptions are made, and followed as streams of messages. Sockets: conversation.py."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ironflow.base.call import Call
from ironflow.base.socket import Socket, SocketHandler, SocketRoute
from ironflow.features.subscriptions import contract, rules
from ironflow.features.subscriptions.contract import Subscribe, SubscribeOptions, SubscriptionEvent
from ironflow.features.subscriptions.conversation import Conversation
from ironflow.features.subscriptions.entry import Entry
from ironflow.features.subscriptions.feed import LogFeed
from ironflow.features.subscriptions.subscription import Subscription
from ironflow.log.filters import event_filter
from ironflow.log.tail import Tail
from ironflow.log.topics import topic_pattern
from ironflow.storage.port import Database


class Subscriptions:
    """The subscriptions room."""

    def __init__(self, db: Database, tail: Tail) -> None:
        self._log = LogFeed(db, tail)

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.subscribe: self.subscribe}

    def sockets(self) -> dict[SocketRoute, SocketHandler]:
        return {contract.socket: self.converse}

    async def converse(self, socket: Socket) -> None:
        """One WebSocket, from its handshake to its end."""
        await Conversation(self, socket).run()

    async def subscribe(self, call: Call, request: Subscribe) -> AsyncGenerator[SubscriptionEvent, None]:
        """Events until nobody reads them any more."""
        woken = asyncio.Event()
        subscription = self.make(call, request, lambda _: woken.set())
        with_metadata = bool(request.options and request.options.include_metadata)
        try:
            await self.begin(subscription, request)
            while True:
                woken.clear()
                while subscription.ready:
                    for entry in await subscription.take():
                        yield event_message(subscription.id, entry, with_metadata)
                await woken.wait()
        finally:
            subscription.close()

    def make(self, call: Call, request: Subscribe, wake: Callable[[Subscription], None]) -> Subscription:
        """A subscription that has not begun yet.

        Raises InvalidPattern, InvalidExpression, InvalidSubscription.
        """
        options = request.options or SubscribeOptions()
        rules.check_options(options)
        return Subscription(
            id=rules.subscription_id(call.environment, call.principal.name, request),
            environment=call.environment,
            pattern=topic_pattern(request.pattern),
            namespace=options.namespace or rules.NAMESPACE,
            chosen=event_filter(options.filter) if options.filter else None,
            mode=options.backpressure,
            positioned=options.start_after_sequence is not None,
            feed=self._log,
            wake=wake,
        )

    async def begin(self, subscription: Subscription, request: Subscribe) -> None:
        """Starts it where the request says. Raises InvalidSubscription, StorageFailed."""
        options = request.options or SubscribeOptions()
        await subscription.begin(rules.replay_count(options), options.start_after_sequence)


def event_message(subscription_id: str, entry: Entry, with_metadata: bool) -> SubscriptionEvent:
    return SubscriptionEvent(
        subscription_id=subscription_id,
        event_id=entry.record.id,
        topic=entry.topic,
        data=entry.payload,
        metadata=entry.metadata if with_metadata else None,
        sequence=entry.sequence,
    )
