"""What happens: one method for each operation of the room, and what the `/ws` socket asks of it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.time import Clock
from ironflow.broker.port import Broker
from ironflow.features.consumer_groups import contract, messages, rules, settling, store, streams
from ironflow.features.consumer_groups.desk import Desk
from ironflow.features.consumer_groups.graveyard import Graveyard
from ironflow.features.consumer_groups.lookup import group_of, not_found, place_text
from ironflow.features.consumer_groups.member import Member
from ironflow.features.consumer_groups.rules import Group
from ironflow.features.consumer_groups.settling import Word, settle
from ironflow.log.read import count_of_name, head, of_topic
from ironflow.log.topics import topic_pattern
from ironflow.storage.port import Database, StorageFailed, Tx

logger = logging.getLogger(__name__)

# A group's lag is counted up to this, and searched for in so many stretches of the log.
LAG_MAX = 10_000
LAG_SEARCHES_MAX = 40
LAG_PAGE = 500


class ConsumerGroups:
    """Groups, the members that are connected here, and their dead letters. node: a name of this process's own."""

    def __init__(self, db: Database, broker: Broker, ids: Ids, clock: Clock, node: str) -> None:
        self._db = db
        self._ids = ids
        self._clock = clock
        self._node = node
        self._graveyard = Graveyard(db)
        self._leaving: set[asyncio.Task[None]] = set()
        self.desk = Desk(db, broker, clock)

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
            contract.dead_letters: self._graveyard.list,
            contract.replay: self._graveyard.replay,
            contract.purge: self._graveyard.purge,
        }

    async def create(self, call: Call, request: contract.CreateGroup) -> contract.ConsumerGroup:
        def change(tx: Tx) -> Group:
            # The head of the log as late as possible: the group begins after everything that is recorded by now.
            group = rules.decide_creation(self._ids.new("cg"), call.environment, request, head(tx), call.now)
            if not store.create_group(tx, group):
                raise contract.GroupExists(
                    f"Consumer group {group.name!r} exists already in {place_text(call, group.namespace)}."
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
            message.in_flight, message.waiting = tally.in_flight, tally.undone - tally.in_flight
            message.dead_letters = store.count_dead(tx, group.id)
            message.dropped = group.dropped
            return message

        return await self._db.read(look)

    async def list(self, call: Call, request: contract.ListGroups) -> contract.Groups:
        limit = request.limit or 100
        after_namespace, _, after_name = request.cursor.partition("/")
        status = request.status.value if request.status else ""

        def look(tx: Tx) -> contract.Groups:
            place = (after_namespace, after_name)
            found, total = store.groups_after(tx, call.environment, request.namespace, status, place, limit)
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
            tx.ring(settling.RING, group.id)
            return messages.group_message(changed, store.count_members(tx, [group.id], call.now).get(group.id, 0))

        return await self._db.write(change)

    async def delete(self, call: Call, request: contract.NamedGroup) -> None:
        def change(tx: Tx) -> None:
            group = group_of(tx, call, request.namespace, request.name, to_write=True)
            store.delete_group(tx, group.id)
            # Its members find it gone.
            tx.ring(settling.RING, group.id)

        await self._db.write(change)

    async def ack(self, call: Call, request: contract.AckEvent) -> contract.Acked:
        outcome = rules.decide_ack(request.ack_type, request.redeliver_delay_ms or None)
        place = (request.namespace or rules.NAMESPACE, request.group_name) if request.group_name else None
        await self.settle(Word(call.environment, request.consumer_id, (request.event_id,), outcome, call.now, place))
        return contract.Acked()

    async def settle(self, word: Word) -> None:
        """A member's word on its events. Raises MemberNotFound, GroupNotFound."""
        await self._db.write_many(settle, word)
        member = self.desk.member(word.member_id)
        if member is not None:
            member.settled(word.event_ids)

    async def enter(
        self,
        call: Call,
        request: contract.JoinGroup,
        *,
        is_there: Callable[[], bool] | None = None,
        otherwise: contract.CreateGroup | None = None,
        ack_mode: contract.AckMode | None = None,
    ) -> Member:
        """A new member of the group; call `leave` when its connection ends, however it ends.

        is_there: asked each second whether the connection is still there; None asks the call.
        otherwise: the group to create when there is none. ack_mode: the member's own, None for the group's.
        Raises GroupNotFound, and what `create` raises.
        """
        member_id = self._ids.new("mem")

        def change(tx: Tx) -> Group:
            namespace = request.namespace or rules.NAMESPACE
            group = store.group_named(tx, call.environment, namespace, request.group_name)
            if group is None and otherwise is not None:
                store.create_group(
                    tx, rules.decide_creation(self._ids.new("cg"), call.environment, otherwise, head(tx), call.now)
                )
                # Another one may have been faster.
                group = store.group_named(tx, call.environment, namespace, request.group_name)
            if group is None:
                raise not_found(call, namespace, request.group_name)
            now = self._clock.now()
            store.add_member(tx, member_id, group.id, self._node, request.client_id, now, now + rules.MEMBER_LEASE_MS)
            return group

        group = await self._db.write(change)
        member = Member(
            member_id,
            group,
            self._clock,
            prefetch=request.prefetch,
            ack_mode=ack_mode,
            is_there=is_there or call.is_there,
            moved=self.desk.moved,
        )
        self.desk.add(member)
        return member

    async def leave(self, member: Member) -> None:
        """Ends a membership: what it held goes to others at once."""
        self.desk.remove(member)
        unsent, written, now = member.unsent(), tuple(member.written), self._clock.now()

        def change(tx: Tx) -> None:
            settling.leave(tx, member.id, member.group.id, unsent, written, now)

        try:
            await self._db.write(change)
        except StorageFailed as fault:
            # Nobody says any more that it lives, so its lease ends a little later.
            logger.warning("member could not leave", extra={"member_id": member.id, "error": fault.message})

    def leave_soon(self, member: Member) -> None:
        """As `leave`, for those who cannot wait."""
        self.desk.remove(member)
        task = asyncio.get_running_loop().create_task(self.leave(member))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def word(
        self, call: Call, member: Member, event_ids: tuple[str, ...], outcome: rules.Ack | rules.Nak | rules.Term
    ) -> Word:
        """What a member says now of these events."""
        return Word(call.environment, member.id, event_ids, outcome, self._clock.now())

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


def _lag(tx: Tx, group: Group) -> int:
    """Events after the group's position that it is going to deliver, counted up to LAG_MAX."""
    pattern, until = topic_pattern(group.pattern), head(tx)
    if pattern.name is not None and not group.filter_expr and pattern.kind == "topic":
        return count_of_name(tx, group.environment, pattern.kind, pattern.name, group.position, LAG_MAX)
    at, lag = group.position, 0
    for _ in range(LAG_SEARCHES_MAX):
        if at >= until or lag >= LAG_MAX:
            break
        found, at = of_topic(tx, group.environment, pattern, at, until, LAG_PAGE)
        lag += sum(rules.is_meant(group, record) for record in found)
    return min(lag, LAG_MAX)
