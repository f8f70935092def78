"""Hands out events to the members at this server, and settles what was written to members with `auto`.

One task does both for all groups, so that they share commits. It runs while there is work, and starts again after a
notification for a group or for an event that a group's pattern may match.
"""

import asyncio
import logging
from collections.abc import Iterable

from ironflow.base.errors import IronflowError, ServerStopping
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.time import Clock
from ironflow.features.consumer_groups import rules
from ironflow.features.consumer_groups.claiming import Claimed, Demand, claim
from ironflow.features.consumer_groups.contract import AckMode, BackpressureMode, GroupNotFound
from ironflow.features.consumer_groups.member import Member
from ironflow.features.consumer_groups.reading import Reading
from ironflow.features.consumer_groups.settling import TOPIC, Settlement, settle
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database

logger = logging.getLogger(__name__)

# The most that one group is given in one transaction.
CLAIM_MAX = 256
# After a failed transaction the matcher tries again this much later.
RETRY_S = 0.5


class Matcher(Lifecycle):
    """Matches the events of groups with the members at this server."""

    def __init__(self, db: Database, notifier: Notifier, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        # Group id -> members by id, the one served last at the end.
        self._groups: dict[str, dict[str, Member]] = {}
        self._members: dict[str, Member] = {}
        self._reading = Reading()
        # Group id -> (up to where it was searched, the version that was searched for).
        self._searched: dict[str, tuple[int, int]] = {}
        self._to_look: dict[str, None] = {}
        self._to_settle: dict[Member, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        notifier.listen("log", self._appended)
        notifier.listen(TOPIC, lambda keys: self.look(self._groups if "" in keys else keys & self._groups.keys()))

    def add(self, member: Member) -> None:
        """Raises ServerStopping when the server is about to stop."""
        if self._closed:
            raise ServerStopping()
        self._groups.setdefault(member.group.id, {})[member.id] = member
        self._members[member.id] = member
        self._reading.add(member.group)
        self.look([member.group.id])

    def remove(self, member: Member) -> None:
        members = self._groups.get(member.group.id, {})
        members.pop(member.id, None)
        self._members.pop(member.id, None)
        self._to_settle.pop(member, None)
        if not members:
            self._groups.pop(member.group.id, None)
            self._searched.pop(member.group.id, None)
            self._reading.remove(member.group.id)

    def member(self, member_id: str) -> Member | None:
        return self._members.get(member_id)

    def members(self) -> list[Member]:
        return list(self._members.values())

    def drain(self) -> None:
        """Ends every membership: the server is about to stop."""
        self._closed = True
        for member in self.members():
            member.end(ServerStopping())

    def moved(self, member: Member) -> None:
        """Called when the member has capacity again, or when something written to it is to be settled."""
        if member.id not in self._members:
            return
        if member.written:
            self._to_settle[member] = None
        self.look([member.group.id])

    def look(self, group_ids: Iterable[str]) -> None:
        """Schedules a search for deliveries for these groups."""
        self._to_look.update(dict.fromkeys(group_ids))
        if (self._to_look or self._to_settle) and self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def idle(self) -> None:
        """Waits until no work is under way or scheduled."""
        while self._task is not None:
            await asyncio.wait([self._task])

    def look_everywhere(self) -> None:
        self.look(self._groups)

    def _appended(self, keys: set[str]) -> None:
        if "" in keys:
            self.look_everywhere()
            return
        for key in keys:
            self.look(self._reading.of(key))

    async def _work(self) -> None:
        try:
            while (self._to_look or self._to_settle) and not self._closed:
                await self._round()
        finally:
            self._task = None

    async def _round(self) -> None:
        """Serves everything that is scheduled, in as few commits as the database makes of it."""
        looking, self._to_look = self._to_look, {}
        settling, self._to_settle = self._to_settle, {}
        demands = [demand for group_id in looking if (demand := self._demand(group_id)) is not None]
        settlements = [(member, self._settlement(member)) for member in settling]
        work = [self._db.write_many(claim, demand) for demand in demands]
        more_work = [self._db.write_many(settle, settlement) for _, settlement in settlements]
        answers = await asyncio.gather(*work, *more_work, return_exceptions=True)
        for demand, claimed in zip(demands, answers, strict=False):
            if isinstance(claimed, Claimed):
                self._hand_out(demand, claimed)
            else:
                self._retry_later(claimed, demand.group_id)
        for (member, settlement), settled in zip(settlements, answers[len(demands) :], strict=True):
            if isinstance(settled, frozenset):
                member.settled(settlement.event_ids)
            elif isinstance(settled, IronflowError) and not settled.retryable:
                member.end(settled)
            else:
                member.written += settlement.event_ids
                self._to_settle[member] = None
                self._retry_later(settled, member.group.id)

    def _demand(self, group_id: str) -> Demand | None:
        members = list(self._groups.get(group_id, {}).values())
        recipients = tuple(rules.shares([(member.id, member.capacity()) for member in members], CLAIM_MAX))
        # With `drop`, the group reads on even when no member has capacity.
        if not recipients and not any(each.group.backpressure == BackpressureMode.DROP for each in members):
            return None
        searched, version = self._searched.get(group_id, (0, 0))
        manuals = frozenset(each.id for each in members if each.settles or each.ack_mode is AckMode.MANUAL)
        autos = frozenset(each.id for each in members if each.ack_mode is AckMode.AUTO) - manuals
        queued = sum(each.queued_autos() for each in members)
        return Demand(group_id, recipients, self._clock.now(), searched, version, autos, manuals, queued)

    def _settlement(self, member: Member) -> Settlement:
        event_ids, member.written = tuple(member.written), []
        return Settlement(member.group.environment, member.id, event_ids, rules.Ack(), self._clock.now())

    def _hand_out(self, demand: Demand, claimed: Claimed) -> None:
        members = self._groups.get(demand.group_id, {})
        if claimed.group is None:
            for member in members.values():
                member.end(GroupNotFound(f"Consumer group {member.group.name!r} was deleted."))
            return
        for member in members.values():
            member.group = claimed.group
        if members:
            self._reading.add(claimed.group)
        self._searched[demand.group_id] = (claimed.searched, claimed.group.version)
        for handed in claimed.handed:
            # A member that left during the commit has given back all its deliveries, this one too.
            if (member := members.pop(handed.delivery.member_id, None)) is not None:
                member.give(handed)
                members[member.id] = member
        # Members may have more capacity than one transaction gives.
        if claimed.more or len(claimed.handed) == CLAIM_MAX:
            self._to_look[demand.group_id] = None

    def _retry_later(self, fault: object, group_id: str) -> None:
        if self._closed:
            return
        logger.warning("deliveries could not be handed out", extra={"group_id": group_id, "error": str(fault)})
        asyncio.get_running_loop().call_later(RETRY_S, self.look, [group_id])
