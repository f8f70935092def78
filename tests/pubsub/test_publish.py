"""Publishing: a message to a topic is recorded once, and starts nothing."""

import asyncio
from contextlib import AsyncExitStack

import msgspec
import pytest

from ironflow.base.errors import PayloadTooLarge
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.events import contract as events
from ironflow.features.pubsub import contract as pubsub
from ironflow.features.pubsub.contract import InvalidTopic
from ironflow.features.subscriptions.presence import EXPIRES_MS
from tests.log.records import everything_after
from tests.subscriptions.following import following
from tests.support.groups import join
from tests.support.server import open_server
from tests.support.work import Work

DAY_MS = 24 * 3600 * 1000
TOPIC = "orders.done"


async def log(server: Work) -> list[tuple[str, str, str]]:
    """Kind, name and data of all that is recorded."""
    found = await server.db.read(lambda tx: everything_after(tx, 0, 100))
    return [(each.kind, each.name, each.data) for each in found]


async def test_a_message_is_recorded_at_its_place_in_the_log(server: Work):
    first = await server.call(pubsub.publish, topic=TOPIC, data={"id": 7})
    second = await server.call(pubsub.publish, topic=TOPIC, data=[1, None, "x"])

    assert (first.sequence, second.sequence, first.duplicate) == (1, 2, False)
    assert first.event_id.startswith("msg_")
    assert await log(server) == [("topic", TOPIC, '{"id":7}'), ("topic", TOPIC, '[1,null,"x"]')]


async def test_a_message_starts_no_function_and_is_in_no_list_of_events(server: Work):
    await server.a_function(on=">")
    await server.a_function("orders.done", on=None)

    await server.call(pubsub.publish, topic="order.placed")
    await server.call(pubsub.publish, topic=TOPIC)

    assert await server.runs() == []
    assert (await server.call(events.list_)).events == []


async def test_the_same_key_on_a_topic_is_answered_with_the_first_message(server: Work):
    first = await server.call(pubsub.publish, topic=TOPIC, data=1, idempotency_key="step-1")
    again = await server.call(pubsub.publish, topic=TOPIC, data=2, idempotency_key="step-1")
    elsewhere = await server.call(pubsub.publish, topic="orders.late", data=3, idempotency_key="step-1")
    other_env = await server.call(pubsub.publish, topic=TOPIC, data=4, idempotency_key="step-1", env="staging")

    assert (again.event_id, again.sequence, again.duplicate) == (first.event_id, first.sequence, True)
    assert not elsewhere.duplicate
    assert not other_env.duplicate
    assert [each[2] for each in await log(server)] == ["1", "3", "4"]


async def test_a_key_is_forgotten_after_seven_days(server: Work):
    first = await server.call(pubsub.publish, topic=TOPIC, idempotency_key="k")
    server.move(7 * DAY_MS)
    await server.loops()
    again = await server.call(pubsub.publish, topic=TOPIC, idempotency_key="k")

    assert again.event_id != first.event_id
    assert not again.duplicate


async def test_messages_of_one_commit_with_one_key_are_one_message(server: Work):
    publish = [server.call(pubsub.publish, topic=TOPIC, data=n, idempotency_key="k") for n in range(10)]

    answers = await asyncio.gather(*publish)

    assert {each.event_id for each in answers} == {answers[0].event_id}
    assert sorted(each.duplicate for each in answers) == [False] + [True] * 9
    assert len(await log(server)) == 1


@pytest.mark.postgres
async def test_two_nodes_that_publish_with_one_key_record_one_message(postgres_url: str):
    async with open_server(Work, postgres_url) as one, open_server(Work, postgres_url) as two:
        both = [server.call(pubsub.publish, topic=TOPIC, idempotency_key="k") for server in (one, two) * 5]
        answers = await asyncio.gather(*both)

        assert {each.event_id for each in answers} == {answers[0].event_id}
        assert len(await log(one)) == 1


async def test_a_message_knows_the_run_that_published_it(server: Work):
    sent = await server.call(pubsub.publish, topic=TOPIC, from_run="run_x")

    (record,) = await server.db.read(lambda tx: everything_after(tx, 0, 100))
    assert (record.id, record.run_id) == (sent.event_id, "run_x")


BAD = ["", "a b", "a.*", "a.>", "line\nbreak", "x" * 257, "events:x", "system.run.x", "entity:x", "public.x"]
BAD += [".", ".a", "a.", "a..b"]


async def test_invalid_topics_are_refused(server: Work):
    for topic in BAD:
        with pytest.raises(InvalidTopic):
            await server.call(pubsub.publish, topic=topic)
    assert await log(server) == []


