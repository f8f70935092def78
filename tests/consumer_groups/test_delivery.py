"""Delivering: each event to one member, in order, again when it has to be, and in the end to the dead letters."""

import asyncio
from typing import Any

import pytest

from ironflow.base.errors import Unavailable
from ironflow.features.consumer_groups import contract, rules
from ironflow.features.consumer_groups.contract import GroupNotFound, InvalidAck, MemberNotFound
from ironflow.features.consumer_groups.rules import MEMBER_LEASE_MS, SPENT, TERMINATED
from ironflow.features.pubsub import contract as pubsub
from tests.support.groups import Client, a_group, join, numbers, publish
from tests.support.house import open_house
from tests.support.work import Work

DELAY_MS = 5_000


async def dead(house: Work, **asked: Any) -> list[tuple[str, int, str]]:
    """Topic, attempts and reason of every dead letter."""
    found = await house.call(contract.dead_letters, name="billing", **asked)
    return [(each.topic, each.attempts, each.reason) for each in found.dead_letters]


async def counts(house: Work) -> dict[str, int | None]:
    group = await house.call(contract.get, name="billing")
    return {name: getattr(group, name) for name in ("lag", "in_flight", "waiting", "dead_letters", "dropped")}


SETTLED = {"lag": 0, "in_flight": 0, "waiting": 0, "dead_letters": 0, "dropped": 0}


async def test_an_event_that_is_acked_is_over(house: Work):
    await a_group(house)
    member = await join(house, "billing")
    (sent,) = await publish(house)

    (event,) = await member.take(1)
    await member.ack(event)
    house.move(10 * DELAY_MS)
    await house.loops()

    assert (event.event_id, event.topic, event.sequence, event.delivery_attempt) == (sent, "topic:mail", 1, 1)
    assert bytes(event.data) == b'{"n":0}'
    assert event.metadata is not None
    assert (event.metadata.source, event.metadata.namespace) == ("publish", "default")
    assert await member.rest() == []
    assert await counts(house) == SETTLED
    await member.leave()


async def test_a_new_group_begins_with_the_next_event(house: Work):
    await publish(house, 3)
    await a_group(house)
    member = await join(house, "billing")
    await publish(house, 1, start=3)

    assert numbers(await member.rest()) == [3]
    await member.leave()


async def test_what_comes_while_nobody_is_there_waits_in_order(house: Work):
    await a_group(house)
    await publish(house, 5)
    assert await counts(house) == SETTLED | {"lag": 5}
    member = await join(house, "billing")

    assert numbers(await member.rest()) == [0, 1, 2, 3, 4]
    assert await counts(house) == SETTLED | {"in_flight": 5}
    await member.leave()


async def test_each_event_goes_to_one_member_and_members_take_turns(house: Work):
    await a_group(house)
    members = [await join(house, "billing") for _ in range(3)]
    await publish(house, 30)

    shares = [numbers(await member.rest()) for member in members]

    assert sorted(number for share in shares for number in share) == list(range(30))
    assert [len(share) for share in shares] == [10, 10, 10]
    for member in members:
        await member.leave()


async def test_a_member_that_is_busy_leaves_events_to_the_others(house: Work):
    await a_group(house)
    slow = await join(house, "billing", prefetch=1)
    quick = await join(house, "billing")
    await publish(house, 10)

    shares = len(await slow.rest()), len(await quick.rest())

    assert shares == (1, 9)
    await slow.leave()
    await quick.leave()


async def test_groups_do_not_take_events_from_each_other(house: Work):
    await a_group(house)
    await a_group(house, "audit", pattern="topic:>")
    billing, audit = await join(house, "billing"), await join(house, "audit")
    await publish(house, 2)
    await publish(house, 1, topic="post", start=2)

    assert numbers(await billing.rest()) == [0, 1]
    assert numbers(await audit.rest()) == [0, 1, 2]
    await billing.leave()
    await audit.leave()


async def test_an_environment_and_a_namespace_have_groups_of_their_own(house: Work):
    await a_group(house)
    await a_group(house, env="staging")
    await a_group(house, namespace="shop")
    members = [
        await join(house, "billing"),
        await join(house, "billing", env="staging"),
        await join(house, "billing", namespace="shop"),
    ]
    await publish(house, 1)
    await publish(house, 1, start=1, env="staging")

    assert [numbers(await member.rest()) for member in members] == [[0], [1], [0]]
    for member in members:
        await member.leave()


