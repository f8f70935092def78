"""Dead letters are listed, delivered again and deleted."""

from typing import Any

from ironflow.features.consumer_groups import contract as groups
from ironflow.features.dead_letters import contract
from tests.support.groups import a_group, join, numbers, publish
from tests.support.server import open_server
from tests.support.work import Work


async def dead(server: Work, **asked: Any) -> list[tuple[str, int, str]]:
    """Topic, attempts and reason of every dead letter."""
    found = await server.call(contract.list_, name="billing", **asked)
    return [(each.topic, each.attempts, each.reason) for each in found.dead_letters]


async def test_replayed_dead_letters_are_delivered_as_if_they_were_new(server: Work):
    await a_group(server)
    member = await join(server, "billing")
    sent = await publish(server, 4)
    for event in await member.take(4):
        await member.ack(event, "term")

    one = await server.call(contract.replay, name="billing", event_ids=[sent[2]])
    (event,) = await member.rest()
    assert (one.count, event.event_id, event.delivery_attempt) == (1, sent[2], 1)
    await member.ack(event)
    none = await server.call(contract.replay, name="billing", reason="spent")
    rest = await server.call(contract.replay, name="billing", topic="topic:m*", reason="terminated")
    assert (none.count, rest.count) == (0, 3)
    assert numbers(await member.rest()) == [0, 1, 3]
    assert await dead(server) == []
    await member.leave()


async def test_dead_letters_are_listed_in_pages_and_purged(server: Work):
    await a_group(server)
    member = await join(server, "billing")
    await publish(server, 5)
    await server.call(groups.patch, name="billing", pattern="topic:>")
    await publish(server, 1, topic="post", start=5)
    for event in await member.take(6):
        await member.ack(event, "term")

    page = await server.call(contract.list_, name="billing", limit=4)
    rest = await server.call(contract.list_, name="billing", limit=4, cursor=page.next_cursor)
    assert [bytes(each.data or b"") for each in (*page.dead_letters, *rest.dead_letters)] == [
        b'{"n":%d}' % n for n in range(6)
    ]
    assert (page.count, rest.count, rest.next_cursor) == (4, 2, None)
    assert len(await dead(server, topic="topic:post")) == 1
    assert (await server.call(contract.purge, name="billing", topic="topic:post")).count == 1
    assert (await server.call(contract.purge, name="billing", all=True)).count == 5
    assert await dead(server) == []
    await member.leave()


async def test_dead_letters_are_forgotten_after_their_retention(database_url: str):
    async with open_server(Work, database_url, dead_letter_retention_days=1) as server:
        await a_group(server)
        member = await join(server, "billing")
        await publish(server)
        (event,) = await member.take(1)
        await member.ack(event, "term")
        server.move(24 * 3600 * 1000 - 1)
        await server.loops()
        assert len(await dead(server)) == 1
        server.move(1)
        await server.loops()
        assert await dead(server) == []
        await member.leave()
