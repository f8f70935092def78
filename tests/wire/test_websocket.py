"""`/ws` as a stock WebSocket client sees it, on both HTTP servers and both databases."""

import asyncio
import contextlib
import json
import uuid
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.wire.plain_socket import plain_socket
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def server(server_on_either: Server) -> Server:
    return server_on_either


@pytest.fixture
def prefix() -> str:
    """A prefix of topics and event names that no other test uses on the same server."""
    return uuid.uuid4().hex[:8]


async def emit(server: Server, name: str, data: Any = None, env: str = "default", **more: Any) -> str:
    async with httpx.AsyncClient(base_url=server.address) as client:
        headers = {"X-Ironflow-Environment": env}
        body = {"name": name, "data": data, **more}
        return (await client.post("/api/v1/events", json=body, headers=headers)).json()["event_id"]


async def publish(server: Server, topic: str, data: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server.address) as client:
        return (await client.post("/api/v1/topics/publish", json={"topic": topic, "data": data})).json()


async def test_an_event_reaches_its_subscribers_and_no_other_socket(server: Server, prefix: str):
    async with plain_socket(server.address) as socket, plain_socket(server.address) as other:
        result = await socket.subscribe(f"events:{prefix}.order.*", includeMetadata=True)
        assert result["status"] == "ok"
        await other.subscribe(f"{prefix}.order.paid")
        event_id = await emit(server, f"{prefix}.order.placed", {"total": 120, "big": 12345678901234567890})

        (event,) = await socket.events(1)
        meta = event.pop("meta")
        assert event == {
            "type": "event",
            "subscriptionId": result["subscriptionId"],
            "topic": f"events:{prefix}.order.placed",
            "data": {"total": 120, "big": 12345678901234567890},
            "eventId": event_id,
        }
        assert meta["sequence"] >= 1
        assert meta["timestamp"].endswith("Z")
        assert await other.silent()


async def test_replay_comes_first_and_live_events_follow(server: Server, prefix: str):
    for number in range(5):
        await publish(server, f"{prefix}.ticks", number)
    async with plain_socket(server.address) as socket:
        await socket.subscribe(f"topic:{prefix}.ticks", replay=3)
        await publish(server, f"{prefix}.ticks", 5)
        assert [event["data"] for event in await socket.events(4)] == [2, 3, 4, 5]


async def test_a_subscription_goes_on_after_a_sequence(server: Server, prefix: str):
    sequences = [(await publish(server, f"{prefix}.ticks", number))["sequence"] for number in range(4)]
    async with plain_socket(server.address) as socket:
        await socket.subscribe(f"topic:{prefix}.>", startAfterSequence=sequences[1])
        assert [event["data"] for event in await socket.events(2)] == [2, 3]
        both = await socket.subscribe(f"topic:{prefix}.*", startAfterSequence=1, replay=1)
        assert (both["status"], both["code"]) == ("error", "INVALID_SUBSCRIPTION")
        beyond = await socket.subscribe(f"topic:{prefix}.*", startAfterSequence=10_000_000)
        assert (beyond["status"], beyond["code"]) == ("error", "INVALID_SUBSCRIPTION")


async def test_filters_namespaces_and_environments_keep_events_apart(server: Server, prefix: str):
    async with plain_socket(server.address) as socket, plain_socket(server.address, "/ws?env=staging") as staging:
        await socket.subscribe(f"{prefix}.order.>", filter="data.total > 100 && topic.endsWith('placed')")
        await socket.subscribe(f"{prefix}.bill.>", namespace="accounts")
        await staging.subscribe(">")
        await emit(server, f"{prefix}.order.placed", {"total": 50})
        await emit(server, f"{prefix}.order.placed", {"total": 150})
        await emit(server, f"{prefix}.order.paid", {"total": 150})
        await emit(server, f"{prefix}.order.placed", "not an object")
        await emit(server, f"{prefix}.bill.sent", 1)
        await emit(server, f"{prefix}.bill.sent", 2, namespace="accounts")
        await emit(server, f"{prefix}.order.placed", {"total": 200}, env="staging")

        assert [event["data"] for event in await socket.events(2)] == [{"total": 150}, 2]
        assert [event["data"] for event in await staging.events(1)] == [{"total": 200}]
        assert await socket.silent()


