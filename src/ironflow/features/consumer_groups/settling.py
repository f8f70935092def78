"""Settling: what becomes of deliveries when their members speak, leave or fall silent."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from ironflow.base.errors import IronflowError
from ironflow.base.time import Millis
from ironflow.features.consumer_groups import rules, store
from ironflow.features.consumer_groups.contract import GroupNotFound, MemberNotFound
from ironflow.features.consumer_groups.rules import Ack, Bury, Delivery, Done, Group, Nak, Outcome, Redeliver, Term
from ironflow.log.read import records
from ironflow.log.topics import topic_of
from ironflow.storage.port import Tx

# Wakes those who hand out; the key is the group's id.
RING = "groups"
# Wakes the loop that looks for what has become due.
DUE_RING = "groups-due"
# Less than this and the loop is told, for it looks by itself as often.
SOON_MS = 1_000


@dataclass(frozen=True, slots=True)
class Word:
    """A member's word on some events. place: (namespace, group) that it names, None when it names none."""

    environment: str
    member_id: str
    event_ids: tuple[str, ...]
    outcome: Ack | Nak | Term
    now: Millis
    place: tuple[str, str] | None = None


def settle(tx: Tx, words: Sequence[Word]) -> list[int | IronflowError]:
    """For each word, how many of its events the member held: what it does not hold any more is no error."""
    known = store.members(tx, (word.member_id for word in words))
    answers: list[int | IronflowError] = []
    acked: dict[str, list[str]] = {}
    for word in words:
        member = known.get(word.member_id)
        if member is None or member.environment != word.environment:
            answers.append(
                MemberNotFound(f"There is no member {word.member_id!r} here any more. Join the group again.")
            )
            continue
        if word.place is not None and word.place != (member.namespace, member.name):
            answers.append(GroupNotFound(f"Member {word.member_id!r} is not of group {word.place[1]!r}."))
            continue
        tx.ring(RING, member.group_id)
        if isinstance(word.outcome, Ack):
            # One statement for all acks of a member.
            acked.setdefault(word.member_id, []).extend(word.event_ids)
            answers.append(len(word.event_ids))
            continue
        group = store.group(tx, member.group_id)
        held = store.held(tx, word.member_id, word.event_ids)
        if group is not None:
            apply(tx, group, [(delivery, word.outcome) for delivery in held], word.now)
        answers.append(len(held))
    for member_id, event_ids in acked.items():
        store.delete_acked(tx, member_id, event_ids)
    return answers


def apply(tx: Tx, group: Group, outcomes: Sequence[tuple[Delivery, Outcome]], now: Millis) -> None:
    """Does what is decided about deliveries of one group."""
    done: list[Delivery] = []
    again: list[Delivery] = []
    buried: list[tuple[Delivery, str]] = []
    for delivery, outcome in outcomes:
        match rules.decide_redelivery(delivery, outcome, group, now):
            case Done():
                done.append(delivery)
            case Redeliver(at=at, attempt=attempt):
                again.append(replace(delivery, due_at=at, attempt=attempt, member_id=""))
            case Bury(reason=reason):
                buried.append((delivery, reason))
    store.delete_deliveries(tx, done)
    store.save_deliveries(tx, again)
    bury(tx, buried, now)
    if any(now < each.due_at < now + SOON_MS for each in again):
        tx.ring(DUE_RING)
    if outcomes:
        tx.ring(RING, group.id)


def bury(tx: Tx, buried: Sequence[tuple[Delivery, str]], now: Millis) -> None:
    """Makes dead letters of deliveries with their reasons; one whose event the log has forgotten has no topic."""
    if not buried:
        return
    events = records(tx, [delivery.event_id for delivery, _ in buried])
    topics = {event_id: topic_of(record) for event_id, record in events.items()}
    store.bury(tx, [(delivery, topics.get(delivery.event_id, ""), reason) for delivery, reason in buried], now)


def leave(tx: Tx, member_id: str, group_id: str, unsent: frozenset[str], written: Sequence[str], now: Millis) -> None:
    """Gives back what a member holds and forgets it.

    unsent: ids of events that never went out to it. written: of those an `auto` group is done with.
    """
    # The member first: a word of it that comes at the same moment finds it gone, or is waited for.
    store.delete_member(tx, member_id)
    if written:
        store.delete_acked(tx, member_id, written)
    group = store.group(tx, group_id)
    held = store.held(tx, member_id)
    if group is not None:
        apply(tx, group, [(each, rules.Left(was_sent=each.event_id not in unsent)) for each in held], now)
