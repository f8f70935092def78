"""Handing out: what members are given, in one transaction for all groups that wait for it.

The group's row is locked first, so nodes take turns within a group. Events that come back go before new ones, both in
order of the log. A delivery is a row with its member and its lease before anybody is sent anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from msgspec import structs

from ironflow.base.time import Millis
from ironflow.features.consumer_groups import rules, store
from ironflow.features.consumer_groups.rules import Bury, Delivery, Group
from ironflow.log.read import head, of_topic, records
from ironflow.log.record import Record
from ironflow.log.topics import topic_of, topic_pattern
from ironflow.storage.port import Tx

# How often one transaction searches on for events that fit before others have their turn.
SEARCHES_MAX = 4
# Events looked at in a search that is not the first.
SEARCHED_MAX = 256
# The position is saved at least this often while nothing fits, so that a restart does not search all of it again.
POSITIONS_UNSAVED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Ask:
    """Free places of members at one group. places: member ids, one for each delivery that is wanted, in fair order.

    autos, manuals: of the members, those that want another mode than the group's.
    searched: up to where this node has searched for the group's version without finding anything more.
    """

    group_id: str
    places: tuple[str, ...]
    now: Millis
    searched: int = 0
    version: int = 0
    autos: frozenset[str] = frozenset()
    manuals: frozenset[str] = frozenset()

    def is_manual(self, member_id: str, group: Group) -> bool:
        """Whether the member says itself when it is done with an event."""
        return member_id in self.manuals or (group.is_manual and member_id not in self.autos)


@dataclass(frozen=True, slots=True)
class Handed:
    """A delivery with its event."""

    delivery: Delivery
    record: Record

    @property
    def is_auto(self) -> bool:
        """Whether it is over when it is written to the member's connection."""
        return self.delivery.due_at == rules.NEVER


@dataclass(slots=True)
class Claimed:
    """What an ask got. group: None when it is gone. more: there may be more at once."""

    group: Group | None
    handed: list[Handed] = field(default_factory=list)
    searched: int = 0
    more: bool = False


def claim(tx: Tx, asks: Sequence[Ask]) -> list[Claimed]:
    """Hands out to each ask what its members have room for."""
    answers: dict[int, Claimed] = {}
    # In one order everywhere, so that no two nodes wait for each other's group.
    for place in sorted(range(len(asks)), key=lambda place: asks[place].group_id):
        answers[place] = _claim(tx, asks[place])
    return [answers[place] for place in range(len(asks))]


def _claim(tx: Tx, ask: Ask) -> Claimed:
    group = store.group(tx, ask.group_id, to_write=True)
    if group is None:
        return Claimed(None)
    if ask.places:
        staying = store.staying(tx, ask.places)
        ask = replace(ask, places=tuple(each for each in ask.places if each in staying))
    tally = store.tally(tx, group.id, ask.now)
    waiting = tally.undone - tally.in_flight
    capacity, new_max = rules.decide_capacity(group, tally.in_flight, waiting, len(ask.places))
    claimed = Claimed(group)
    if capacity and tally.due:
        claimed.handed = _again(tx, group, ask, capacity)
        # Some were buried, so that their places are still free.
        claimed.more = len(claimed.handed) < capacity < tally.due
    room = min(capacity - len(claimed.handed), new_max)
    in_flight = tally.in_flight + len(claimed.handed)
    _go_on(tx, group, ask, claimed, room, in_flight)
    return claimed


def _again(tx: Tx, group: Group, ask: Ask, capacity: int) -> list[Handed]:
    """Gives out deliveries that are due again; those without a redelivery left are buried."""
    due = store.due(tx, group.id, ask.now, capacity)
    events = records(tx, [each.event_id for each in due])
    handed: list[Handed] = []
    buried: list[tuple[Delivery, str, str]] = []
    lost: list[Delivery] = []
    for delivery in due:
        record = events.get(delivery.event_id)
        outcome = rules.TimedOut() if delivery.member_id else rules.Nak()
        verdict = rules.decide_redelivery(delivery, outcome, group, ask.now)
        if record is None:
            # The log has forgotten the event; there is nothing to deliver.
            lost.append(delivery)
        elif isinstance(verdict, Bury):
            buried.append((delivery, topic_of(record), verdict.reason))
        else:
            member_id = ask.places[len(handed)]
            handed.append(Handed(_given(delivery, member_id, delivery.attempt + 1, group, ask), record))
    store.save_deliveries(tx, [each.delivery for each in handed])
    store.bury(tx, buried, ask.now)
    store.delete_deliveries(tx, lost)
    return handed


def _go_on(tx: Tx, group: Group, ask: Ask, claimed: Claimed, room: int, in_flight: int) -> None:
    """Reads on in the log: up to `room` events become deliveries; with `drop`, what does not fit in is passed over."""
    at = max(group.position, ask.searched if ask.version == group.version else 0)
    pattern, until = topic_pattern(group.pattern), head(tx)
    fresh: list[Handed] = []
    dropped, look_at = 0, room or SEARCHED_MAX

    def is_open() -> bool:
        return len(fresh) < room or rules.decide_drop(group, in_flight + len(fresh))

    for _ in range(SEARCHES_MAX):
        if at >= until or not is_open():
            break
        found, at = of_topic(tx, group.environment, pattern, at, until, look_at)
        for record in found:
            if not rules.is_meant(group, record):
                continue
            if len(fresh) < room:
                member_id = ask.places[len(claimed.handed) + len(fresh)]
                new = Delivery(group.id, record.position, record.id, 0, "", ask.now)
                fresh.append(Handed(_given(new, member_id, 1, group, ask), record))
            elif is_open():
                dropped += 1
            else:
                at = record.position - 1
                break
        look_at = SEARCHED_MAX
    claimed.searched = at
    claimed.more = claimed.more or (at < until and is_open())
    claimed.handed += fresh
    store.add_deliveries(tx, [each.delivery for each in fresh])
    if fresh or dropped or at - group.position >= POSITIONS_UNSAVED_MAX:
        store.save_position(tx, structs.replace(group, position=at, dropped=group.dropped + dropped))


def _given(delivery: Delivery, member_id: str, attempt: int, group: Group, ask: Ask) -> Delivery:
    due_at = rules.due_at(group, ask.is_manual(member_id, group), ask.now)
    return structs.replace(delivery, member_id=member_id, attempt=attempt, due_at=due_at)
