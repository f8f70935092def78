"""Creating, changing, listing and deleting groups, through dispatch and over every wire."""

from typing import Any

import msgspec
import pytest

from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.contract import GroupExists, GroupNotFound, InvalidGroup
from tests.support.groups import a_group, join, publish
from tests.support.work import Work

RPC = "/ironflow.v1.PubSubService/"


async def test_a_group_is_created_once_in_its_namespace(server: Work):
    made = await a_group(server)
    elsewhere = await a_group(server, namespace="shop")
    with pytest.raises(GroupExists, match="namespace 'default' of environment 'default'"):
        await a_group(server)

    assert made.id.startswith("cg_")
    assert made.id != elsewhere.id
    found = await server.call(contract.get, name="billing")
    assert (found.id, found.position, found.member_count) == (made.id, 0, 0)


async def test_groups_are_listed_by_namespace_and_name_in_pages(server: Work):
    for name in ("b", "a", "c"):
        await a_group(server, name)
    await a_group(server, "z", namespace="aaa")
    await a_group(server, "other", env="staging")
    await server.call(contract.patch, name="b", status="paused")

    async def listed(**asked: Any) -> tuple[list[str], int, str | None]:
        page = await server.call(contract.list_, **asked)
        return [each.name for each in page.groups], page.total_count, page.next_cursor

    assert await listed() == (["z", "a", "b", "c"], 4, None)
    assert await listed(limit=2) == (["z", "a"], 4, "default/a")
    assert await listed(limit=2, cursor="default/a") == (["b", "c"], 4, "default/c")
    assert await listed(cursor="default/c") == ([], 4, None)
    assert await listed(namespace="default", status="paused") == (["b"], 1, None)
    assert await listed(status="deleted") == ([], 0, None)


async def test_deleting_a_group_deletes_its_deliveries_and_frees_its_name(server: Work):
    first = await a_group(server)
    await publish(server, 3)
    await server.call(contract.delete, name="billing")
    with pytest.raises(GroupNotFound):
        await server.call(contract.delete, name="billing")

    second = await a_group(server)
    found = await server.call(contract.get, name="billing")
    assert (second.id != first.id, found.lag) == (True, 0)


async def test_an_update_by_mask_changes_those_fields(server: Work):
    await a_group(server)
    group = {"name": "billing", "max_inflight": 7, "metadata": {"team": "x"}, "status": "active"}
    updated = await server.call(contract.update, group=group, update_mask="maxInflight,metadata")

    assert (updated.max_inflight, bytes(updated.metadata or b"")) == (7, b'{"team":"x"}')
    with pytest.raises(InvalidGroup, match="'name' cannot be updated"):
        await server.call(contract.update, group=group, update_mask="name")
    with pytest.raises(GroupNotFound):
        await server.call(contract.update, group={"name": "none"})


async def test_existing_clients_create_get_list_and_delete_groups_over_rpc(server: Work):
    async with server.http() as client:
        body = {"name": "billing", "pattern": "order.*", "ackMode": "ACK_MODE_MANUAL", "maxInflight": 7}
        created = await client.post(RPC + "CreateConsumerGroup", json=body)
        again = await client.post(RPC + "CreateConsumerGroup", json=body)
        found = await client.post(RPC + "GetConsumerGroup", json={"name": "billing"})
        listed = await client.post(RPC + "ListConsumerGroups", json={"limit": 0})
        deleted = await client.post(RPC + "DeleteConsumerGroup", json={"namespace": "default", "name": "billing"})

    group = msgspec.json.decode(created.content)
    assert created.status_code == 200
    assert {key: value for key, value in group.items() if key not in ("id", "createdAt", "updatedAt")} == {
        "namespace": "default",
        "name": "billing",
        "pattern": "order.*",
        "filterExpr": "",
        "ackMode": "ACK_MODE_MANUAL",
        "backpressure": "BACKPRESSURE_MODE_BUFFER",
        "maxInflight": 7,
        "maxRedeliveries": 3,
        "redeliverDelayMs": 5000,
        "status": "CONSUMER_GROUP_STATUS_ACTIVE",
        "memberCount": 0,
    }
    assert msgspec.json.decode(found.content) == group
    assert (again.status_code, msgspec.json.decode(again.content)["code"]) == (409, "already_exists")
    assert msgspec.json.decode(listed.content) == {"groups": [group], "totalCount": 1}
    assert (deleted.status_code, deleted.content) == (200, b"{}")


async def test_groups_and_dead_letters_over_rest(server: Work):
    async with server.http() as client:
        made = await client.post("/api/v1/consumer-groups", json={"name": "billing", "pattern": "topic:mail"})
        patched = await client.patch("/api/v1/consumer-groups/billing", json={"ack_mode": "manual", "filter": "n:0"})
        member = await join(server, "billing")
        (sent, _) = await publish(server, 2)
        (event,) = await member.take(1)
        body = {"consumer_id": event.subscription_id, "event_id": event.event_id, "ack_type": "term"}
        acked = await client.post("/api/v1/consumer-groups/ack", json=body)
        found = await client.get("/api/v1/consumer-groups/billing")
        dead = await client.get("/api/v1/consumer-groups/billing/dead-letters?limit=10")
        nothing = await client.post("/api/v1/consumer-groups/billing/dead-letters/replay", json={})
        again = await client.post("/api/v1/consumer-groups/billing/dead-letters/replay", json={"event_ids": [sent]})
        assert [each.event_id for each in await member.take(1)] == [sent]
        deleted = await client.delete("/api/v1/consumer-groups/billing")
        missing = await client.get("/api/v1/consumer-groups/billing?namespace=shop")

    assert (made.status_code, patched.status_code, acked.status_code) == (201, 200, 200)
    answer = msgspec.json.decode(found.content)
    assert {key: answer[key] for key in ("filter_expr", "lag", "in_flight", "waiting", "dead_letters", "dropped")} == {
        "filter_expr": "n:0",
        "lag": 0,
        "in_flight": 0,
        "waiting": 0,
        "dead_letters": 1,
        "dropped": 0,
    }
    (letter,) = msgspec.json.decode(dead.content)["dead_letters"]
    assert (letter["event_id"], letter["sequence"], letter["attempts"], letter["data"]) == (sent, 1, 1, {"n": 0})
    assert (nothing.status_code, msgspec.json.decode(again.content)) == (400, {"count": 1})
    assert (deleted.status_code, missing.status_code) == (204, 404)
    with pytest.raises(GroupNotFound):
        await member.take(1)
