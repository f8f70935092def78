"""Settling deliveries: by an ack, nak or term, when a member leaves, and when its time is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from msgspec.structs import replace

from ironflow.base.errors import IronflowError
from ironflow.base.time import Millis
from ironflow.features.consumer_groups import rules, store
from ironflow.features.consumer_groups.contract import GroupNotFound, MemberNotFound
from ironflow.features.consumer_groups.rules import (
    Ack,
    Delivery,
    Done,
    Extend,
    GiveUp,
    Group,
    Nak,
    Outcome,
    Redeliver,
    Term,
    TimedOut,
)
from ironflow.features.dead_letters import in_tx as dead_letters
from ironflow.features.dead_letters.in_tx import DeadLetter
from ironflow.log.read import records
from ironflow.log.topics import topic_of
from ironflow.storage.port import Tx

# Wakes the matchers; the key is the group's id.
TOPIC = "groups"
# Wakes the loop that redelivers what is due.
DUE_TOPIC = "groups-due"
# The loop runs this often by itself; it is notified of what is due sooner.
SOON_MS = 1_000


@dataclass(frozen=True, slots=True)
class Settlement:
    """A member's ack, nak or term of some events, or its request for more time.

    group: the (namespace, name) that it gives; None to check none.
    """

    environment: str
    member_id: str
    event_ids: tuple[str, ...]
    outcome: Ack | Nak | Term | Extend
    now: Millis
    group: tuple[str, str] | None = None


def settle(tx: Tx, settlements: Sequence[Settlement]) -> list[frozenset[str] | IronflowError]:
    """Returns, per settlement, the events that the member held. Others are settled or with another member by now."""
    known = store.members(tx, (settlement.member_id for settlement in settlements))
    answers: list[frozenset[str] | IronflowError] = []
    acked: dict[str, list[str]] = {}
    for settlement in settlements:
        member = known.get(settlement.member_id)
        if member is None or member.environment != settlement.environment:
            answers.append(
                MemberNotFound(f"There is no member {settlement.member_id!r} here any more. Join the group again.")
            )
            continue
        if settlement.group is not None and settlement.group != (member.namespace, member.name):
            answers.append(GroupNotFound(f"Member {settlement.member_id!r} is not of group {settlement.group[1]!r}."))
            continue
        if not isinstance(settlement.outcome, Extend):
            tx.notify(TOPIC, member.group_id)
        if isinstance(settlement.outcome, Ack):
            # One statement for all acks of a member.
            acked.setdefault(settlement.member_id, []).extend(settlement.event_ids)
            answers.append(frozenset())
            continue
        group = store.group(tx, member.group_id)
        if group is None:
            answers.append(frozenset())
            continue
        if isinstance(settlement.outcome, Extend):
            due_at = rules.extended_due_at(group, settlement.now)
            answers.append(frozenset(store.extend(tx, settlement.member_id, settlement.event_ids, due_at)))
            continue
        held = store.held(tx, settlement.member_id, settlement.event_ids)
        apply(tx, group, [(delivery, settlement.outcome) for delivery in held], settlement.now)
        answers.append(frozenset(delivery.event_id for delivery in held))
    counted = {member_id: store.delete_acked(tx, member_id, event_ids) for member_id, event_ids in acked.items()}
    for place, settlement in enumerate(settlements):
        if isinstance(settlement.outcome, Ack) and not isinstance(answers[place], IronflowError):
            answers[place] = frozenset(counted[settlement.member_id].intersection(settlement.event_ids))
    return answers


def time_out(tx: Tx, member_id: str, group_id: str, event_ids: Sequence[str], now: Millis) -> dict[str, Millis]:
    """Ends the time of a member for these events. Returns the later deadlines of those that were extended elsewhere."""
    group = store.group(tx, group_id)
    if group is None:
        return {}
    held = store.held(tx, member_id, event_ids)
    extended = [delivery for delivery in held if rules.was_extended(delivery, group, now)]
    apply(tx, group, [(delivery, TimedOut()) for delivery in held if delivery not in extended], now)
    return {delivery.event_id: delivery.due_at - group.redeliver_delay_ms for delivery in extended}


def apply(tx: Tx, group: Group, outcomes: Sequence[tuple[Delivery, Outcome]], now: Millis) -> None:
    """Decides about deliveries of one group, and saves the verdicts."""
    done: list[Delivery] = []
    again: list[Delivery] = []
    given_up: list[tuple[Delivery, str]] = []
    for delivery, outcome in outcomes:
        verdict = rules.decide_redelivery(delivery, outcome, group, now)
        match verdict:
            case Done():
                done.append(delivery)
            case Redeliver(at=at, attempt=attempt):
                # A late ack counts until another member has the event.
                holder = delivery.member_id if isinstance(outcome, TimedOut) else ""
                again.append(replace(delivery, due_at=at, attempt=attempt, member_id=holder))
            case GiveUp(reason=reason):
                given_up.append((delivery, reason))
            case _:
                assert_never(verdict)
    store.delete_deliveries(tx, done)
    store.save_deliveries(tx, again)
    give_up(tx, given_up, now)
    if any(now < each.due_at < now + SOON_MS for each in again):
        tx.notify(DUE_TOPIC)
    if outcomes:
        tx.notify(TOPIC, group.id)


def give_up(tx: Tx, given_up: Sequence[tuple[Delivery, str]], now: Millis) -> None:
    """Makes dead letters of deliveries with their reasons; the topic is empty when retention deleted the event."""
    if not given_up:
        return
    events = records(tx, [delivery.event_id for delivery, _ in given_up])
    topics = {event_id: topic_of(record) for event_id, record in events.items()}
    dead_letters.add(
        tx, [dead_letter(delivery, topics.get(delivery.event_id, ""), reason, now) for delivery, reason in given_up]
    )
    store.delete_deliveries(tx, (delivery for delivery, _ in given_up))


def dead_letter(delivery: Delivery, topic: str, reason: str, now: Millis) -> DeadLetter:
    return DeadLetter(delivery.group_id, delivery.position, delivery.event_id, topic, reason, delivery.attempt, now)


def leave(tx: Tx, member_id: str, group_id: str, unsent: frozenset[str], written: Sequence[str], now: Millis) -> None:
    """Gives back the deliveries of a member and deletes it.

    unsent: ids of events that were not sent to it. written: ids of events that writing settled (`auto`).
    """
    # The member first: a concurrent settlement either does not find it, or is waited for.
    store.delete_member(tx, member_id)
    if written:
        store.delete_acked(tx, member_id, written)
    group = store.group(tx, group_id)
    held = store.held(tx, member_id)
    if group is not None:
        apply(tx, group, [(each, rules.Left(was_sent=each.event_id not in unsent)) for each in held], now)
