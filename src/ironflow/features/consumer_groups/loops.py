"""What goes on by itself: deliveries come back when their time is over, members that fell silent are forgotten."""

import logging
from dataclasses import dataclass

from ironflow.base.time import DAY_MS, Millis
from ironflow.features.consumer_groups import rules, settling, store
from ironflow.features.consumer_groups.contract import MemberNotFound
from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)

BATCH = 500


@dataclass(frozen=True, slots=True)
class Redelivered:
    """What one round did. more: there are further ones to bury. next_at: when the next delivery becomes due."""

    buried: int
    more: bool
    next_at: Millis | None


class Redeliver:
    """Buries deliveries that are due and have no redelivery left, and tells the desks of the others."""

    name = "group-redeliveries"
    topic = settling.DUE_RING
    every_ms = 1_000

    def __init__(self, db: Database) -> None:
        self._db = db
        # Everything due up to then has been seen to.
        self._seen_to: Millis = -1

    async def run_once(self, now: Millis) -> Redelivered:
        # Again what is due at this very moment; all of it when the clock was set back.
        since = min(self._seen_to, now - 1) if self._seen_to <= now else -1
        groups, next_at = await self._db.peek(
            lambda tx: (store.newly_due_groups(tx, since, now), store.next_due(tx, now))
        )
        if not groups:
            self._seen_to = now
            return Redelivered(0, more=False, next_at=next_at)

        def bury(tx: Tx) -> int:
            spent = store.spent(tx, since, now, BATCH)
            known = store.groups(tx, (each.group_id for each in spent))
            for group in known.values():
                outcomes = [(each, _outcome(each)) for each in spent if each.group_id == group.id]
                settling.apply(tx, group, outcomes, now)
            for group_id in groups:
                tx.ring(settling.RING, group_id)
            return len(spent)

        buried = await self._db.write(bury)
        if buried < BATCH:
            self._seen_to = now
        return Redelivered(buried, more=buried == BATCH, next_at=next_at)


def _outcome(delivery: rules.Delivery) -> rules.Outcome:
    """Why it is due: who had it said nothing, or had rejected it."""
    return rules.TimedOut() if delivery.member_id else rules.Nak()


@dataclass(frozen=True, slots=True)
class Kept:
    """What one round did. evicted: members of other servers, or of this one's former life."""

    evicted: int
    more: bool = False


class KeepMembers:
    """Says that the members at this server live, sends away those whose connection is gone, forgets lost ones."""

    name = "group-members"
    every_ms = 1_000

    def __init__(self, db: Database, groups: ConsumerGroups, node: str) -> None:
        self._db = db
        self._groups = groups
        self._desk = groups.desk
        self._node = node
        self._renewed_at: Millis = -1
        # The only process on this database: members of any other are of its former life.
        self._is_alone = db.name == "sqlite"

    async def run_once(self, now: Millis) -> Kept:
        for member in self._desk.members():
            if not member.is_there():
                logger.info("group member gone", extra={"member_id": member.id, "group": member.group.name})
                member.end(MemberNotFound("The member's connection is gone."))
                await self._groups.leave(member)
        if not self._renewed_at <= now < self._renewed_at + rules.MEMBER_LEASE_MS // 3:
            await self._renew(now)
            self._renewed_at = now
        # Rings may have been lost on the way from other nodes.
        self._desk.look_everywhere()
        evicted = await self._db.write(lambda tx: self._evict(tx, now))
        return Kept(evicted, more=evicted == BATCH)

    async def _renew(self, now: Millis) -> None:
        members = {member.id: member for member in self._desk.members()}
        if not members:
            return
        known = await self._db.write(lambda tx: store.renew(tx, list(members), now + rules.MEMBER_LEASE_MS))
        for member_id in members.keys() - known:
            members[member_id].end(MemberNotFound("The member was given up for lost. Join again."))
            self._desk.remove(members[member_id])

    def _evict(self, tx: Tx, now: Millis) -> int:
        if self._is_alone:
            lost = store.members_of_other_nodes(tx, self._node, BATCH)
        else:
            lost = store.expired_members(tx, now, BATCH)
        for member_id, group_id in lost:
            settling.leave(tx, member_id, group_id, frozenset(), (), now)
        return len(lost)


@dataclass(frozen=True, slots=True)
class PurgedDead:
    """What one round did. more: the batch was full."""

    purged: int
    more: bool


class PurgeDeadLetters:
    """Forgets dead letters older than `retention_days`; 0 keeps them for ever."""

    name = "dead-letters-purge"
    every_ms = 60_000

    def __init__(self, db: Database, retention_days: float) -> None:
        self._db = db
        self._retention_ms = int(retention_days * DAY_MS)

    async def run_once(self, now: Millis) -> PurgedDead:
        if not self._retention_ms:
            return PurgedDead(0, more=False)
        oldest = now - self._retention_ms
        purged = await self._db.write(lambda tx: store.purge_old_dead(tx, oldest, BATCH))
        return PurgedDead(purged, more=purged == BATCH)
