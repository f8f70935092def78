"""Delivering: each event to one member, in order, again when it has to be, and in the end to the dead letters."""

import asyncio
from typing import Any

import pytest

from ironflow.base.call import Call
from ironflow.base.errors import Unavailable
from ironflow.features.consumer_groups import contract, rules
from ironflow.features.consumer_groups.contract import GroupNotFound, InvalidAck, MemberNotFound
from ironflow.features.consumer_groups.rules import MEMBER_LEASE_MS, SPENT, TERMINATED
from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.features.dead_letters import contract as dead_letters
from ironflow.features.pubsub import contract as pubsub
from tests.support.groups import Client, a_group, join, numbers, publish, settled
from tests.support.server import open_server
from tests.support.work import Work

DELAY_MS = 5_000
ACK_WAIT_MS = 30_000


async def dead(server: Work, **asked: Any) -> list[tuple[str, int, str]]:
    """Topic, attempts and reason of every dead letter."""
    found = await server.call(dead_letters.list_, name="billing", **asked)
    return [(each.topic, each.attempts, each.reason) for each in found.dead_letters]


async def counts(server: Work) -> dict[str, int | None]:
    group = await server.call(contract.get, name="billing")
    return {name: getattr(group, name) for name in ("lag", "in_flight", "waiting", "dead_letters", "dropped")}


SETTLED = {"lag": 0, "in_flight": 0, "waiting": 0, "dead_letters": 0, "dropped": 0}


async def test_an_event_that_is_acked_is_over(server: Work):
    await a_group(server)
    member = await join(server, "billing")
    (sent,) = await publish(server)

    (event,) = await member.take(1)
    await member.ack(event)
    server.move(10 * DELAY_MS)
    await server.loops()

    assert (event.event_id, event.topic, event.sequence, event.delivery_attempt) == (sent, "topic:mail", 1, 1)
    assert bytes(event.data) == b'{"n":0}'
    assert event.metadata is not None
    assert (event.metadata.source, event.metadata.namespace) == ("publish", "default")
    assert await member.rest() == []
    assert await counts(server) == SETTLED
    await member.leave()


async def test_a_new_group_begins_with_the_next_event(server: Work):
    await publish(server, 3)
    await a_group(server)
    member = await join(server, "billing")
    await publish(server, 1, start=3)

    assert numbers(await member.rest()) == [3]
    await member.leave()


async def test_events_appended_without_members_wait_in_order(server: Work):
    await a_group(server)
    await publish(server, 5)
    assert await counts(server) == SETTLED | {"lag": 5}
    member = await join(server, "billing")

    assert numbers(await member.rest()) == [0, 1, 2, 3, 4]
    assert await counts(server) == SETTLED | {"in_flight": 5}
    await member.leave()


async def test_each_event_goes_to_one_member_and_members_take_turns(server: Work):
    await a_group(server)
    members = [await join(server, "billing") for _ in range(3)]
    # A look for the first alone may still be under way.
    await settled(server)
    await publish(server, 30)

    shares = [numbers(await member.rest()) for member in members]

    assert sorted(number for share in shares for number in share) == list(range(30))
    assert [len(share) for share in shares] == [10, 10, 10]
    for member in members:
        await member.leave()


async def test_a_member_that_is_busy_leaves_events_to_the_others(server: Work):
    await a_group(server)
    slow = await join(server, "billing", prefetch=1)
    quick = await join(server, "billing")
    await publish(server, 10)

    shares = len(await slow.rest()), len(await quick.rest())

    assert shares == (1, 9)
    await slow.leave()
    await quick.leave()


async def test_groups_do_not_take_events_from_each_other(server: Work):
    await a_group(server)
    await a_group(server, "audit", pattern="topic:>")
    billing, audit = await join(server, "billing"), await join(server, "audit")
    await publish(server, 2)
    await publish(server, 1, topic="post", start=2)

    assert numbers(await billing.rest()) == [0, 1]
    assert numbers(await audit.rest()) == [0, 1, 2]
    await billing.leave()
    await audit.leave()


