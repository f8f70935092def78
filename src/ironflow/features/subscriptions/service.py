"""What happens: subscriptions are made, and followed as streams of messages. Sockets: conversation.py."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.socket import Socket, SocketHandler, SocketRoute
from ironflow.features.consumer_groups.contract import SubscriptionEvent
from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.features.consumer_groups.streams import listen
from ironflow.features.subscriptions import contract, rules
from ironflow.features.subscriptions.contract import Subscribe, SubscribeOptions, Watch
from ironflow.features.subscriptions.conversation import Conversation
from ironflow.features.subscriptions.entry import Entry
from ironflow.features.subscriptions.feed import LogFeed
from ironflow.features.subscriptions.group import GroupSubscription, enter_group
from ironflow.features.subscriptions.subscription import Subscription, Tally
from ironflow.features.subscriptions.system import SystemFeed
from ironflow.log.filters import event_filter
from ironflow.log.tail import Tail
from ironflow.storage.port import Database


class Subscriptions:
    """The subscriptions room."""

    def __init__(self, db: Database, tail: Tail, system: SystemFeed, groups: ConsumerGroups) -> None:
        self._log = LogFeed(db, tail)
        self._groups = groups
        self._system = system
        self.tally = Tally()
        db.hear(system.heard)

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.subscribe: self.subscribe, contract.watch: self.watch}

    def sockets(self) -> dict[SocketRoute, SocketHandler]:
        return {contract.socket: self.converse}

    async def converse(self, socket: Socket) -> None:
        """One WebSocket, from its handshake to its end."""
        await Conversation(self, socket).run()

    async def subscribe(self, call: Call, request: Subscribe) -> AsyncGenerator[SubscriptionEvent | None, None]:
        """Events until nobody reads them any more; None first, when it has begun."""
        if request.options is not None and request.options.consumer_group:
            member = await enter_group(self._groups, call, request)
            async with aclosing(listen(self._groups, member)) as events:
                async for event in events:
                    yield event
            return
        woken = asyncio.Event()
        subscription = self.make(call, request, lambda _: woken.set())
        with_metadata = bool(request.options and request.options.include_metadata)
        try:
            await self.begin(subscription, request)
            yield None
            while True:
                woken.clear()
                while subscription.ready:
                    for entry in await subscription.take():
                        yield event_message(subscription.id, entry, with_metadata)
                await woken.wait()
        finally:
            subscription.close()

    def id_of(self, call: Call, request: Subscribe) -> str:
        """The id that this wish of this caller always has."""
        return rules.subscription_id(call.environment, call.principal.name, request)

    async def join_group(
        self, call: Call, request: Subscribe, subscription_id: str, wake: Callable[[GroupSubscription], None]
    ) -> GroupSubscription:
        """A subscription with a consumer group. Raises what `enter_group` raises."""
        member = await enter_group(self._groups, call, request)
        return GroupSubscription(subscription_id, self._groups, call, member, wake)

    async def watch(self, call: Call, request: Watch) -> AsyncGenerator[SubscriptionEvent | None, None]:
        """As `subscribe`; a browser that connects again goes on where it stopped, or with all that is kept."""
        try:
            async with aclosing(self.subscribe(call, rules.wish_of(request))) as events:
                async for event in events:
                    yield event
            return
        except contract.SequenceNotKept:
            # A browser would never connect again after a refusal.
            if request.last_event_id is None:
                raise
        async with aclosing(self.subscribe(call, rules.wish_of(replace(request, last_event_id=0)))) as events:
            async for event in events:
                yield event

    async def close(self) -> None:
        """Stops what goes on by itself; before the database is closed."""
        await self._system.close()

    def make(self, call: Call, request: Subscribe, wake: Callable[[Subscription], None]) -> Subscription:
        """A subscription that has not begun yet.

        Raises InvalidPattern, InvalidExpression, InvalidSubscription.
        """
        options = request.options or SubscribeOptions()
        rules.check_options(options)
        pattern = rules.pattern_of(request.pattern)
        return Subscription(
            id=self.id_of(call, request),
            environment=call.environment,
            pattern=pattern,
            namespace=options.namespace or rules.NAMESPACE,
            chosen=event_filter(options.filter) if options.filter else None,
            mode=options.backpressure,
            positioned=options.start_after_sequence is not None,
            feed=self._system if pattern.kind == "system" else self._log,
            tally=self.tally,
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
