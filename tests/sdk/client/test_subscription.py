"""`client.subscribe` against real servers: it goes on where it was, whatever becomes of the connection."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ironflow import Client, sync
from ironflow.base.errors import IronflowError
from ironflow.base.pattern import InvalidPattern
from ironflow.features.subscriptions.contract import InvalidSubscription, SequenceNotKept
from ironflow.sdk.client.connection.subscription import Subscription
from ironflow.sdk.wire import sessions
from ironflow.sdk.wire.transport import CannotConnect
from tests.crash.processes import Process, reserved_port
from tests.support.waiting import eventually
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes

WITHIN_S = 30
TRANSPORTS = ("websocket", "grpc", "auto")
# A member has a stream and requests, or one stream in both directions.
MEMBERS = ("websocket", "grpc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@contextmanager
def a_mortal_server(folder: Path, port: int) -> Iterator[Process]:
    """A server on `port` with the folder's database; killed at the end if it still runs."""
    environment = {"IRONFLOW_DB": str(folder / "db"), "IRONFLOW_PORT": str(port), "IRONFLOW_DEV": "true"}
    process = Process("server", ["ironflow.server.run"], folder, environment)
    try:
        Server(process)
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_events_have_their_name_data_and_place(server: Server, transport: Any):
    async with Client(server.address) as client, client.subscribe("sdk.order.*", transport=transport) as events:
        waiting = asyncio.ensure_future(anext(events))
        async with asyncio.timeout(WITHIN_S):
            emitted = None
            while not waiting.done():
                emitted = emitted or await client.emit("sdk.order.placed", {"total": 1}, metadata={"by": "me"})
                await asyncio.sleep(0.05)
                if not waiting.done():
                    emitted = None
        event = await waiting

    assert (event.topic, event.name, event.data) == ("events:sdk.order.placed", "sdk.order.placed", {"total": 1})
    assert (event.metadata, event.source, event.namespace) == ({"by": "me"}, "api", "default")
    assert event.timestamp is not None
    assert events.sequence == event.sequence


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_replay_filter_and_after_choose_what_comes(server: Server, transport: Any):
    topic = f"sdk.choose.{transport}"
    async with Client(server.address) as client:
        sent = [await client.publish(topic, {"n": number}) for number in range(6)]
        async with client.subscribe(
            f"topic:{topic}", replay=4, filter="data.n % 2 == 0", transport=transport
        ) as events:
            assert [(await anext(events)).data["n"] for _ in range(3)] == [0, 2, 4]
        async with client.subscribe(f"topic:{topic}", after=sent[3].sequence, transport=transport) as events:
            assert [(await anext(events)).data["n"] for _ in range(2)] == [4, 5]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_cannot_be_subscribed_to_is_raised_where_it_is_waited_for(server: Server, transport: Any):
    async with Client(server.address) as client:
        with pytest.raises(InvalidPattern):
            await anext(client.subscribe("a..b", transport=transport))
        with pytest.raises(InvalidSubscription):
            await anext(client.subscribe("a", after=10**9, transport=transport))
    held, port = reserved_port()
    with held, pytest.raises(CannotConnect):
        await anext(Client(f"http://127.0.0.1:{port}").subscribe("a", transport=transport))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_closed_subscription_ends_its_loop(server: Server, transport: Any):
    async with Client(server.address) as client:
        await client.publish("sdk.close", 1)
        events = client.subscribe("topic:sdk.close", replay=1, transport=transport)
        async for _ in events:
            await events.close()
        with pytest.raises(StopAsyncIteration):
            await anext(events)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_member_of_a_group_settles_its_events(server: Server, transport: Any):
    group = f"sdk-members-{transport}"
    async with (
        Client(server.address) as client,
        client.subscribe("topic:sdk.group", group=group, ack="manual", transport=transport) as events,
    ):
        first = asyncio.ensure_future(anext(events))
        async with asyncio.timeout(WITHIN_S):
            while not first.done():
                await client.publish("sdk.group", "again")
                await asyncio.sleep(0.05)
            event = await first
            await event.nak("0s")
            seen = [event.id]
            while seen.count(event.id) < 2:
                other = await anext(events)
                seen.append(other.id)
                await other.ack()


