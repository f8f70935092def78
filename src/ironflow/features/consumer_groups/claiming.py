"""Handing out deliveries to members, in one transaction for all groups that have demand.

The group's row is locked first, so that nodes take turns within a group. Redeliveries go before new events, both in
order of the log. A delivery is stored with its member and its lease before its event is sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from msgspec import structs

from ironflow.base.time import Millis
from ironflow.features.consumer_groups import rules, store
from ironflow.features.consumer_groups.rules import Delivery, GiveUp, Group
from ironflow.features.consumer_groups.settling import dead_letter
from ironflow.features.dead_letters import in_tx as dead_letters
from ironflow.features.dead_letters.in_tx import DeadLetter
from ironflow.log.follower import Follower
from ironflow.log.read import records
from ironflow.log.record import Record
from ironflow.log.scan import topic_filter
from ironflow.log.topics import topic_of, topic_pattern
from ironflow.storage.port import Tx

# Searches of the log in one transaction.
SEARCHES_MAX = 4
# Events read by a search that is not the first.
SEARCHED_MAX = 256
# Positions passed by one search: other writers wait for this transaction.
LOOK = 2_000
# The position is saved at least this often while nothing fits, so that a restart does not search all of it again.
POSITIONS_UNSAVED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Demand:
    """What the members of one group can take. recipients: member ids, one for each delivery wanted, in fair order.

    autos, manuals: the members that ask for that ack mode instead of the group's. queued_autos: deliveries of this
    server's `auto` members that are not written yet.
    searched: up to where this node has searched for the group's version without finding anything more.
    """

    group_id: str
    recipients: tuple[str, ...]
    now: Millis
    searched: int = 0
    version: int = 0
    autos: frozenset[str] = frozenset()
    manuals: frozenset[str] = frozenset()
    queued_autos: int = 0

    def is_manual(self, member_id: str, group: Group) -> bool:
        """Whether the member settles its events itself."""
        return member_id in self.manuals or (group.is_manual and member_id not in self.autos)


@dataclass(frozen=True, slots=True)
class Handed:
    """A delivery with its event."""

    delivery: Delivery
    record: Record

    @property
    def is_auto(self) -> bool:
        """Whether it is settled by its arrival, and not by the member."""
        return self.delivery.due_at == rules.AUTO


@dataclass(slots=True)
class Claimed:
    """The result of a demand. group: None when it was deleted. more: whether further deliveries may be available."""

    group: Group | None
    handed: list[Handed] = field(default_factory=list)
    searched: int = 0
    more: bool = False


def claim(tx: Tx, demands: Sequence[Demand]) -> list[Claimed]:
    """Hands out, per demand, as many deliveries as its members have capacity for."""
    answers: dict[int, Claimed] = {}
    # Every node locks groups in this order, so that two nodes cannot deadlock.
    for index in sorted(range(len(demands)), key=lambda index: demands[index].group_id):
        answers[index] = _claim(tx, demands[index])
    return [answers[index] for index in range(len(demands))]


def _claim(tx: Tx, demand: Demand) -> Claimed:
    group = store.group(tx, demand.group_id, to_write=True)
    if group is None:
        return Claimed(None)
    if demand.recipients:
        staying = store.staying(tx, demand.recipients)
        demand = replace(demand, recipients=tuple(each for each in demand.recipients if each in staying))
    tally = store.tally(tx, group.id, demand.now)
    in_flight = tally.in_flight + demand.queued_autos
    capacity, new_max = rules.decide_capacity(group, in_flight, tally.waiting, len(demand.recipients))
    claimed = Claimed(group)
    if capacity and tally.due:
        claimed.handed = _redeliver(tx, group, demand, capacity)
        # Some became dead letters, so that members still have capacity.
        claimed.more = len(claimed.handed) < capacity < tally.due
    new_capacity = min(capacity - len(claimed.handed), new_max)
    in_flight += len(claimed.handed)
    _deliver_new(tx, group, demand, claimed, new_capacity, in_flight)
    return claimed


def _redeliver(tx: Tx, group: Group, demand: Demand, capacity: int) -> list[Handed]:
    """Hands out deliveries that are due again. Those without a redelivery left become dead letters."""
    due = store.due(tx, group.id, demand.now, capacity)
    events = records(tx, [each.event_id for each in due])
    handed: list[Handed] = []
    given_up: list[DeadLetter] = []
    over: list[Delivery] = []
    for delivery in due:
        record = events.get(delivery.event_id)
        outcome = rules.TimedOut() if delivery.member_id else rules.Nak()
        verdict = rules.decide_redelivery(delivery, outcome, group, demand.now)
        if record is None:
            # Retention deleted the event.
            over.append(delivery)
        elif isinstance(verdict, GiveUp):
            given_up.append(dead_letter(delivery, topic_of(record), verdict.reason, demand.now))
            over.append(delivery)
        else:
            member_id = demand.recipients[len(handed)]
            handed.append(Handed(_given(delivery, member_id, delivery.attempt + 1, group, demand), record))
    store.save_deliveries(tx, [each.delivery for each in handed])
    dead_letters.add(tx, given_up)
    store.delete_deliveries(tx, over)
    return handed


def _deliver_new(tx: Tx, group: Group, demand: Demand, claimed: Claimed, capacity: int, in_flight: int) -> None:
    """Makes deliveries of up to `capacity` further events of the log. With `drop`, skips those beyond the limit."""
    at = max(group.position, demand.searched if demand.version == group.version else 0)
    wanted = topic_filter(group.environment, topic_pattern(group.pattern))
    follower = Follower(wanted, at, look=LOOK)
    fresh: list[Handed] = []
    dropped, look_at = 0, capacity or SEARCHED_MAX

    def is_open() -> bool:
        return len(fresh) < capacity or rules.decide_drop(group, in_flight + len(fresh))

    for _ in range(SEARCHES_MAX):
        if not is_open():
            break
        page = follower.read(tx, look_at)
        follower.advance(page.reached)
        for record in page.items:
            if not rules.is_delivered(group, record):
                continue
            if len(fresh) < capacity:
                member_id = demand.recipients[len(claimed.handed) + len(fresh)]
                new = Delivery(group.id, record.position, record.id, 0, "", demand.now)
                fresh.append(Handed(_given(new, member_id, 1, group, demand), record))
            elif is_open():
                dropped += 1
            else:
                follower.advance(record.position - 1)
                break
        if not follower.is_behind:
            break
        look_at = SEARCHED_MAX
    at = claimed.searched = follower.position
    claimed.more = claimed.more or (follower.is_behind and is_open())
    claimed.handed += fresh
    store.add_deliveries(tx, [each.delivery for each in fresh])
    if fresh or dropped or at - group.position >= POSITIONS_UNSAVED_MAX:
        store.save_position(tx, structs.replace(group, position=at, dropped=group.dropped + dropped))


def _given(delivery: Delivery, member_id: str, attempt: int, group: Group, demand: Demand) -> Delivery:
    due_at = rules.NEVER if demand.is_manual(member_id, group) else rules.AUTO
    return structs.replace(delivery, member_id=member_id, attempt=attempt, due_at=due_at)
