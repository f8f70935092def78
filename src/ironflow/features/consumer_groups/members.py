"""The members that are connected to this process: they enter, settle deliveries and leave."""

import asyncio
import logging
from collections.abc import Callable

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.time import Clock, Millis
from ironflow.features.consumer_groups import contract, rules, settling, store
from ironflow.features.consumer_groups.lookup import not_found
from ironflow.features.consumer_groups.matcher import Matcher
from ironflow.features.consumer_groups.member import Member
from ironflow.features.consumer_groups.rules import Group
from ironflow.features.consumer_groups.settling import Settlement, settle
from ironflow.log.read import head
from ironflow.log.topics import topic_pattern
from ironflow.notify.port import Notifier
from ironflow.storage.port import STORAGE_FAULTS, Database, Tx

logger = logging.getLogger(__name__)

# Members that are removed in one transaction.
LOST_AT_ONCE = 500


class Members:
    """The members connected here. node: the incarnation of this process, stored with its members."""

    def __init__(self, db: Database, notifier: Notifier, ids: Ids, clock: Clock, node: str) -> None:
        self._db = db
        self._ids = ids
        self._clock = clock
        self._node = node
        self._leaving: set[asyncio.Task[None]] = set()
        self.matcher = Matcher(db, notifier, clock)

    async def settle(self, settlement: Settlement) -> frozenset[str]:
        """Settles events of a member. Returns those that it held. Raises MemberNotFound, GroupNotFound."""
        settled = await self._db.write_many(settle, settlement)
        member = self.matcher.member(settlement.member_id)
        if member is not None:
            member.settled(settlement.event_ids)
        return settled

    async def extend_events(self, settlement: Settlement) -> frozenset[str]:
        """Gives a member more time for events. Returns those that it holds. Raises MemberNotFound, GroupNotFound."""
        extended = await self._db.write_many(settle, settlement)
        member = self.matcher.member(settlement.member_id)
        if member is not None:
            member.extended(dict.fromkeys(extended, settlement.now + member.group.ack_wait_ms))
        return extended

    async def time_out(self) -> int:
        """Ends the time of events that members here did not settle. Returns their number."""
        ended = 0
        for member in self.matcher.members():
            if not (overdue := member.overdue()):
                continue
            now = self._clock.now()

            def change(
                tx: Tx, member: Member = member, overdue: list[str] = overdue, now: Millis = now
            ) -> dict[str, Millis]:
                return settling.time_out(tx, member.id, member.group.id, overdue, now)

            extended = await self._db.write(change)
            member.settled(event_id for event_id in overdue if event_id not in extended)
            member.extended(extended)
            ended += len(overdue) - len(extended)
        return ended

    def next_deadline(self) -> Millis | None:
        """When the time of the next event ends, None while no member here has one."""
        deadlines = (member.next_deadline() for member in self.matcher.members())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    async def enter(
        self,
        call: Call,
        request: contract.JoinGroup,
        *,
        is_there: Callable[[], bool] | None = None,
        otherwise: contract.CreateGroup | None = None,
        ack_mode: contract.AckMode | None = None,
        confirmed_ms: int | None = None,
    ) -> Member:
        """A new member of the group; call `leave` when its connection ends, however it ends.

        is_there: asked each second whether the connection is still there; None demands the call.
        otherwise: the group to create when there is none. ack_mode: the member's own, None for the group's.
        confirmed_ms: see `Member`. Raises GroupNotFound, and what `create` raises.
        """
        member_id = self._ids.new("mem")

        def change(tx: Tx) -> Group:
            namespace = request.namespace or rules.NAMESPACE
            group = store.group_named(tx, call.environment, namespace, request.group_name)
            if group is None and otherwise is not None:
                call.require(contract.create.scope)
                store.create_group(
                    tx, rules.decide_creation(self._ids.new("cg"), call.environment, otherwise, head(tx), call.now)
                )
                # A concurrent transaction may have created it first.
                group = store.group_named(tx, call.environment, namespace, request.group_name)
            if group is None:
                raise not_found(call, namespace, request.group_name)
            if topic_pattern(group.pattern).kind == "entity":
                call.require("entities:read")
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
            settles=bool(request.settles),
            confirmed_ms=confirmed_ms,
            is_there=is_there or call.is_there,
            moved=self.matcher.moved,
        )
        self.matcher.add(member)
        return member

    async def leave(self, member: Member) -> None:
        """Ends a membership. Its unsettled deliveries are due at once."""
        self.matcher.remove(member)
        unsent, written, now = member.unsent(), tuple(member.written), self._clock.now()

        def change(tx: Tx) -> None:
            settling.leave(tx, member.id, member.group.id, unsent, written, now)

        try:
            await self._db.write(change)
        except STORAGE_FAULTS as fault:
            # Its lease is not renewed any more, so the loop of some node removes it.
            logger.warning("member could not leave", extra={"member_id": member.id, "error": fault.message})

    async def take_over(self, node: str, now: Millis) -> None:
        """Ends the memberships of an incarnation of a node that has ended."""

        def change(tx: Tx) -> int:
            lost = store.members_of(tx, node, LOST_AT_ONCE)
            for member_id, group_id in lost:
                settling.leave(tx, member_id, group_id, frozenset(), (), now)
            return len(lost)

        while await self._db.write(change) == LOST_AT_ONCE:
            pass

    def leave_soon(self, member: Member) -> None:
        """As `leave`, without waiting for it."""
        self.matcher.remove(member)
        task = asyncio.get_running_loop().create_task(self.leave(member))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def settlement(
        self, call: Call, member: Member, event_ids: tuple[str, ...], outcome: rules.Ack | rules.Nak | rules.Term
    ) -> Settlement:
        """A settlement of these events by the member, now."""
        return Settlement(call.environment, member.id, event_ids, outcome, self._clock.now())