async def until_alone(client: Client, group: str) -> None:
    """Until the group has no members."""
    async with asyncio.timeout(WITHIN_S):
        while (await client.consumer_groups.get(group)).member_count:  # noqa: ASYNC110 there is no notification here
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("transport", MEMBERS)
@pytest.mark.parametrize("ack", ["auto", "manual"])
async def test_a_member_whose_loop_is_left_has_left_the_group(server: Server, ack: Any, transport: Any):
    group = f"sdk-leave-{ack}-{transport}"
    async with Client(server.address) as client:
        await client.consumer_groups.create(group, "topic:sdk.leave", ack=ack)
        await client.publish("sdk.leave", 1)
        event = None
        async for event in client.subscribe("topic:sdk.leave", group=group, ack=ack, transport=transport):
            assert event.attempt == 1
            break
        await until_alone(client, group)
        assert event is not None
        # Its event, which was not settled, goes to the next.
        async with aclosing(client.subscribe("topic:sdk.leave", group=group, ack=ack, transport=transport)) as events:
            again = await anext(events)
            assert (again.id, again.attempt) == (event.id, 2)
            assert await again.ack()
        await until_alone(client, group)
        async with client.subscribe("topic:sdk.leave", group=group, ack=ack, transport=transport):
            pass
        found = await client.consumer_groups.get(group)

    assert (found.in_flight, found.waiting, found.dead_letters) == (0, 0, 0)


@pytest.mark.parametrize("transport", MEMBERS)
async def test_auto_acks_an_event_after_its_handler(server: Server, transport: Any):
    group = f"sdk-auto-{transport}"
    async with Client(server.address) as client:
        await client.consumer_groups.create(group, "topic:sdk.auto")
        for number in range(6):
            await client.publish("sdk.auto", number)
        seen: list[tuple[int, int | None]] = []
        async with client.subscribe("topic:sdk.auto", group=group, transport=transport) as events:
            async for event in events:
                seen.append((event.data, (await client.consumer_groups.get(group)).in_flight))
                if event.data == 5:
                    assert await event.ack()
                    break
        found = await client.consumer_groups.get(group)

    assert [number for number, _ in seen] == list(range(6))
    # While a handler works its event is in flight, and no more events than the prefetch are.
    assert all(in_flight in (1, 2, 3, 4) for _, in_flight in seen)
    assert (found.in_flight, found.waiting, found.lag) == (0, 0, 0)


@pytest.mark.parametrize("transport", MEMBERS)
async def test_a_handler_slower_than_the_ack_wait_handles_each_event_once(server: Server, transport: Any):
    group = f"sdk-slow-{transport}"
    async with Client(server.address) as client:
        await client.consumer_groups.create(group, "topic:sdk.slow", ack="manual", ack_wait="2s")
        for number in range(2):
            await client.publish("sdk.slow", number)
        seen: list[tuple[int, int]] = []
        async with client.subscribe("topic:sdk.slow", group=group, ack="manual", transport=transport) as events:
            async for event in events:
                # The second waits for longer than its time, and then takes longer than that.
                await asyncio.sleep(3)
                assert await event.ack()
                seen.append((event.data, event.attempt))
                if len(seen) == 2:
                    break
        found = await client.consumer_groups.get(group)

    assert seen == [(0, 1), (1, 1)]
    assert (found.waiting, found.dead_letters) == (0, 0)


async def test_events_of_entities_are_plain_in_subscriptions_and_groups(server: Server):
    async with Client(server.address) as client:
        await client.consumer_groups.create("sdk-plain", "entity:plain.*.>", ack="manual")
        await client.streams.append("p-1", "item.added", {"sku": 1}, entity_type="plain", version=2)
        async with client.subscribe("entity:plain.*.>", replay=1, filter="data.sku == 1") as events:
            followed = await anext(events)
        async with client.subscribe("entity:plain.*.>", group="sdk-plain", ack="manual") as events:
            delivered = await anext(events)
            await delivered.term()
        (dead,) = [each async for each in client.consumer_groups.dead_letters("sdk-plain")]

    for each in (followed, delivered):
        assert (each.topic, each.name, each.data) == ("entity:plain.p-1.item.added", "item.added", {"sku": 1})
        assert (each.entity_type, each.entity_id, each.entity_version, each.version) == ("plain", "p-1", 1, 2)
        assert (each.id, each.sequence) == (followed.id, followed.sequence)
    assert dead.data == {"sku": 1}