async def test_an_environment_and_a_namespace_have_groups_of_their_own(server: Work):
    await a_group(server)
    await a_group(server, env="staging")
    await a_group(server, namespace="shop")
    members = [
        await join(server, "billing"),
        await join(server, "billing", env="staging"),
        await join(server, "billing", namespace="shop"),
    ]
    await publish(server, 1)
    await publish(server, 1, start=1, env="staging")

    assert [numbers(await member.rest()) for member in members] == [[0], [1], [0]]
    for member in members:
        await member.leave()


async def test_events_and_topics_of_one_name_are_two_things(server: Work):
    await a_group(server, pattern="mail")
    member = await join(server, "billing")
    await publish(server, 1)
    await server.emit("mail", data={"n": 7})

    events = await member.rest()
    assert [(event.topic, numbers([event])) for event in events] == [("events:mail", [7])]
    await member.leave()


@pytest.mark.parametrize("pattern", ["topic:mail", "topic:m*", "topic:>"])
async def test_a_filter_passes_over_what_it_does_not_mean_wherever_it_is(server: Work, pattern: str):
    await a_group(server, pattern=pattern, filter_expr="data.n % 100 == 99")
    await publish(server, 600)
    member = await join(server, "billing")

    assert numbers(await member.rest()) == [99, 199, 299, 399, 499, 599]
    await publish(server, 100, start=600)
    assert numbers(await member.rest()) == [699]
    await member.leave()


async def test_no_more_than_max_inflight_are_with_members(server: Work):
    await a_group(server, max_inflight=3)
    members = [await join(server, "billing"), await join(server, "billing")]
    await publish(server, 10)

    first = [event for member in members for event in await member.rest()]
    assert sorted(numbers(first)) == [0, 1, 2]
    await members[0].ack(first[0])
    assert sorted(numbers([event for member in members for event in await member.rest()])) == [3]
    for member in members:
        await member.leave()


async def test_an_unsettled_event_is_redelivered_after_the_ack_wait_and_the_delay(server: Work):
    await a_group(server)
    silent, other = await join(server, "billing", prefetch=1), await join(server, "billing", prefetch=1)
    (sent,) = await publish(server)
    (first,) = await silent.take(1)

    for wait_ms in (ACK_WAIT_MS, DELAY_MS - 1):
        server.move(wait_ms)
        await server.loops()
        assert await other.rest() == []
    server.move(1)
    await server.loops()

    (again,) = await other.rest() or await silent.rest()
    assert (again.event_id, again.delivery_attempt, first.delivery_attempt) == (sent, 2, 1)
    await silent.leave()
    await other.leave()


async def test_a_late_ack_counts_until_another_member_has_the_event(server: Work):
    await a_group(server)
    member = await join(server, "billing", prefetch=1)
    await publish(server)
    (event,) = await member.take(1)

    server.move(ACK_WAIT_MS + 1)
    await server.loop("group-redeliveries")
    await member.ack(event)
    server.move(DELAY_MS)
    await server.loops()

    assert await member.rest() == []
    assert await counts(server) == SETTLED
    await member.leave()


async def test_an_ack_of_what_another_member_has_by_now_changes_nothing(server: Work):
    await a_group(server)
    late = await join(server, "billing")
    await publish(server)
    (old,) = await late.take(1)
    # The late one has no capacity, so that the other is given the event. A look that is under way still counts on it,
    # and finds nothing: it is earlier than the redelivery.
    server.part(ConsumerGroups).matcher.member(old.subscription_id).capacity = lambda: 0  # type: ignore[union-attr,method-assign]
    await server.call(contract.patch, name="billing", status="paused")
    for wait_ms in (ACK_WAIT_MS, DELAY_MS):
        server.move(wait_ms)
        await server.loops()
    other = await join(server, "billing")
    await server.call(contract.patch, name="billing", status="active")
    (new,) = await other.take(1)

    await late.ack(old)

    assert new.delivery_attempt == 2
    assert (await counts(server))["in_flight"] == 1
    await other.ack(new)
    assert await counts(server) == SETTLED
    await late.leave()
    await other.leave()