async def test_events_and_topics_of_one_name_are_two_things(house: Work):
    await a_group(house, pattern="mail")
    member = await join(house, "billing")
    await publish(house, 1)
    await house.emit("mail", data={"n": 7})

    events = await member.rest()
    assert [(event.topic, numbers([event])) for event in events] == [("events:mail", [7])]
    await member.leave()


@pytest.mark.parametrize("pattern", ["topic:mail", "topic:m*", "topic:>"])
async def test_a_filter_passes_over_what_it_does_not_mean_wherever_it_is(house: Work, pattern: str):
    await a_group(house, pattern=pattern, filter_expr="data.n % 100 == 99")
    await publish(house, 600)
    member = await join(house, "billing")

    assert numbers(await member.rest()) == [99, 199, 299, 399, 499, 599]
    await publish(house, 100, start=600)
    assert numbers(await member.rest()) == [699]
    await member.leave()


async def test_no_more_than_max_inflight_are_with_members(house: Work):
    await a_group(house, max_inflight=3)
    members = [await join(house, "billing"), await join(house, "billing")]
    await publish(house, 10)

    first = [event for member in members for event in await member.rest()]
    assert sorted(numbers(first)) == [0, 1, 2]
    await members[0].ack(first[0])
    assert sorted(numbers([event for member in members for event in await member.rest()])) == [3]
    for member in members:
        await member.leave()


async def test_what_nobody_settles_comes_again_after_the_delay(house: Work):
    await a_group(house)
    silent, other = await join(house, "billing", prefetch=1), await join(house, "billing", prefetch=1)
    (sent,) = await publish(house)
    (first,) = await silent.take(1)

    house.move(DELAY_MS - 1)
    await house.loops()
    assert await other.rest() == []
    house.move(1)
    await house.loops()

    (again,) = await other.rest() or await silent.rest()
    assert (again.event_id, again.delivery_attempt, first.delivery_attempt) == (sent, 2, 1)
    await silent.leave()
    await other.leave()


async def test_a_late_ack_counts_as_long_as_nobody_else_has_the_event(house: Work):
    await a_group(house)
    member = await join(house, "billing", prefetch=1)
    await publish(house)
    (event,) = await member.take(1)

    house.move(DELAY_MS + 1)
    await member.ack(event)
    await house.loops()

    assert await member.rest() == []
    assert await counts(house) == SETTLED
    await member.leave()


async def test_an_ack_of_what_another_member_has_by_now_changes_nothing(house: Work):
    await a_group(house)
    late = await join(house, "billing")
    await publish(house)
    (old,) = await late.take(1)
    await house.call(contract.patch, name="billing", status="paused")
    house.move(DELAY_MS)
    await house.loops()
    other = await join(house, "billing")
    # The late one has no room, so that the other is given the event.
    house.inside.groups.member(old.subscription_id).room = lambda: 0  # type: ignore[union-attr,method-assign]
    await house.call(contract.patch, name="billing", status="active")
    (new,) = await other.take(1)

    await late.ack(old)

    assert new.delivery_attempt == 2
    assert (await counts(house))["in_flight"] == 1
    await other.ack(new)
    assert await counts(house) == SETTLED
    await late.leave()
    await other.leave()


async def test_a_rejected_event_comes_again_after_its_own_delay(house: Work):
    await a_group(house)
    member = await join(house, "billing")
    await publish(house, 3)
    at_once, soon, later = await member.take(3)
    await member.nak(later)
    await member.nak(soon, delay_ms=300)
    await member.ack(at_once)

    house.move(299)
    await house.loops()
    assert await member.rest() == []
    house.move(1)
    await house.loops()
    assert [(numbers([each]), each.delivery_attempt) for each in await member.rest()] == [([1], 2)]
    house.move(DELAY_MS - 300)
    await house.loops()
    assert [(numbers([each]), each.delivery_attempt) for each in await member.rest()] == [([2], 2)]
    await member.leave()