def test_a_script_whose_loop_is_left_has_left_the_group(server: Server):
    with sync.Client(server.address) as client:
        client.consumer_groups.create("sdk-left", "topic:sdk.left", ack="manual")
        client.publish("sdk.left", 1)
        for event in client.subscribe("topic:sdk.left", group="sdk-left", ack="manual"):
            assert event.ack() is True
            break
        eventually(lambda: client.consumer_groups.get("sdk-left").member_count == 0)


def test_scripts_are_members_of_groups_too(server: Server):
    with sync.Client(server.address) as client:
        client.consumer_groups.create("sdk-scripts", "topic:sdk.scripts", ack="manual")
        client.publish("sdk.scripts", 1)
        with client.subscribe("topic:sdk.scripts", group="sdk-scripts", ack="manual") as events:
            first = next(events)
            first.nak("0s")
            again = next(events)
            again.ack()

    assert (first.data, again.id) == (1, first.id)


async def test_an_entity_is_followed_with_its_versions(server: Server):
    async with Client(server.address) as client:
        for name in ("placed", "paid"):
            await client.streams.append("o.7", f"order.{name}", {"n": name}, entity_type="order", metadata={"by": "me"})
        # Its events match the pattern, and are another entity's.
        await client.streams.append("o.7.b", "order.placed", entity_type="order")
        async with aclosing(client.streams.subscribe("order", "o.7", after=0)) as events, asyncio.timeout(WITHIN_S):
            first, second = await anext(events), await anext(events)
            await client.streams.append("o.7", "order.sent")
            third = await anext(events)
        async with aclosing(client.streams.subscribe("order", replay=2)) as events:
            every = [(await anext(events)).entity_id for _ in range(2)]

    assert [(each.name, each.entity_version) for each in (first, second, third)] == [
        ("order.placed", 1),
        ("order.paid", 2),
        ("order.sent", 3),
    ]
    assert (first.entity_type, first.entity_id, first.data, first.metadata) == (
        "order",
        "o.7",
        {"n": "placed"},
        {"by": "me"},
    )
    assert first.sequence < second.sequence < third.sequence
    assert every == ["o.7.b", "o.7"]


def test_scripts_follow_entities(server: Server):
    with sync.Client(server.address) as client:
        client.streams.append("cart-1", "item.added", {"sku": "a"}, entity_type="cart")
        with closing(client.streams.subscribe("cart", "cart-1", replay=1)) as events:
            event = next(events)

    assert (event.name, event.data, event.entity_version) == ("item.added", {"sku": "a"}, 1)


async def published(url: str, count: int) -> list[int]:
    """Sequences of messages that a new client publishes; connections of one from before a kill would break."""
    async with Client(url) as client:
        return [(await client.publish("restarts", 1)).sequence for _ in range(count)]


async def received(events: Subscription, count: int) -> list[int]:
    return [(await anext(events)).sequence for _ in range(count)]


@pytest.mark.parametrize("transport", ["websocket", "grpc"])
async def test_a_subscription_outlives_the_server_and_misses_nothing(tmp_path: Path, transport: Any):
    held, port = reserved_port()
    url = f"http://127.0.0.1:{port}"
    faults: list[IronflowError] = []
    with held:
        async with asyncio.timeout(4 * WITHIN_S):
            events = Client(url).subscribe("topic:restarts", on_error=faults.append, after=0, transport=transport)
            with a_mortal_server(tmp_path, port):
                acknowledged = await published(url, 20)
                seen = await received(events, 10)
            for _ in range(2):
                # Killed while ten events were on their way.
                with a_mortal_server(tmp_path, port):
                    acknowledged += await published(url, 20)
                    seen += await received(events, 20)
            with a_mortal_server(tmp_path, port):
                seen += await received(events, len(acknowledged) - len(seen))
            await events.close()

    assert seen == acknowledged
    assert faults
    assert all(fault.retryable for fault in faults)