async def test_a_rejected_event_comes_again_after_its_own_delay(server: Work):
    await a_group(server)
    member = await join(server, "billing")
    await publish(server, 3)
    at_once, soon, later = await member.take(3)
    await member.nak(later)
    await member.nak(soon, delay_ms=300)
    await member.ack(at_once)

    server.move(299)
    await server.loops()
    assert await member.rest() == []
    server.move(1)
    await server.loops()
    assert [(numbers([each]), each.delivery_attempt) for each in await member.rest()] == [([1], 2)]
    server.move(DELAY_MS - 300)
    await server.loops()
    assert [(numbers([each]), each.delivery_attempt) for each in await member.rest()] == [([2], 2)]
    await member.leave()


async def test_events_that_come_back_go_before_new_ones_and_in_order(server: Work):
    await a_group(server, max_inflight=2)
    member = await join(server, "billing")
    await publish(server, 4)
    for event in await member.take(2):
        await member.nak(event, delay_ms=100)
    first = await member.rest()
    server.move(100)
    await server.loops()
    for event in first:
        await member.ack(event)

    assert (numbers(first), numbers(await member.rest())) == ([2, 3], [0, 1])
    await member.leave()


async def test_a_poison_message_becomes_a_dead_letter_and_delays_no_other(server: Work):
    await a_group(server)
    member = await join(server, "billing")
    await publish(server, 3)
    seen: list[tuple[int, int]] = []
    for _ in range(5):
        for event in await member.rest():
            (number,) = numbers([event])
            seen.append((number, event.delivery_attempt))
            await (member.nak(event) if number == 1 else member.ack(event))
        server.move(DELAY_MS)
        await server.loops()

    assert seen == [(0, 1), (1, 1), (2, 1), (1, 2), (1, 3), (1, 4)]
    assert await dead(server) == [("topic:mail", 4, f"{SPENT}: rejected by the consumer")]
    assert await counts(server) == SETTLED | {"dead_letters": 1}
    await member.leave()


async def test_an_event_that_is_never_settled_becomes_a_dead_letter(server: Work):
    await a_group(server, max_redeliveries=1)
    member = await join(server, "billing")
    await publish(server)
    for _ in range(2):
        await member.take(1)
        for wait_ms in (ACK_WAIT_MS, DELAY_MS):
            server.move(wait_ms)
            await server.loops()

    assert await member.rest() == []
    assert await dead(server) == [("topic:mail", 2, f"{SPENT}: not acknowledged in time")]
    await member.leave()


async def test_an_event_whose_last_member_left_becomes_a_dead_letter(server: Work):
    await a_group(server, max_redeliveries=0)
    await server.call(contract.update, group={"name": "billing"}, update_mask="maxRedeliveries")
    member = await join(server, "billing")
    await publish(server)
    await member.take(1)
    await member.leave()
    await server.loops()

    assert await dead(server) == [("topic:mail", 1, f"{SPENT}: the consumer was lost")]


async def test_a_terminated_event_is_dead_at_once(server: Work):
    await a_group(server)
    member = await join(server, "billing")
    await publish(server)
    (event,) = await member.take(1)
    await member.ack(event, "term")

    assert await dead(server) == [("topic:mail", 1, TERMINATED)]
    await member.leave()


async def test_a_member_that_leaves_gives_back_at_once_what_it_held(server: Work):
    await a_group(server)
    leaving = await join(server, "billing")
    await publish(server, 4)
    await leaving.take(2)
    staying = await join(server, "billing")

    await leaving.leave()

    # The first two were sent to it, the others were still here.
    again = await staying.rest()
    assert [(numbers([each])[0], each.delivery_attempt) for each in again] == [(0, 2), (1, 2), (2, 1), (3, 1)]
    await staying.leave()


async def test_a_member_without_a_connection_is_removed(server: Work):
    await a_group(server)
    there = True
    disconnected = await join(server, "billing", is_there=lambda: there)
    await publish(server)
    await disconnected.take(1)
    there = False
    await server.loop("group-members")
    other = await join(server, "billing")

    assert [each.delivery_attempt for each in await other.rest()] == [2]
    with pytest.raises(MemberNotFound):
        await disconnected.take(1)
    await other.leave()