async def test_events_that_come_back_go_before_new_ones_and_in_order(house: Work):
    await a_group(house, max_inflight=2)
    member = await join(house, "billing")
    await publish(house, 4)
    for event in await member.take(2):
        await member.nak(event, delay_ms=100)
    first = await member.rest()
    house.move(100)
    await house.loops()
    for event in first:
        await member.ack(event)

    assert (numbers(first), numbers(await member.rest())) == ([2, 3], [0, 1])
    await member.leave()


async def test_a_poison_message_dies_after_its_redeliveries_and_holds_nobody_up(house: Work):
    await a_group(house)
    member = await join(house, "billing")
    await publish(house, 3)
    seen: list[tuple[int, int]] = []
    for _ in range(5):
        for event in await member.rest():
            (number,) = numbers([event])
            seen.append((number, event.delivery_attempt))
            await (member.nak(event) if number == 1 else member.ack(event))
        house.move(DELAY_MS)
        await house.loops()

    assert seen == [(0, 1), (1, 1), (2, 1), (1, 2), (1, 3), (1, 4)]
    assert await dead(house) == [("topic:mail", 4, f"{SPENT}: rejected by the consumer")]
    assert await counts(house) == SETTLED | {"dead_letters": 1}
    await member.leave()


async def test_an_event_that_nobody_ever_settles_dies_too(house: Work):
    await a_group(house, max_redeliveries=1)
    member = await join(house, "billing")
    await publish(house)
    for _ in range(2):
        await member.take(1)
        house.move(DELAY_MS)
        await house.loops()

    assert await member.rest() == []
    assert await dead(house) == [("topic:mail", 2, f"{SPENT}: not acknowledged in time")]
    await member.leave()


async def test_what_dies_when_all_members_have_left_is_told_too(house: Work):
    await a_group(house, max_redeliveries=0)
    await house.call(contract.update, group={"name": "billing"}, update_mask="maxRedeliveries")
    member = await join(house, "billing")
    await publish(house)
    await member.take(1)
    await member.leave()
    await house.loops()

    assert await dead(house) == [("topic:mail", 1, f"{SPENT}: the consumer was lost")]


async def test_a_terminated_event_is_dead_at_once(house: Work):
    await a_group(house)
    member = await join(house, "billing")
    await publish(house)
    (event,) = await member.take(1)
    await member.ack(event, "term")

    assert await dead(house) == [("topic:mail", 1, TERMINATED)]
    await member.leave()


async def test_a_member_that_leaves_gives_back_at_once_what_it_held(house: Work):
    await a_group(house)
    leaving = await join(house, "billing")
    await publish(house, 4)
    await leaving.take(2)
    staying = await join(house, "billing")

    await leaving.leave()

    # The first two were sent to it, the others were still here.
    again = await staying.rest()
    assert [(numbers([each])[0], each.delivery_attempt) for each in again] == [(0, 2), (1, 2), (2, 1), (3, 1)]
    await staying.leave()


async def test_a_member_whose_connection_is_gone_is_found_out(house: Work):
    await a_group(house)
    there = True
    gone = await join(house, "billing", is_there=lambda: there)
    await publish(house)
    await gone.take(1)
    there = False
    await house.loop("group-members")
    other = await join(house, "billing")

    assert [each.delivery_attempt for each in await other.rest()] == [2]
    with pytest.raises(MemberNotFound):
        await gone.take(1)
    await other.leave()


async def test_with_auto_an_event_is_settled_when_it_is_written(house: Work):
    await a_group(house, ack_mode="auto")
    member = await join(house, "billing")
    await publish(house, 3)
    # The third is taken, but nobody has asked for a fourth: it may not have been written.
    await member.take(3)
    await member.leave()
    other = await join(house, "billing")

    assert [(numbers([each])[0], each.delivery_attempt) for each in await other.rest()] == [(2, 2)]
    assert await counts(house) == SETTLED
    house.move(100 * DELAY_MS)
    await house.loops()
    assert await other.rest() == []
    await other.leave()


async def test_a_full_group_that_drops_passes_over_what_comes_and_counts_it(house: Work):
    await a_group(house, backpressure="drop", max_inflight=2)
    await publish(house, 1)
    member = await join(house, "billing")
    first = await member.rest()
    await publish(house, 5, start=1)
    first += await member.rest()
    for event in first:
        await member.ack(event)
    await publish(house, 1, start=6)

    assert (numbers(first), numbers(await member.rest())) == ([0, 1], [6])
    assert (await counts(house))["dropped"] == 4
    await member.leave()


