"""Members of consumer groups on real sockets: `/ws` and the two RPC streams, as clients see them."""

import asyncio
import uuid
from typing import Any

import httpx
import pytest

from tests.wire.clients import JSON, enveloped, http1, http2
from tests.wire.plain_socket import plain_socket
from tests.wire.server_process import Server

pytestmark = pytest.mark.processes

RPC = "/ironflow.v1.PubSubService/"
HEADERS = {"content-type": JSON}


@pytest.fixture(scope="module")
def server(server_on_either: Server) -> Server:
    return server_on_either


@pytest.fixture
def topic() -> str:
    """A topic, and a group's name, that no other test uses at the same server."""
    return uuid.uuid4().hex[:8]


async def rpc(server: Server, method: str, **body: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server.address) as client:
        answer = await client.post(RPC + method, json=body)
        return {"http": answer.status_code, **answer.json()}


async def publish(server: Server, topic: str, count: int) -> list[str]:
    return [(await rpc(server, "Publish", topic=topic, data={"n": n}))["eventId"] for n in range(count)]


async def a_group(server: Server, name: str, **more: Any) -> None:
    made = await rpc(server, "CreateConsumerGroup", name=name, pattern=f"topic:{name}", **more)
    assert made["http"] == 200, made


async def group(server: Server, name: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server.address) as client:
        return (await client.get(f"/api/v1/consumer-groups/{name}")).json()


async def until(server: Server, name: str, **expected: Any) -> dict[str, Any]:
    """The group, as soon as it has the expected values."""
    async with asyncio.timeout(10):
        while not expected.items() <= (found := await group(server, name)).items():  # noqa: ASYNC110 - there is no notification for it
            await asyncio.sleep(0.02)
    return found


async def until_settled(server: Server, name: str) -> dict[str, Any]:
    return await until(server, name, in_flight=0)


async def test_a_socket_joins_a_group_acks_rejects_and_terminates(server: Server, topic: str):
    await a_group(server, topic, ackMode="manual", redeliverDelayMs=60_000)
    async with plain_socket(server.address) as socket:
        wish = {"consumerGroup": topic, "ackMode": "manual", "includeMetadata": True}
        result = await socket.subscribe(f"topic:{topic}", **wish)
        assert result["status"] == "ok", result
        ids = await publish(server, topic, 3)
        events = await socket.events(3)
        assert [each["eventId"] for each in events] == ids
        assert {each["subscriptionId"] for each in events} == {result["subscriptionId"]}
        assert events[0]["data"] == {"n": 0}
        assert events[0]["meta"]["sequence"] >= 1

        await socket.send(type="ack", eventId=ids[0], ackType="ack")
        await socket.send(type="ack", eventId=ids[1], ackType="term")
        await socket.send(type="ack", eventId=ids[2], ackType="nak", redeliverDelay=50)
        (again,) = await socket.events(1)
        assert again["eventId"] == ids[2]
        # Of nothing in flight: ignored.
        await socket.send(type="ack", eventId=ids[0], ackType="nak")
        await socket.send(type="ack", eventId="msg_none", ackType="ack")
        await socket.send(type="ack", eventId=ids[2], ackType="ack")
        assert (await until_settled(server, topic))["dead_letters"] == 1
        assert await socket.silent()
        await socket.send(type="ack", eventId=ids[2], ackType="perhaps")
        assert (await socket.next())["code"] == "INVALID_MESSAGE"


async def test_a_socket_makes_the_group_that_it_names_and_its_events_go_to_others_when_it_disconnects(
    server: Server, topic: str
):
    wish = {"consumerGroup": topic, "ackMode": "manual"}
    async with plain_socket(server.address) as first:
        assert (await first.subscribe(f"topic:{topic}", **wish))["status"] == "ok"
        ids = await publish(server, topic, 2)
        await first.events(2)
        made = await group(server, topic)
        assert (made["pattern"], made["ack_mode"], made["member_count"]) == (f"topic:{topic}", "ACK_MODE_MANUAL", 1)
        async with plain_socket(server.address) as second:
            other = await second.subscribe(f"topic:{topic}.>", **wish)
            assert (other["status"], other["code"]) == ("error", "INVALID_SUBSCRIPTION")
            await second.subscribe(f"topic:{topic}", **wish)
            first.connection.transport.abort()
            assert sorted(each["eventId"] for each in await second.events(2)) == sorted(ids)


async def test_without_manual_acks_what_a_vanished_socket_may_not_have_read_goes_to_others(server: Server, topic: str):
    """No pong was asked for after the events yet, so they are in flight; they hold up no others."""
    async with plain_socket(server.address) as first:
        await first.subscribe(f"topic:{topic}", consumerGroup=topic)
        ids = await publish(server, topic, 5)
        await first.events(5)
        found = await until(server, topic, in_flight=5)
        assert (found["lag"], found["waiting"]) == (0, 0)
        async with plain_socket(server.address) as second:
            await second.subscribe(f"topic:{topic}", consumerGroup=topic)
            first.connection.transport.abort()
            assert sorted(each["eventId"] for each in await second.events(5)) == sorted(ids)