async def test_an_unsubscribed_pattern_is_silent_and_the_same_wish_has_the_same_id(server: Server, prefix: str):
    async with plain_socket(server.address) as socket:
        first = await socket.subscribe(f"topic:{prefix}.a")
        await socket.send(type="unsubscribe", subscriptionId=first["subscriptionId"])
        await publish(server, f"{prefix}.a", 1)
        assert await socket.silent()
        again = await socket.subscribe(f"topic:{prefix}.a")
        twice = await socket.subscribe(f"topic:{prefix}.a")
        assert first["subscriptionId"] == again["subscriptionId"] == twice["subscriptionId"]
        # Each says what its events follow; the second wish for the same is the same subscription.
        assert first["sequence"] < again["sequence"] == twice["sequence"]
        await publish(server, f"{prefix}.a", 2)
        assert [event["data"] for event in await socket.events(1)] == [2]
        assert await socket.silent()
    async with plain_socket(server.address) as socket:
        assert (await socket.subscribe(f"topic:{prefix}.a"))["subscriptionId"] == first["subscriptionId"]


async def test_bad_frames_are_answered_and_the_socket_stays_open(server: Server, prefix: str):
    async with plain_socket(server.address) as socket:
        for text, code in [
            ("rubbish", "INVALID_MESSAGE"),
            ("[]", "INVALID_MESSAGE"),
            ("{}", "UNKNOWN_TYPE"),
            ('{"type":7}', "INVALID_MESSAGE"),
            ('{"type":"dance"}', "UNKNOWN_TYPE"),
            (b"\xff\xfe", "INVALID_MESSAGE"),
            ('{"type":"subscribe","subscriptions":7}', "INVALID_MESSAGE"),
            ('{"type":"subscribe"}', "INVALID_MESSAGE"),
            ('{"type":"subscribe","pattern":"order.*"}', "INVALID_MESSAGE"),
            ("[" * 100_000, "INVALID_MESSAGE"),
        ]:
            await socket.connection.send(text)
            frame = await socket.next()
            assert (frame["type"], frame["code"]) == ("error", code), text[:40]
        for pattern in ("", "a..b", "a.>.b", "x" * 600, "a\nb"):
            result = await socket.subscribe(pattern)
            assert (result["status"], result["code"]) == ("error", "INVALID_PATTERN"), pattern
        assert (await socket.subscribe("a.b", filter="data.("))["code"] == "INVALID_EXPRESSION"
        assert (await socket.subscribe("a.b", replay="many"))["code"] == "VALIDATION_ERROR"
        assert (await socket.subscribe("a.b", backpressure="hope"))["code"] == "VALIDATION_ERROR"
        await socket.send(type="unsubscribe", subscriptionId="sub_unknown")
        await socket.send(type="ack", eventId="evt_unknown", ackType="ack")
        assert (await socket.subscribe("a.b"))["status"] == "ok"


async def test_many_subscriptions_are_asked_for_in_one_frame(server: Server, prefix: str):
    async with plain_socket(server.address) as socket:
        await socket.send(
            type="subscribe", subscriptions=[{"pattern": f"topic:{prefix}.a"}, {"pattern": "a..b"}, {"pattern": 7}]
        )
        frame = await socket.next()
        assert [result["status"] for result in frame["results"]] == ["ok", "error", "error"]
        assert [result["pattern"] for result in frame["results"]] == [f"topic:{prefix}.a", "a..b", ""]


async def test_a_message_over_the_limit_closes_the_socket(server: Server, prefix: str):
    async with plain_socket(server.address) as socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.connection.send(json.dumps({"type": "subscribe", "padding": "x" * 3_000_000}))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.connection.recv()
        # granian closes the connection without a close frame when a message exceeds its own limit.
        assert closed.value.rcvd is None or closed.value.rcvd.code in (1009, 1005)
    await emit(server, "still.alive")


async def test_what_cannot_be_a_socket_is_refused_at_the_handshake(server: Server, prefix: str):
    for path, status in [("/nothing", 404), ("/api/v1/events", 404), ("/ws?env=no%20name", 400)]:
        with pytest.raises(InvalidStatus) as refused:
            async with plain_socket(server.address, path):
                pass
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body)["message"]


async def test_sockets_are_closed_for_a_restart_when_the_server_stops(tmp_path_factory: pytest.TempPathFactory):
    for http_server in ("h2corn", "granian"):
        with a_server(tmp_path_factory.mktemp(http_server), http_server=http_server) as server:
            async with plain_socket(server.address) as idle, plain_socket(server.address) as busy:
                await busy.subscribe("topic:>")
                stopping = asyncio.create_task(asyncio.to_thread(server.stop))
                for socket in (idle, busy):
                    with pytest.raises(ConnectionClosed) as closed:
                        await socket.next()
                    assert closed.value.rcvd is not None
                    assert closed.value.rcvd.code == 1012
                assert await stopping == 0