async def test_a_message_that_is_too_large_is_refused(server: Work):
    with pytest.raises(PayloadTooLarge):
        await server.call(pubsub.publish, topic=TOPIC, data="x" * (1 << 20))
    assert await log(server) == []


async def test_the_wire_of_clients_is_understood_and_answered(server: Work):
    """Workers publish by RPC: `dataValue` for what is no object, and `eventId` with a sequence in the answer."""
    async with server.http() as client:
        body = {"topic": TOPIC, "dataValue": "plain", "idempotencyKey": "k"}
        answer = await client.post("/ironflow.v1.PubSubService/Publish", json=body)

    assert answer.status_code == 200
    published = msgspec.json.decode(answer.content)
    assert published["eventId"].startswith("msg_")
    assert int(published["sequence"]) == 1
    assert await log(server) == [("topic", TOPIC, '"plain"')]


async def test_topics_are_counted_as_they_are_published(server: Work):
    for number in range(3):
        await server.call(pubsub.publish, topic=TOPIC, data=number)
        server.move(1_000)
    await server.call(pubsub.publish, topic=TOPIC, idempotency_key="k")
    await server.call(pubsub.publish, topic=TOPIC, idempotency_key="k")
    await server.call(pubsub.publish, topic="mail")
    await server.call(pubsub.publish, topic="mail", env="staging")

    topics = (await server.call(pubsub.list_)).topics
    assert [(each.name, each.message_count, each.consumer_count) for each in topics] == [("mail", 1, 0), (TOPIC, 4, 0)]
    assert (topics[1].last_message_at - topics[1].first_message_at).total_seconds() == 3
    page = await server.call(pubsub.list_, limit=1)
    rest = await server.call(pubsub.list_, limit=1, cursor=page.next_cursor)
    assert [each.name for each in (*page.topics, *rest.topics)] == ["mail", TOPIC]
    stats = await server.call(pubsub.stats, topic=TOPIC)
    assert (stats.message_count, stats.lag, stats.first_seq, stats.last_seq) == (4, 0, 1, 4)
    assert (await server.call(pubsub.stats, topic=f"topic:{TOPIC}")).message_count == 4
    assert (await server.call(pubsub.stats, topic="never")).message_count == 0


async def test_the_lag_of_a_topic_is_that_of_its_slowest_group(server: Work):
    for name, pattern in (("all", "topic:>"), ("mail", "topic:mail"), ("events", "mail")):
        await server.call(groups.create, name=name, pattern=pattern, ack_mode="manual")
    for number in range(5):
        await server.call(pubsub.publish, topic="mail", data=number)
    await server.call(pubsub.publish, topic="post")
    member = await join(server, "mail")
    await member.take(5)

    stats = await server.call(pubsub.stats, topic="mail")
    assert (stats.consumer_count, stats.lag) == (2, 5)
    assert (await server.call(pubsub.stats, topic="post")).consumer_count == 1
    await member.leave()


async def test_messages_of_many_topics_in_one_commit_are_counted_for_each(server: Work):
    names = ["a", "b", "a", "c", "a", "b"]
    await asyncio.gather(*(server.call(pubsub.publish, topic=name) for name in names))

    topics = (await server.call(pubsub.list_)).topics
    assert {each.name: each.message_count for each in topics} == {"a": 3, "b": 2, "c": 1}


async def test_plain_subscriptions_count_as_consumers_of_a_topic(server: Work):
    await server.call(pubsub.publish, topic="mail")
    async with following(server, "topic:mail"), following(server, "topic:>"), following(server, "topic:post"):
        assert (await server.call(pubsub.stats, topic="mail")).consumer_count == 2
        assert [each.consumer_count for each in (await server.call(pubsub.list_)).topics] == [2]
        assert (await server.call(pubsub.stats, topic="mail", env="staging")).consumer_count == 0

    assert (await server.call(pubsub.stats, topic="mail")).consumer_count == 0


async def test_subscriptions_at_other_nodes_are_counted_while_their_node_runs(postgres_url: str):
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_server(Work, postgres_url))
        second = await stack.enter_async_context(open_server(Work, postgres_url, clock=first.clock))
        await stack.enter_async_context(following(second, "topic:mail"))
        await second.loop("topic-subscribers")

        assert (await first.call(pubsub.stats, topic="mail")).consumer_count == 1
        assert (await second.call(pubsub.stats, topic="mail")).consumer_count == 1
        # A node that has died writes no more.
        first.move(EXPIRES_MS + 1)
        assert (await first.call(pubsub.stats, topic="mail")).consumer_count == 0
