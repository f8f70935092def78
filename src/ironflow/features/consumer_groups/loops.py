"""Loops: redeliver what is due, renew the leases of members here, remove members whose lease ended."""

import logging
from dataclasses import replace

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.consumer_groups import rules, settling, store
from ironflow.features.consumer_groups.contract import MemberNotFound
from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)

BATCH = 500


class Redeliver:
    """Ends the time of events that members here did not settle, gives up deliveries that are due and have no redelivery
    left, and wakes the matchers for the others."""

    name = "group-redeliveries"
    topic = settling.DUE_TOPIC
    every_ms = 1_000
    notable = ("given_up", "timed_out")

    def __init__(self, db: Database, groups: ConsumerGroups) -> None:
        self._db = db
        self._groups = groups
        # Deliveries due up to this time are processed.
        self._processed_to: Millis = -1

    async def run_once(self, now: Millis) -> Ran:
        timed_out = await self._groups.time_out()
        ran = await self._redeliver(now)
        deadline = self._groups.next_deadline()
        next_at = min((at for at in (ran.next_at, deadline) if at is not None), default=None)
        return replace(ran, done={**ran.done, "timed_out": timed_out}, next_at=next_at)

    async def _redeliver(self, now: Millis) -> Ran:
        # Includes what is due at `now` exactly; everything when the clock was set back.
        since = min(self._processed_to, now - 1) if self._processed_to <= now else -1
        groups, next_at = await self._db.peek(
            lambda tx: (store.newly_due_groups(tx, since, now), store.next_due(tx, now))
        )
        if not groups:
            self._processed_to = now
            return Ran(next_at=next_at)

        def give_up(tx: Tx) -> int:
            spent = store.spent(tx, since, now, BATCH)
            known = store.groups(tx, (each.group_id for each in spent))
            for group in known.values():
                outcomes = [(each, _outcome(each)) for each in spent if each.group_id == group.id]
                settling.apply(tx, group, outcomes, now)
            for group_id in groups:
                tx.notify(settling.TOPIC, group_id)
            return len(spent)

        given_up = await self._db.write(give_up)
        if given_up < BATCH:
            self._processed_to = now
        return Ran({"given_up": given_up}, more=given_up == BATCH, next_at=next_at)


def _outcome(delivery: rules.Delivery) -> rules.Outcome:
    """Why it is due: its member did not settle it in time, or rejected it before."""
    return rules.TimedOut() if delivery.member_id else rules.Nak()


class KeepMembers:
    """Renews the leases of this server's members, ends those without a connection, removes those whose lease ended."""

    name = "group-members"
    every_ms = 1_000
    topic = ""
    notable = ("evicted",)

    def __init__(self, db: Database, groups: ConsumerGroups, node: str) -> None:
        self._db = db
        self._groups = groups
        self._matcher = groups.matcher
        self._node = node
        self._renewed_at: Millis = -1
        # With SQLite there is one process: members of another node are of an earlier incarnation.
        self._is_alone = db.name == "sqlite"

    async def run_once(self, now: Millis) -> Ran:
        for member in self._matcher.members():
            if not member.is_there():
                logger.info("group member disconnected", extra={"member_id": member.id, "group": member.group.name})
                member.end(MemberNotFound("The member's connection is closed."))
                await self._groups.leave(member)
            else:
                member.confirm()
        if not self._renewed_at <= now < self._renewed_at + rules.MEMBER_LEASE_MS // 3:
            await self._renew(now)
            self._renewed_at = now
        # Notifications from other nodes may have been lost.
        self._matcher.look_everywhere()
        evicted = await self._db.write(lambda tx: self._evict(tx, now))
        return Ran({"evicted": evicted}, more=evicted == BATCH)

    async def _renew(self, now: Millis) -> None:
        members = {member.id: member for member in self._matcher.members()}
        if not members:
            return
        known = await self._db.write(lambda tx: store.renew(tx, list(members), now + rules.MEMBER_LEASE_MS))
        for member_id in members.keys() - known:
            members[member_id].end(MemberNotFound("The member's lease ended. Join again."))
            self._matcher.remove(members[member_id])

    def _evict(self, tx: Tx, now: Millis) -> int:
        if self._is_alone:
            lost = store.members_of_other_nodes(tx, self._node, BATCH)
        else:
            lost = store.expired_members(tx, now, BATCH)
        for member_id, group_id in lost:
            settling.leave(tx, member_id, group_id, frozenset(), (), now)
        return len(lost)