@pytest.mark.parametrize(("mode", "ahead"), [("block", 64), ("buffer", 1_000)])
async def test_a_slow_connection_has_so_many_events_wait_for_it(house: Work, mode: str, ahead: int):
    await a_group(house, backpressure=mode, max_inflight=5_000)
    member = await join(house, "billing")
    await publish(house, ahead + 50)
    await member.take(1)
    await house.inside.groups.idle()

    # One is taken, the others wait here.
    assert (await counts(house))["in_flight"] in range(ahead, ahead + 2)
    assert numbers(await member.rest()) == list(range(1, ahead + 50))
    await member.leave()


async def test_a_paused_group_hands_nothing_out_and_forgets_nothing(house: Work):
    await a_group(house)
    member = await join(house, "billing")
    await house.call(contract.patch, name="billing", status="paused")
    await publish(house, 2)
    assert await member.rest() == []

    await house.call(contract.patch, name="billing", status="active")
    assert numbers(await member.rest()) == [0, 1]
    await member.leave()


async def test_a_group_that_is_changed_goes_on_with_its_new_pattern(house: Work):
    await a_group(house)
    member = await join(house, "billing")
    await publish(house, 1)
    assert numbers(await member.rest()) == [0]
    await house.call(contract.patch, name="billing", pattern="topic:post")
    await publish(house, 1, start=1)
    await publish(house, 1, topic="post", start=2)

    assert numbers(await member.rest()) == [2]
    await member.leave()


async def test_members_of_a_deleted_group_are_told(house: Work):
    await a_group(house)
    member = await join(house, "billing")
    await publish(house)
    (event,) = await member.take(1)
    await house.call(contract.delete, name="billing")

    with pytest.raises(GroupNotFound, match="was deleted"):
        await member.take(1)
    with pytest.raises(MemberNotFound):
        await member.ack(event)
    with pytest.raises(GroupNotFound):
        await join(house, "billing")


async def test_a_stopping_server_sends_its_members_away_and_keeps_what_they_had(database_url: str):
    async with open_house(Work, database_url) as house:
        await a_group(house)
        member = await join(house, "billing")
        await publish(house, 2)
        await member.take(1)
        house.inside.let_go()
        with pytest.raises(Unavailable):
            await member.take(1)
        with pytest.raises(Unavailable):
            await join(house, "billing")
    async with open_house(Work, database_url, clock=house.clock) as house:
        member = await join(house, "billing")
        assert [(numbers([each])[0], each.delivery_attempt) for each in await member.rest()] == [(0, 2), (1, 1)]
        await member.leave()


async def test_acks_that_mean_nothing_are_refused(house: Work):
    await a_group(house)
    await a_group(house, "audit")
    member = await join(house, "billing")
    await publish(house)
    (event,) = await member.take(1)
    said = {"consumer_id": event.subscription_id, "event_id": event.event_id, "group_name": "billing"}

    for wrong, refusal in [
        ({"ack_type": "ack", "redeliver_delay_ms": 5}, InvalidAck),
        ({}, InvalidAck),
        ({"ack_type": "ack", "consumer_id": "mem_x"}, MemberNotFound),
        ({"ack_type": "ack", "group_name": "audit"}, GroupNotFound),
        ({"ack_type": "ack", "namespace": "shop"}, GroupNotFound),
    ]:
        with pytest.raises(refusal):
            await house.call(contract.ack, **{**said, **wrong})
    with pytest.raises(MemberNotFound):
        await house.call(contract.ack, **said, ack_type="ack", env="staging")
    assert (await counts(house))["in_flight"] == 1
    # An event that the member does not hold is no error.
    for _ in range(2):
        await house.call(contract.ack, **said, ack_type="ack")
    await house.call(contract.ack, **{**said, "event_id": "msg_x"}, ack_type="nak")
    assert await counts(house) == SETTLED
    await member.leave()