async def test_with_auto_an_event_is_settled_when_the_next_one_is_written(server: Work):
    await a_group(server, ack_mode="auto")
    member = await join(server, "billing")
    await publish(server, 3)
    # The second is written. The third is taken, but no fourth was asked for: it may not have been written.
    await member.take(3)
    await member.leave()
    other = await join(server, "billing")

    assert [(numbers([each])[0], each.delivery_attempt) for each in await other.rest()] == [(1, 2), (2, 2)]
    # The last one stays in flight; it holds up nothing.
    assert await counts(server) == SETTLED | {"in_flight": 1}
    server.move(100 * DELAY_MS)
    await server.loops()
    assert await other.rest() == []
    await other.leave()


async def test_with_auto_the_last_event_does_not_hold_up_the_next(server: Work):
    await a_group(server, ack_mode="auto", max_inflight=1)
    member = await join(server, "billing", prefetch=1)
    await publish(server, 5)

    assert numbers(await member.rest()) == [0, 1, 2, 3, 4]
    await member.leave()


async def test_an_auto_event_on_a_socket_arrived_when_the_socket_outlived_a_ping(server: Work):
    """It is in flight until then, does not count against max_inflight, and goes to others when the socket vanishes."""
    await a_group(server, ack_mode="auto", max_inflight=2)
    groups = server.part(ConsumerGroups)
    request = contract.JoinGroup(group_name="billing")
    member = await groups.enter(Call(environment="default", now=server.now), request, confirmed_ms=40_000)
    await publish(server, 5)

    async def written(count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            await settled(server)
            while (handed := member.take()) is not None:
                found.append(handed.record.position)
                member.sent(handed)
        return found

    assert await written(5) == [1, 2, 3, 4, 5]
    server.move(39_999)
    await server.loop("group-members")
    await settled(server)
    assert (await counts(server))["in_flight"] == 5
    server.move(1)
    await server.loop("group-members")
    await settled(server)
    assert await counts(server) == SETTLED

    await publish(server, 2, start=5)
    await written(2)
    await groups.leave(member)
    other = await join(server, "billing")
    assert [each.delivery_attempt for each in await other.rest()] == [2, 2]
    await other.leave()


async def test_a_slow_handler_in_order_keeps_its_events(server: Work):
    """Thirty events, a second for each; the default group."""
    await a_group(server)
    member = await join(server, "billing", prefetch=1)
    await publish(server, 30)
    seen: list[tuple[int, int]] = []
    for _ in range(30):
        (event,) = await member.take(1)
        seen.append((numbers([event])[0], event.delivery_attempt))
        server.move(1_000)
        await server.loops()
        assert (await member.ack(event)).settled

    assert seen == [(number, 1) for number in range(30)]
    assert await counts(server) == SETTLED
    await member.leave()


async def test_the_ack_wait_begins_when_the_event_is_handed_over(server: Work):
    """The others wait in the server for the connection of their member, for longer than the ack wait."""
    await a_group(server)
    member = await join(server, "billing")
    await publish(server, 3)
    for _ in range(3):
        (event,) = await member.take(1)
        server.move(ACK_WAIT_MS - 1)
        await server.loops()
        assert (await member.ack(event)).settled

    assert await counts(server) == SETTLED
    await member.leave()


async def test_a_handler_that_extends_keeps_its_event(server: Work):
    await a_group(server)
    member = await join(server, "billing")
    await publish(server, 2)
    one, _ = await member.take(2)
    for _ in range(5):
        server.move(ACK_WAIT_MS - 1)
        assert await member.extend(one) == [one.event_id]
        await server.loops()

    assert (await member.ack(one)).settled
    assert [(numbers([each])[0], each.delivery_attempt) for each in await member.rest()] == [(1, 2)]
    server.move(ACK_WAIT_MS + DELAY_MS)
    assert await member.extend(one) == []
    await member.leave()


@pytest.mark.postgres
async def test_an_extension_at_another_server_counts(postgres_url: str):
    async with open_server(Work, postgres_url) as one, open_server(Work, postgres_url, clock=one.clock) as two:
        await a_group(one)
        member = await join(one, "billing")
        await publish(one)
        (event,) = await member.take(1)
        for _ in range(3):
            one.move(ACK_WAIT_MS - 1)
            asked = {"consumer_id": event.subscription_id, "event_ids": [event.event_id]}
            assert (await two.call(contract.extend, **asked)).event_ids == [event.event_id]
            await one.loops()
            await two.loops()

        assert (await member.ack(event)).settled
        await member.leave()


async def test_the_answer_to_an_ack_shows_whether_it_counted(server: Work):
    await a_group(server)
    member = await join(server, "billing")
    await publish(server)
    (event,) = await member.take(1)

    assert [(await member.ack(event)).settled for _ in range(2)] == [True, False]
    await member.leave()


async def test_a_member_that_settles_gets_the_events_of_an_auto_group_until_it_acks_them(server: Work):
    await a_group(server, ack_mode="auto", ack_wait_ms=10_000)
    member = await join(server, "billing", settles=True)
    await publish(server, 2)
    one, two = await member.take(2)
    assert [(each.ack_wait_ms, each.auto_ack) for each in (one, two)] == [(10_000, True)] * 2
    assert (await member.ack(one)).settled
    await member.leave()
    other = await join(server, "billing")

    assert [(numbers([each])[0], each.delivery_attempt) for each in await other.rest()] == [(1, 2)]
    await other.leave()


async def test_a_full_group_that_drops_passes_over_what_comes_and_counts_it(server: Work):
    await a_group(server, backpressure="drop", max_inflight=2)
    await publish(server, 1)
    member = await join(server, "billing")
    first = await member.rest()
    await publish(server, 5, start=1)
    first += await member.rest()
    for event in first:
        await member.ack(event)
    await publish(server, 1, start=6)

    assert (numbers(first), numbers(await member.rest())) == ([0, 1], [6])
    assert (await counts(server))["dropped"] == 4
    await member.leave()


@pytest.mark.parametrize(("mode", "ahead"), [("block", 64), ("buffer", 1_000)])
async def test_a_slow_connection_has_so_many_events_wait_for_it(server: Work, mode: str, ahead: int):
    await a_group(server, backpressure=mode, max_inflight=5_000)
    member = await join(server, "billing")
    await publish(server, ahead + 50)
    await member.take(1)
    await server.part(ConsumerGroups).matcher.idle()

    # One is taken, the others wait here.
    assert (await counts(server))["in_flight"] in range(ahead, ahead + 2)
    assert numbers(await member.rest()) == list(range(1, ahead + 50))
    await member.leave()


async def test_a_paused_group_hands_nothing_out_and_forgets_nothing(server: Work):
    await a_group(server)
    member = await join(server, "billing")
    await server.call(contract.patch, name="billing", status="paused")
    await publish(server, 2)
    assert await member.rest() == []

    await server.call(contract.patch, name="billing", status="active")
    assert numbers(await member.rest()) == [0, 1]
    await member.leave()


async def test_a_group_that_is_changed_goes_on_with_its_new_pattern(server: Work):
    await a_group(server)
    member = await join(server, "billing")
    await publish(server, 1)
    assert numbers(await member.rest()) == [0]
    await server.call(contract.patch, name="billing", pattern="topic:post")
    await publish(server, 1, start=1)
    await publish(server, 1, topic="post", start=2)

    assert numbers(await member.rest()) == [2]
    await member.leave()


async def test_the_streams_of_a_deleted_group_end_with_an_error(server: Work):
    await a_group(server)
    member = await join(server, "billing")
    await publish(server)
    (event,) = await member.take(1)
    await server.call(contract.delete, name="billing")

    with pytest.raises(GroupNotFound, match="was deleted"):
        await member.take(1)
    with pytest.raises(MemberNotFound):
        await member.ack(event)
    with pytest.raises(GroupNotFound):
        await join(server, "billing")


async def test_a_stopping_server_sends_its_members_away_and_keeps_what_they_had(database_url: str):
    async with open_server(Work, database_url) as server:
        await a_group(server)
        member = await join(server, "billing")
        await publish(server, 2)
        await member.take(1)
        server.inside.drain()
        with pytest.raises(Unavailable):
            await member.take(1)
        with pytest.raises(Unavailable):
            await join(server, "billing")
    async with open_server(Work, database_url, clock=server.clock) as server:
        member = await join(server, "billing")
        assert [(numbers([each])[0], each.delivery_attempt) for each in await member.rest()] == [(0, 2), (1, 1)]
        await member.leave()


async def test_acks_that_mean_nothing_are_refused(server: Work):
    await a_group(server)
    await a_group(server, "audit")
    member = await join(server, "billing")
    await publish(server)
    (event,) = await member.take(1)
    settlement = {"consumer_id": event.subscription_id, "event_id": event.event_id, "group_name": "billing"}

    for wrong, refusal in [
        ({"ack_type": "ack", "redeliver_delay_ms": 5}, InvalidAck),
        ({}, InvalidAck),
        ({"ack_type": "ack", "consumer_id": "mem_x"}, MemberNotFound),
        ({"ack_type": "ack", "group_name": "audit"}, GroupNotFound),
        ({"ack_type": "ack", "namespace": "shop"}, GroupNotFound),
    ]:
        with pytest.raises(refusal):
            await server.call(contract.ack, **{**settlement, **wrong})
    with pytest.raises(MemberNotFound):
        await server.call(contract.ack, **settlement, ack_type="ack", env="staging")
    assert (await counts(server))["in_flight"] == 1
    # An event that the member does not hold is no error.
    for _ in range(2):
        await server.call(contract.ack, **settlement, ack_type="ack")
    await server.call(contract.ack, **{**settlement, "event_id": "msg_x"}, ack_type="nak")
    assert await counts(server) == SETTLED
    await member.leave()


async def test_a_group_whose_members_reject_everything_for_later_stops_reading(
    server: Work, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rules, "WAITING_MAX", 5)
    await a_group(server, max_inflight=2)
    member = await join(server, "billing")
    await publish(server, 20)
    seen = 0
    while events := await member.rest():
        seen += len(events)
        for event in events:
            await member.nak(event, delay_ms=3_600_000)

    assert 5 <= seen <= 7
    await member.leave()


async def test_members_of_a_server_that_was_killed_give_back_when_their_lease_is_over(database_url: str):
    async with open_server(Work, database_url) as server:
        await a_group(server, ack_mode="auto")
        member = await join(server, "billing")
        await publish(server, 3)
        await member.take(1)
        # The process is killed: no member leaves.
        server.part(ConsumerGroups).matcher.drain = lambda: None  # type: ignore[method-assign]
        for each in server.part(ConsumerGroups).matcher.members():
            server.part(ConsumerGroups).matcher.remove(each)
    async with open_server(Work, database_url, clock=server.clock) as server:
        other = await join(server, "billing")
        server.move(MEMBER_LEASE_MS if "postgres" in database_url else 0)
        await server.loops()
        assert sorted(numbers(await other.rest())) == [0, 1, 2]
        await other.leave()


@pytest.mark.postgres
async def test_two_servers_share_a_group(postgres_url: str):
    async with open_server(Work, postgres_url) as one, open_server(Work, postgres_url) as two:
        await a_group(one, max_inflight=50)
        members: list[tuple[Work, Client]] = [
            (server, await join(server, "billing")) for server in (one, two, one, two)
        ]
        await asyncio.gather(*(one.call(pubsub.publish, topic="mail", data={"n": n}) for n in range(200)))
        seen: list[int] = []

        async def work(server: Work, member: Client) -> None:
            while len(seen) < 200:
                for event in await member.rest():
                    seen.extend(numbers([event]))
                    await member.ack(event)
                await server.loop("group-members")

        await asyncio.gather(*(work(server, member) for server, member in members))
        assert sorted(seen) == list(range(200))
        assert await counts(one) == SETTLED
        for _, member in members:
            await member.leave()
