"""Members of consumer groups by the SDK, against a real server; and what its frames look like."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

import ironflow
from ironflow.base.errors import IronflowError, Unavailable
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.contract import GroupNotFound, MemberNotFound
from ironflow.sdk.wire.message_stream import BrokenStream, MessageReader, enveloped
from ironflow.sdk.wire.reconnect import Reconnect, decide_reconnect
from ironflow.sdk.wire.retries import Retries
from ironflow.sdk.wire.transport import CannotConnect
from ironflow.sync import Client as SyncClient
from tests.crash.processes import Process
from tests.sdk.client.fake_transport import FakeAsyncTransport, answer
from tests.support.waiting import eventually
from tests.wire.server_process import Server

EVENT = {"subscriptionId": "mem_1", "eventId": "evt_1", "topic": "topic:mail", "data": {"n": 1}, "sequence": "7"}


def frame(message: object, flags: int = 0) -> bytes:
    text = msgspec.json.encode(message)
    return bytes([flags]) + len(text).to_bytes(4, "big") + text


def test_messages_are_read_from_bytes_however_they_are_cut():
    whole = frame(EVENT) + frame({**EVENT, "eventId": "evt_2"}) + frame({}, flags=2)
    messages = MessageReader(contract.join)
    found = [each for place in range(len(whole)) for each in messages.feed(whole[place : place + 1])]

    assert [each.event_id for each in found] == ["evt_1", "evt_2"]
    messages.check_ended()


def test_an_error_at_the_end_is_raised_as_the_servers_class():
    end = frame({"error": {"code": "not_found", "message": "deleted", "reason": "CONSUMER_GROUP_NOT_FOUND"}}, flags=2)
    with pytest.raises(GroupNotFound, match="deleted"):
        list(MessageReader(contract.join).feed(end))


def test_a_stream_without_an_end_is_broken():
    messages = MessageReader(contract.join)
    assert [each.event_id for each in messages.feed(frame(EVENT) + b"\0\0")] == ["evt_1"]
    with pytest.raises(BrokenStream):
        messages.check_ended()


def test_a_request_is_one_frame():
    assert msgspec.json.decode(enveloped(contract.JoinGroup(group_name="g", prefetch=5))[5:]) == {
        "namespace": "",
        "groupName": "g",
        "consumerId": "",
        "clientId": "",
        "prefetch": 5,
    }


@pytest.mark.parametrize(
    ("fault", "failures", "pause_s"),
    [
        (CannotConnect(), 1, 0.1),
        (CannotConnect(), 3, 0.4),
        (CannotConnect(), 1_000, 2.0),
        (Unavailable(retry_after_s=3), 1, 3),
        (MemberNotFound(), 1, 0.1),
        (GroupNotFound(), 1, None),
    ],
)
def test_a_member_joins_again_for_ever_unless_there_is_nothing_to_join(
    fault: IronflowError, failures: int, pause_s: float | None
):
    assert decide_reconnect(fault, failures, Reconnect.of(Retries())) == pause_s


async def test_what_refuses_the_stream_is_raised():
    network = FakeAsyncTransport()
    network.gives(answer({"code": "permission_denied", "message": "no"}, status=403))
    async with ironflow.Client("http://x", transport=network) as client:
        with pytest.raises(ironflow.errors.PermissionDenied):
            await anext(client.consumer_groups.join("g"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    environment = {"IRONFLOW_DB": str(folder / "x.db"), "IRONFLOW_PORT": "0", "IRONFLOW_DEV": "true"}
    process = Process("server", ["ironflow.server.run"], folder, environment)
    try:
        yield Server(process).address
    finally:
        process.kill()


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex[:8]


@pytest.fixture
async def client(server: str) -> AsyncIterator[ironflow.Client]:
    async with ironflow.Client(server) as made:
        yield made


async def until_no_members(client: ironflow.Client, name: str) -> None:
    """Until all members have left."""
    async with asyncio.timeout(10):
        while (await client.consumer_groups.get(name)).member_count:  # noqa: ASYNC110 - there is no notification here
            await asyncio.sleep(0.02)


@pytest.mark.processes
async def test_a_member_settles_its_events_one_by_one(client: ironflow.Client, name: str):
    made = await client.consumer_groups.create(name, f"topic:{name}", ack="manual", metadata={"team": "x"})
    assert (made.name, made.ack_mode, made.metadata) == (name, "manual", {"team": "x"})
    for number in range(3):
        await client.publish(name, {"n": number})

    seen: list[tuple[int, int]] = []
    async with aclosing(client.consumer_groups.join(name)) as events:
        async for event in events:
            seen.append((event.data["n"], event.attempt))
            match event.data["n"], event.attempt:
                case 1, 1:
                    await event.nak(delay=0.02)
                case 2, _:
                    await event.term()
                case _:
                    await event.ack()
            if len(seen) == 4:
                break
    await until_no_members(client, name)
    assert seen == [(0, 1), (1, 1), (2, 1), (1, 2)]
    (letter,) = [each async for each in client.consumer_groups.dead_letters(name)]
    assert (letter.data, letter.attempts, letter.reason) == ({"n": 2}, 1, "terminated by the consumer")
    assert await client.consumer_groups.replay(name, [letter.event_id]) == 1
    found = await client.consumer_groups.get(name)
    assert (found.waiting, found.dead_letters) == (1, 0)
    stats = await client.topics.stats(name)
    assert (stats.message_count, stats.consumer_count, stats.lag) == (3, 1, 1)
    assert name in [each.name async for each in client.topics.list()]


@pytest.mark.processes
async def test_groups_are_changed_paused_listed_and_deleted(client: ironflow.Client, name: str):
    await client.consumer_groups.create(name, "order.*", namespace=name, redeliver_delay="2s")
    assert (await client.consumer_groups.update(name, namespace=name, max_inflight=7)).max_inflight == 7
    assert (await client.consumer_groups.pause(name, namespace=name)).status == "paused"
    listed = [each async for each in client.consumer_groups.list(namespace=name, status="paused")]
    assert [(each.name, each.max_inflight, each.redeliver_delay_ms) for each in listed] == [(name, 7, 2_000)]
    assert (await client.consumer_groups.resume(name, namespace=name)).status == "active"
    await client.consumer_groups.delete(name, namespace=name)
    with pytest.raises(GroupNotFound):
        await anext(client.consumer_groups.join(name, namespace=name))


@pytest.mark.processes
def test_a_script_is_a_member_too(server: str, name: str):
    with SyncClient(server) as client:
        client.consumer_groups.create(name, f"topic:{name}", ack="manual")
        client.publish(name, {"n": 1})
        events = client.consumer_groups.join(name)
        event = next(events)
        assert (event.data, event.attempt) == ({"n": 1}, 1)
        event.ack()
        events.close()
        eventually(lambda: client.consumer_groups.get(name).member_count == 0)
        assert client.consumer_groups.get(name).waiting == 0


@pytest.mark.processes
async def test_a_member_goes_on_when_the_server_is_killed_and_comes_back(tmp_path: Path, name: str):
    folder = tmp_path
    port = {"IRONFLOW_PORT": "0"}

    def start(incarnation: str) -> tuple[Process, Server]:
        (folder / incarnation).mkdir()
        environment = {"IRONFLOW_DB": str(folder / "x.db"), "IRONFLOW_DEV": "true", **port}
        process = Process("server", ["ironflow.server.run"], folder / incarnation, environment)
        return process, Server(process)

    process, server = await asyncio.to_thread(start, "one")
    port["IRONFLOW_PORT"] = str(server.host_and_port[1])
    faults: list[IronflowError] = []
    async with ironflow.Client(server.address) as client:
        await client.consumer_groups.create(name, f"topic:{name}", ack="manual")
        await client.publish(name, {"n": 1})
        events = client.consumer_groups.join(name, on_error=faults.append)
        first = await anext(events)
        await asyncio.to_thread(process.kill)
        process, server = await asyncio.to_thread(start, "two")
        again = await anext(events)
        assert (again.id, again.attempt, again.member_id != first.member_id) == (first.id, 2, True)
        # The member of the first delivery was lost with the server; that is no error to the handler.
        assert await first.ack() is False
        await client.publish(name, {"n": 2})
        assert await again.extend() is True
        await asyncio.to_thread(process.kill)
        acking = asyncio.create_task(again.ack())
        process, server = await asyncio.to_thread(start, "three")
        assert await acking is False
        # Both come again, in order.
        last = [await anext(events) for _ in range(2)]
        assert ([each.data["n"] for each in last], last[0].attempt) == ([1, 2], 3)
        assert [await each.ack() for each in last] == [True, True]
        assert faults
        await events.aclose()
    assert await asyncio.to_thread(process.stop) == 0
