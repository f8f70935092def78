"""What happens: subscriptions are made, and followed as streams of messages."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from msgspec.structs import replace

from ironflow.base.call import Call
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.time import Millis
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.consumer_groups.contract import SubscriptionEvent
from ironflow.features.consumer_groups.service import ConsumerGroups, Member, listen
from ironflow.features.subscriptions import contract, rules, store
from ironflow.features.subscriptions.contract import Subscribe, SubscribeOptions, Watch
from ironflow.features.subscriptions.entry import Entry as Entry
from ironflow.features.subscriptions.entry import entry_of as entry_of
from ironflow.features.subscriptions.log_feed import LogFeed
from ironflow.features.subscriptions.presence import EXPIRES_MS
from ironflow.features.subscriptions.subscription import Subscription as Subscription
from ironflow.features.subscriptions.subscription import Tally
from ironflow.features.subscriptions.system import SystemFeed
from ironflow.log.filters import event_filter
from ironflow.log.topics import TopicPattern, topic_pattern
from ironflow.storage.port import Database, Tx


class Subscriptions(Lifecycle):
    """The subscriptions feature."""

    def __init__(self, db: Database, log: LogFeed, system: SystemFeed, groups: ConsumerGroups, node: str) -> None:
        self._log = log
        self._node = node
        self._groups = groups
        self._system = system
        self.tally = Tally()
        db.on_published(system.receive)

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.subscribe: self.subscribe, contract.watch: self.watch}

    async def subscribe(self, call: Call, request: Subscribe) -> AsyncGenerator[SubscriptionEvent | None, None]:
        """Events until the reader closes this generator; None first, when it has begun."""
        if request.options is not None and request.options.consumer_group:
            member = await self.enter_group(call, request)
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
            if request.options is not None and request.options.announces:
                yield SubscriptionEvent(
                    subscription_id=subscription.id, event_id="", topic="", sequence=subscription.began_after
                )
            while True:
                woken.clear()
                while subscription.ready:
                    for entry in await subscription.take():
                        yield event_message(subscription.id, entry, with_metadata)
                await woken.wait()
        finally:
            subscription.close()

    def topic_subscribers(self, tx: Tx, environment: str, now: Millis) -> list[tuple[TopicPattern, int]]:
        """Patterns of plain subscriptions to topics, with how many of each there are here and at other nodes.

        Those of other nodes are up to 5 s old.
        """
        here = [(pattern, count) for (of, pattern), count in self._log.topic_subscribers().items() if of == environment]
        elsewhere = store.topic_subscribers(tx, environment, self._node, now - EXPIRES_MS)
        return [(topic_pattern(pattern), count) for pattern, count in (*here, *elsewhere)]

    def id_of(self, call: Call, request: Subscribe) -> str:
        """The id that this request of this caller always has."""
        return rules.subscription_id(call.environment, call.principal.name, request)

    async def watch(self, call: Call, request: Watch) -> AsyncGenerator[SubscriptionEvent | None, None]:
        """As `subscribe`; a browser that connects again goes on where it stopped, or with all that is kept."""
        try:
            async with aclosing(self.subscribe(call, rules.subscribe_of(request))) as events:
                async for event in events:
                    yield event
            return
        except contract.SequenceNotKept:
            # A browser would never connect again after a refusal.
            if request.last_event_id is None:
                raise
        async with aclosing(self.subscribe(call, rules.subscribe_of(replace(request, last_event_id=0)))) as events:
            async for event in events:
                yield event

    async def enter_group(self, call: Call, request: Subscribe, *, confirmed_ms: int | None = None) -> Member:
        """A new member of the group that the options name, which is created as they say when there is none.

        confirmed_ms: the time after which an event written to the connection has arrived; None where the next one shows
        it.
        Raises InvalidSubscription, InvalidPattern, InvalidExpression, InvalidGroup.
        """
        options = request.options or SubscribeOptions()
        rules.check_options(options)
        call.require(contract.subscribe.scope)
        call.require(groups.join.scope)
        member = await self._groups.enter(
            call,
            groups.JoinGroup(
                namespace=options.namespace,
                group_name=options.consumer_group,
                prefetch=options.prefetch,
                settles=options.settles,
            ),
            otherwise=groups.CreateGroup(
                namespace=options.namespace,
                name=options.consumer_group,
                pattern=request.pattern,
                filter_expr=options.filter,
                ack_mode=options.ack_mode or groups.AckMode.AUTO,
                backpressure=options.backpressure or groups.BackpressureMode.BUFFER,
            ),
            ack_mode=options.ack_mode,
            confirmed_ms=confirmed_ms,
        )
        try:
            rules.check_group_pattern(member.group.pattern, request.pattern)
        except BaseException:
            await self._groups.leave(member)
            raise
        return member

    async def stop(self) -> None:
        """Stops its background work, before the database is closed."""
        await self._system.close()

    def make(self, call: Call, request: Subscribe, wake: Callable[[Subscription], None]) -> Subscription:
        """A subscription that has not begun yet.

        Raises InvalidPattern, InvalidExpression, InvalidSubscription.
        """
        options = request.options or SubscribeOptions()
        rules.check_options(options)
        pattern = rules.pattern_of(request.pattern)
        require_shown(call, pattern)
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


def require_shown(call: Call, pattern: TopicPattern) -> None:
    """Raises PermissionDenied when the caller may not read what the pattern shows."""
    call.require(contract.subscribe.scope)
    for scope in sorted(rules.scopes_shown(pattern)):
        call.require(scope)


def event_message(subscription_id: str, entry: Entry, with_metadata: bool) -> SubscriptionEvent:
    return SubscriptionEvent(
        subscription_id=subscription_id,
        event_id=entry.record.id,
        topic=entry.topic,
        data=entry.payload,
        metadata=entry.metadata if with_metadata else None,
        sequence=entry.sequence,
    )