@pytest.mark.parametrize("transport", ["websocket", "grpc"])
async def test_a_quiet_subscription_misses_nothing_that_happens_while_the_server_is_back_and_it_is_not(
    tmp_path: Path, transport: Any
):
    """It has seen no event when the server dies; the server had sent the sequence at which it began."""
    held, port = reserved_port()
    broken = asyncio.Event()
    with held:
        async with Client(f"http://127.0.0.1:{port}") as client, asyncio.timeout(2 * WITHIN_S):
            events = client.subscribe("topic:quiet", on_error=lambda _: broken.set(), transport=transport)
            with a_mortal_server(tmp_path, port):
                waiting = asyncio.ensure_future(anext(events))
                while events.sequence is None:  # noqa: ASYNC110 it has begun when it knows its place
                    await asyncio.sleep(0.01)
            await broken.wait()
            with a_mortal_server(tmp_path, port):
                sent = await client.publish("quiet", "here")
                assert (await waiting).id == sent.event_id
            await events.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_close_in_another_task_ends_a_loop_that_waits(server: Server, transport: Any):
    async with Client(server.address) as client, asyncio.timeout(WITHIN_S):
        events = client.subscribe("topic:nothing", transport=transport)

        async def consume() -> list[str]:
            return [event.id async for event in events]

        loop = asyncio.ensure_future(consume())
        while events.sequence is None:  # noqa: ASYNC110 it has begun when it knows its place
            await asyncio.sleep(0.01)
        await events.close()

        assert await loop == []


async def test_lost_system_events_are_reported_and_the_subscription_continues(tmp_path: Path):
    held, port = reserved_port()
    faults: list[IronflowError] = []
    with held:
        async with Client(f"http://127.0.0.1:{port}") as client, asyncio.timeout(2 * WITHIN_S):
            events = client.subscribe("system.function.>", on_error=faults.append)
            with a_mortal_server(tmp_path, port):
                waiting = asyncio.ensure_future(anext(events))
                while events.sequence is None:  # noqa: ASYNC110 it has begun when it knows its place
                    await asyncio.sleep(0.01)
            with a_mortal_server(tmp_path, port):
                async with asyncio.timeout(WITHIN_S):
                    while not any(isinstance(fault, SequenceNotKept) for fault in faults):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                await register(client, "after")
                assert (await waiting).data["id"] == "after"
            await events.close()


async def register(client: Client, function_id: str) -> None:
    from ironflow.features.functions import contract

    await client.call(contract.register, contract.RegisterFunction(id=function_id))


def test_scripts_follow_with_a_plain_loop(server: Server):
    with sync.Client(server.address) as client:
        for number in range(3):
            client.publish("sdk.plain", number)
        with client.subscribe("topic:sdk.plain", replay=3) as events:
            publishing = threading.Timer(0.2, lambda: sync.Client(server.address).publish("sdk.plain", 3))
            publishing.start()
            got = []
            for event in events:
                got.append(event.data)
                if len(got) == 4:
                    break
            publishing.join()
        with client.subscribe("a..b") as events, pytest.raises(InvalidPattern):
            next(events)

    assert got == [0, 1, 2, 3]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("in_cycle", [False, True])
async def test_a_subscription_that_was_dropped_leaves_no_open_session(server: Server, transport: Any, in_cycle: bool):
    """An unraisable warning fails this test."""
    of_others = set(sessions._open)
    async with Client(server.address) as client:
        await client.publish("sdk.dropped", 1)
        events: Any = client.subscribe("topic:sdk.dropped", replay=1, transport=transport)
        await anext(events)
        if in_cycle:
            events.itself = events
    opened = sessions._open - of_others
    assert opened
    del events
    gc.collect()

    async with asyncio.timeout(WITHIN_S):
        while opened & sessions._open:  # noqa: ASYNC110 there is no notification here
            await asyncio.sleep(0.01)
