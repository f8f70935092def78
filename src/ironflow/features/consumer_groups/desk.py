"""The desk of the members at this server: events are handed out as they come, what was written is settled.

One task at a time does both, for all groups together, so that they share commits; it runs while there is work. It
looks again whenever a group has rung, or the log for something that the group's pattern may mean.
"""

import asyncio
import logging
from collections.abc import Iterable

from ironflow.base.errors import IronflowError, Unavailable
from ironflow.base.time import Clock
from ironflow.broker.port import Broker
from ironflow.features.consumer_groups import rules
from ironflow.features.consumer_groups.claiming import Ask, Claimed, claim
from ironflow.features.consumer_groups.contract import AckMode, BackpressureMode, GroupNotFound
from ironflow.features.consumer_groups.member import Member
from ironflow.features.consumer_groups.reading import Reading
from ironflow.features.consumer_groups.settling import RING, Word, settle
from ironflow.storage.port import Database

logger = logging.getLogger(__name__)

# The most that one group is given in one transaction.
CLAIM_MAX = 256
# After a failed look the desk looks again this much later.
LOOK_AGAIN_S = 0.5


class Desk:
    """Members of groups at this server."""

    def __init__(self, db: Database, broker: Broker, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        # Group id -> members by id; who was served last stands last.
        self._groups: dict[str, dict[str, Member]] = {}
        self._members: dict[str, Member] = {}
        self._reading = Reading()
        # Group id -> (up to where it was searched, the version that was searched for).
        self._searched: dict[str, tuple[int, int]] = {}
        self._to_look: dict[str, None] = {}
        self._to_settle: dict[Member, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        broker.listen("log", self._appended)
        broker.listen(RING, lambda keys: self.look(self._groups if "" in keys else keys & self._groups.keys()))

    def add(self, member: Member) -> None:
        """Raises Unavailable when the server is about to stop."""
        if self._closed:
            raise Unavailable("The server is shutting down. Join again.")
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

    def close(self) -> None:
        """Sends every member away: the server is about to stop."""
        self._closed = True
        for member in self.members():
            member.end(Unavailable("The server is shutting down. Join again."))

    def moved(self, member: Member) -> None:
        """The member has room again, or was written something that is to be settled."""
        if member.id not in self._members:
            return
        if member.written:
            self._to_settle[member] = None
        self.look([member.group.id])

    def look(self, group_ids: Iterable[str]) -> None:
        """Looks soon whether there is something for these groups."""
        self._to_look.update(dict.fromkeys(group_ids))
        if (self._to_look or self._to_settle) and self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def idle(self) -> None:
        """Until nothing is under way and nothing waits for a look."""
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
        """One look at everything that waits, in as few transactions as the database makes of it."""
        looking, self._to_look = self._to_look, {}
        settling, self._to_settle = self._to_settle, {}
        asks = [ask for group_id in looking if (ask := self._ask(group_id)) is not None]
        words = [(member, self._word(member)) for member in settling]
        work = [self._db.write_many(claim, ask) for ask in asks]
        more_work = [self._db.write_many(settle, word) for _, word in words]
        answers = await asyncio.gather(*work, *more_work, return_exceptions=True)
        for ask, claimed in zip(asks, answers, strict=False):
            if isinstance(claimed, Claimed):
                self._hand_out(ask, claimed)
            else:
                self._again_later(claimed, ask.group_id)
        for (member, word), settled in zip(words, answers[len(asks) :], strict=True):
            if isinstance(settled, int):
                member.settled(word.event_ids)
            elif isinstance(settled, IronflowError) and not settled.retryable:
                member.end(settled)
            else:
                member.written += word.event_ids
                self._to_settle[member] = None
                self._again_later(settled, member.group.id)

    def _ask(self, group_id: str) -> Ask | None:
        members = list(self._groups.get(group_id, {}).values())
        places = tuple(rules.shares([(member.id, member.room()) for member in members], CLAIM_MAX))
        # A group that drops has to be looked at also when nobody has room.
        if not places and not any(each.group.backpressure == BackpressureMode.DROP for each in members):
            return None
        searched, version = self._searched.get(group_id, (0, 0))
        autos = frozenset(each.id for each in members if each.ack_mode is AckMode.AUTO)
        manuals = frozenset(each.id for each in members if each.ack_mode is AckMode.MANUAL)
        return Ask(group_id, places, self._clock.now(), searched, version, autos, manuals)

    def _word(self, member: Member) -> Word:
        event_ids, member.written = tuple(member.written), []
        return Word(member.group.environment, member.id, event_ids, rules.Ack(), self._clock.now())

    def _hand_out(self, ask: Ask, claimed: Claimed) -> None:
        members = self._groups.get(ask.group_id, {})
        if claimed.group is None:
            for member in members.values():
                member.end(GroupNotFound(f"Consumer group {member.group.name!r} was deleted."))
            return
        for member in members.values():
            member.group = claimed.group
        if members:
            self._reading.add(claimed.group)
        self._searched[ask.group_id] = (claimed.searched, claimed.group.version)
        for handed in claimed.handed:
            # Who left while the commit was under way gives everything back itself, this too.
            if (member := members.pop(handed.delivery.member_id, None)) is not None:
                member.give(handed)
                members[member.id] = member
        # Members may have more room than one transaction gives.
        if claimed.more or len(claimed.handed) == CLAIM_MAX:
            self._to_look[ask.group_id] = None

    def _again_later(self, fault: object, group_id: str) -> None:
        if self._closed:
            return
        logger.warning("groups could not be served", extra={"group_id": group_id, "error": str(fault)})
        asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self.look, [group_id])