async def test_a_group_whose_members_reject_everything_for_later_stops_reading(
    house: Work, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rules, "WAITING_MAX", 5)
    await a_group(house, max_inflight=2)
    member = await join(house, "billing")
    await publish(house, 20)
    seen = 0
    while events := await member.rest():
        seen += len(events)
        for event in events:
            await member.nak(event, delay_ms=3_600_000)

    assert 5 <= seen <= 7
    await member.leave()


async def test_replayed_dead_letters_are_delivered_as_if_they_were_new(house: Work):
    await a_group(house)
    member = await join(house, "billing")
    sent = await publish(house, 4)
    for event in await member.take(4):
        await member.ack(event, "term")

    one = await house.call(contract.replay, name="billing", event_ids=[sent[2]])
    (event,) = await member.rest()
    assert (one.count, event.event_id, event.delivery_attempt) == (1, sent[2], 1)
    await member.ack(event)
    none = await house.call(contract.replay, name="billing", reason="spent")
    rest = await house.call(contract.replay, name="billing", topic="topic:m*", reason="terminated")
    assert (none.count, rest.count) == (0, 3)
    assert numbers(await member.rest()) == [0, 1, 3]
    assert await dead(house) == []
    await member.leave()


async def test_dead_letters_are_listed_in_pages_and_purged(house: Work):
    await a_group(house)
    member = await join(house, "billing")
    await publish(house, 5)
    await house.call(contract.patch, name="billing", pattern="topic:>")
    await publish(house, 1, topic="post", start=5)
    for event in await member.take(6):
        await member.ack(event, "term")

    page = await house.call(contract.dead_letters, name="billing", limit=4)
    rest = await house.call(contract.dead_letters, name="billing", limit=4, cursor=page.next_cursor)
    assert [bytes(each.data or b"") for each in (*page.dead_letters, *rest.dead_letters)] == [
        b'{"n":%d}' % n for n in range(6)
    ]
    assert (page.count, rest.count, rest.next_cursor) == (4, 2, None)
    assert len(await dead(house, topic="topic:post")) == 1
    assert (await house.call(contract.purge, name="billing", topic="topic:post")).count == 1
    assert (await house.call(contract.purge, name="billing", all=True)).count == 5
    assert await dead(house) == []
    await member.leave()


async def test_dead_letters_are_forgotten_after_their_retention(database_url: str):
    async with open_house(Work, database_url, dead_letter_retention_days=1) as house:
        await a_group(house)
        member = await join(house, "billing")
        await publish(house)
        (event,) = await member.take(1)
        await member.ack(event, "term")
        house.move(24 * 3600 * 1000 - 1)
        await house.loops()
        assert len(await dead(house)) == 1
        house.move(1)
        await house.loops()
        assert await dead(house) == []
        await member.leave()


async def test_members_of_a_server_that_was_killed_give_back_when_their_lease_is_over(database_url: str):
    async with open_house(Work, database_url) as house:
        await a_group(house, ack_mode="auto")
        member = await join(house, "billing")
        await publish(house, 3)
        await member.take(1)
        # Killed: nobody leaves.
        house.inside.groups.close = lambda: None  # type: ignore[method-assign]
        for each in house.inside.groups.members():
            house.inside.groups.remove(each)
    async with open_house(Work, database_url, clock=house.clock) as house:
        other = await join(house, "billing")
        house.move(MEMBER_LEASE_MS if "postgres" in database_url else 0)
        await house.loops()
        assert sorted(numbers(await other.rest())) == [0, 1, 2]
        await other.leave()


@pytest.mark.postgres
async def test_two_servers_share_a_group(postgres_url: str):
    async with open_house(Work, postgres_url) as one, open_house(Work, postgres_url) as two:
        await a_group(one, max_inflight=50)
        members: list[tuple[Work, Client]] = [(house, await join(house, "billing")) for house in (one, two, one, two)]
        await asyncio.gather(*(one.call(pubsub.publish, topic="mail", data={"n": n}) for n in range(200)))
        seen: list[int] = []

        async def work(house: Work, member: Client) -> None:
            while len(seen) < 200:
                for event in await member.rest():
                    seen.extend(numbers([event]))
                    await member.ack(event)
                await house.loop("group-members")

        await asyncio.gather(*(work(house, member) for house, member in members))
        assert sorted(seen) == list(range(200))
        assert await counts(one) == SETTLED
        for _, member in members:
            await member.leave()