async def test_two_groups_on_one_socket_have_their_events_acked_each(server: Server, topic: str):
    groups = [f"{topic}-a", f"{topic}-b"]
    async with plain_socket(server.address) as socket:
        for name in groups:
            await socket.subscribe(f"topic:{topic}", consumerGroup=name, ackMode="manual")
        await publish(server, topic, 3)
        for event in await socket.events(6):
            await socket.send(type="ack", eventId=event["eventId"], ackType="ack")
        for name in groups:
            await until_settled(server, name)


async def test_unsubscribing_leaves_the_group(server: Server, topic: str):
    async with plain_socket(server.address) as socket:
        result = await socket.subscribe(f"topic:{topic}", consumerGroup=topic, ackMode="manual")
        await publish(server, topic, 1)
        await socket.events(1)
        await socket.send(type="unsubscribe", subscriptionId=result["subscriptionId"])
        assert (await until(server, topic, member_count=0))["waiting"] == 1


async def test_a_member_over_a_server_stream_acks_by_unary_calls(server: Server, topic: str):
    await a_group(server, topic, ackMode="ACK_MODE_MANUAL")
    async with http1(server.address) as wire:
        await wire.post(RPC + "JoinConsumerGroup", HEADERS, enveloped({"groupName": topic}))
        await wire.head()
        ids = await publish(server, topic, 2)
        events = [(await wire.frame()).json() for _ in ids]  # type: ignore[union-attr]
        assert [each["eventId"] for each in events] == ids
        assert [each["deliveryAttempt"] for each in events] == [1, 1]
        for event in events:
            delivery = {"groupName": topic, "consumerId": event["subscriptionId"], "eventId": event["eventId"]}
            assert await rpc(server, "AckEvent", **delivery, ackType="ACK_TYPE_ACK") == {"http": 200}
            wrong = await rpc(server, "AckEvent", **{**delivery, "consumerId": "mem_x"}, ackType=1)
            assert (wrong["http"], wrong["code"]) == (404, "not_found")
        assert (await group(server, topic))["in_flight"] == 0


async def test_a_member_whose_connection_broke_is_not_given_more(server: Server, topic: str):
    await a_group(server, topic, ackMode="ACK_MODE_MANUAL", redeliverDelayMs=60_000)
    async with http1(server.address) as broken, http1(server.address) as there:
        await broken.post(RPC + "JoinConsumerGroup", HEADERS, enveloped({"groupName": topic}))
        await broken.head()
        await publish(server, topic, 3)
        for _ in range(3):
            await broken.frame()
        broken.abort()
        await there.post(RPC + "JoinConsumerGroup", HEADERS, enveloped({"groupName": topic}))
        await there.head()
        events = [(await there.frame()).json() for _ in range(3)]  # type: ignore[union-attr]
        assert sorted(each["data"]["n"] for each in events) == [0, 1, 2]
        assert (await group(server, topic))["member_count"] == 1


async def test_a_member_over_a_stream_in_both_directions(server: Server, topic: str):
    await a_group(server, topic, ackMode="ACK_MODE_MANUAL")
    async with http2(server.address) as connection:
        stream = connection.post(RPC + "SubscribeBidirectional", HEADERS, end=False)
        stream.send(enveloped({"join": {"groupName": topic}}))
        joined = (await stream.frame()).json()["joined"]  # type: ignore[union-attr]
        assert (joined["groupName"], joined["pattern"], joined["ackMode"]) == (
            topic,
            f"topic:{topic}",
            "ACK_MODE_MANUAL",
        )
        (event_id,) = await publish(server, topic, 1)
        event = (await stream.frame()).json()["event"]  # type: ignore[union-attr]
        assert (event["eventId"], event["subscriptionId"]) == (event_id, joined["subscriptionId"])
        stream.send(enveloped({"ack": {"eventId": event_id, "ackType": "ACK_TYPE_ACK", "ackId": "7"}}))
        result = (await stream.frame()).json()["ackResult"]  # type: ignore[union-attr]
        assert result == {"ackId": "7", "eventId": event_id, "code": "ACK_RESULT_CODE_OK", "message": ""}
        stream.end()
        assert [frame.json() for frame in await stream.rest()] == [{}]
    assert (await group(server, topic))["in_flight"] == 0


async def test_subscribe_with_a_group_is_a_member_of_it(server: Server, topic: str):
    async with http1(server.address) as wire:
        wish = {"pattern": f"topic:{topic}", "options": {"consumerGroup": topic}}
        await wire.post(RPC + "Subscribe", HEADERS, enveloped(wish))
        await wire.head()
        await until(server, topic, member_count=1)
        await publish(server, topic, 1)
        event = (await wire.frame()).json()  # type: ignore[union-attr]
        assert (event["data"], event["deliveryAttempt"]) == ({"n": 0}, 1)


async def test_a_stream_of_a_group_that_is_not_there_ends_with_not_found(server: Server, topic: str):
    async with http1(server.address) as wire:
        await wire.post(RPC + "JoinConsumerGroup", HEADERS, enveloped({"groupName": topic}))
        await wire.head()
        (last,) = await wire.rest()
        assert (wire.status, last.error) == (200, "not_found")
