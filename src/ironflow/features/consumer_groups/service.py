"""The operations of the feature, one method each."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from ironflow.base.call import Call
from ironflow.features.consumer_groups import contract, messages, rules, settling, store, streams
from ironflow.features.consumer_groups.acking import Acks as Acks
from ironflow.features.consumer_groups.acking import PendingAck as PendingAck
from ironflow.features.consumer_groups.claiming import Handed as Handed
from ironflow.features.consumer_groups.lookup import group_of, location_text
from ironflow.features.consumer_groups.member import Member as Member
from ironflow.features.consumer_groups.members import Members
from ironflow.features.consumer_groups.rules import Group
from ironflow.features.consumer_groups.settling import Settlement
from ironflow.features.consumer_groups.streams import listen as listen
from ironflow.features.dead_letters import in_tx as dead_letters
from ironflow.log.follower import Follower
from ironflow.log.read import head
from ironflow.log.scan import count_up_to, topic_filter
from ironflow.log.topics import topic_pattern
from ironflow.storage.port import Tx

# A group's lag is counted up to this, by at most so many pages of the log.
LAG_MAX = 10_000
LAG_SEARCHES_MAX = 40
LAG_PAGE = 500


class ConsumerGroups(Members):
    """Groups, and the members that are connected here."""

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.get: self.get,
            contract.list_: self.list,
            contract.update: self.update,
            contract.patch: self.patch,
            contract.delete: self.delete,
            contract.join: self.join,
            contract.subscribe: self.subscribe,
            contract.ack: self.ack,
            contract.extend: self.extend,
        }

    async def create(self, call: Call, request: contract.CreateGroup) -> contract.ConsumerGroup:
        def change(tx: Tx) -> Group:
            # Read inside the transaction: the group begins after everything recorded until now.
            group = rules.decide_creation(self._ids.new("cg"), call.environment, request, head(tx), call.now)
            if not store.create_group(tx, group):
                raise contract.GroupExists(
                    f"Consumer group {group.name!r} exists already in {location_text(call, group.namespace)}."
                )
            return group

        return messages.group_message(await self._db.write(change))

    async def get(self, call: Call, request: contract.NamedGroup) -> contract.ConsumerGroup:
        def look(tx: Tx) -> contract.ConsumerGroup:
            group = group_of(tx, call, request.namespace, request.name)
            tally = store.tally(tx, group.id, call.now)
            message = messages.group_message(group, store.count_members(tx, [group.id], call.now).get(group.id, 0))
            message.position = group.position
            message.lag = _lag(tx, group)
            message.in_flight, message.waiting = tally.in_flight + tally.auto, tally.waiting
            message.dead_letters = dead_letters.count(tx, group.id)
            message.dropped = group.dropped
            return message

        return await self._db.read(look)

    async def list(self, call: Call, request: contract.ListGroups) -> contract.Groups:
        limit = request.limit or 100
        after_namespace, _, after_name = request.cursor.partition("/")
        status = request.status.value if request.status else ""

        def look(tx: Tx) -> contract.Groups:
            after = (after_namespace, after_name)
            found, total = store.groups_after(tx, call.environment, request.namespace, status, after, limit)
            members = store.count_members(tx, [each.id for each in found], call.now)
            more = f"{found[-1].namespace}/{found[-1].name}" if len(found) == limit else None
            listed = [messages.group_message(each, members.get(each.id, 0)) for each in found]
            return contract.Groups(groups=listed, next_cursor=more, total_count=total)

        return await self._db.read(look)

    async def update(self, call: Call, request: contract.UpdateGroup) -> contract.ConsumerGroup:
        return await self._change(call, request.group, request.update_mask)

    async def patch(self, call: Call, request: contract.GroupChange) -> contract.ConsumerGroup:
        return await self._change(call, request, "")

    async def _change(self, call: Call, wanted: contract.GroupChange, mask: str) -> contract.ConsumerGroup:
        def change(tx: Tx) -> contract.ConsumerGroup:
            group = group_of(tx, call, wanted.namespace, wanted.name, to_write=True)
            changed = rules.decide_update(group, wanted, mask, call.now)
            store.save_group(tx, changed)
            tx.notify(settling.TOPIC, group.id)
            return messages.group_message(changed, store.count_members(tx, [group.id], call.now).get(group.id, 0))

        return await self._db.write(change)

    async def delete(self, call: Call, request: contract.NamedGroup) -> None:
        def change(tx: Tx) -> None:
            group = group_of(tx, call, request.namespace, request.name, to_write=True)
            store.delete_group(tx, group.id)
            dead_letters.delete_of_group(tx, group.id)
            # Wakes its matchers, which end its members.
            tx.notify(settling.TOPIC, group.id)

        await self._db.write(change)

    async def ack(self, call: Call, request: contract.AckEvent) -> contract.Acked:
        outcome = rules.decide_ack(request.ack_type, request.redeliver_delay_ms or None)
        group = _group_given(request)
        settled = await self.settle(
            Settlement(call.environment, request.consumer_id, (request.event_id,), outcome, call.now, group)
        )
        return contract.Acked(settled=bool(settled))

    async def extend(self, call: Call, request: contract.ExtendEvents) -> contract.Extended:
        event_ids = tuple(request.event_ids)
        extended = await self.extend_events(
            Settlement(
                call.environment, request.consumer_id, event_ids, rules.Extend(), call.now, _group_given(request)
            )
        )
        return contract.Extended(event_ids=[each for each in event_ids if each in extended])

    async def join(
        self, call: Call, request: contract.JoinGroup
    ) -> AsyncGenerator[contract.SubscriptionEvent | None, None]:
        async with aclosing(streams.listen(self, await self.enter(call, request))) as events:
            async for event in events:
                yield event

    def subscribe(
        self, call: Call, requests: AsyncIterator[contract.ToServer]
    ) -> AsyncGenerator[contract.FromServer, None]:
        return streams.converse(self, call, requests)


def _group_given(request: contract.AckEvent | contract.ExtendEvents) -> tuple[str, str] | None:
    """The (namespace, name) that the request gives; None for none."""
    return (request.namespace or rules.NAMESPACE, request.group_name) if request.group_name else None


def _lag(tx: Tx, group: Group) -> int:
    """Events after the group's position that it is going to deliver, counted up to LAG_MAX."""
    pattern = topic_pattern(group.pattern)
    wanted = topic_filter(group.environment, pattern)
    if pattern.name is not None and not group.filter_expr and pattern.kind == "topic":
        return count_up_to(tx, wanted, group.position, head(tx), LAG_MAX)
    follower, lag = Follower(wanted, group.position), 0
    for _ in range(LAG_SEARCHES_MAX):
        page = follower.read(tx, LAG_PAGE)
        follower.advance(page.reached)
        lag += sum(rules.is_delivered(group, record) for record in page.items)
        if not follower.is_behind or lag >= LAG_MAX:
            break
    return min(lag, LAG_MAX)
