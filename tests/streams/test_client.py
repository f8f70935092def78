"""`client.streams` against a whole server."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from ironflow import Client
from ironflow.base.time import to_datetime
from ironflow.errors import NotFound, SerializationError, VersionConflict
from ironflow.testing.app_transport import AppTransport
from tests.support.work import Work


@pytest.fixture
async def client(server: Work) -> AsyncIterator[Client]:
    async with Client("http://server", transport=AppTransport(server.inside.app)) as opened:
        yield opened


async def three(client: Client) -> None:
    for number in range(3):
        await client.streams.append("order/7", "order.changed", {"n": number}, entity_type="order")


async def test_what_was_appended_is_read_as_plain_values(client: Client):
    await three(client)
    last = await client.streams.append("order/7", "order.paid", [1, None], expected_version=3, metadata={"by": "me"})

    events = [event async for event in client.streams.read("order/7", page_size=2)]

    assert [event.entity_version for event in events] == [1, 2, 3, 4]
    assert [event.data for event in events] == [{"n": 0}, {"n": 1}, {"n": 2}, [1, None]]
    assert (events[3].id, events[3].metadata, events[3].entity_type) == (last.event_id, {"by": "me"}, "order")
    backward = client.streams.read("order/7", from_version=3, direction="backward", page_size=2)
    assert [event.entity_version async for event in backward] == [3, 2, 1]


async def test_a_conflict_is_raised_with_the_version_that_the_stream_is_at(client: Client):
    await three(client)
    with pytest.raises(VersionConflict, match=r"^version conflict") as refused:
        await client.streams.append("order/7", "order.paid", expected_version=2)
    assert refused.value.current_version == 3


async def test_what_is_no_json_is_not_sent(client: Client):
    with pytest.raises(SerializationError, match=r"order\.paid"):
        await client.streams.append("order/7", "order.paid", float("nan"), entity_type="order")


async def test_streams_are_listed_over_pages(client: Client, server: Work):
    for entity in ("c", "a", "b"):
        await client.streams.append(entity, "n", entity_type="t")

    assert [each.entity_id async for each in client.streams.list(page_size=2)] == ["a", "b", "c"]
    info = await client.streams.info("b")
    assert info is not None
    assert (info.entity_type, info.version, info.created_at) == ("t", 1, to_datetime(server.now))
    assert await client.streams.info("d") is None


async def test_the_history_goes_over_pages_with_runs(client: Client, server: Work):
    await server.a_function(on="order.changed")
    await three(client)

    entries = [entry async for entry in client.streams.history("order/7", page_size=2)]

    assert [(entry.entity_version, entry.event_data) for entry in entries] == [
        (1, {"n": 0}),
        (2, {"n": 1}),
        (3, {"n": 2}),
    ]
    assert [[run.function_id for run in entry.runs] for entry in entries] == [["charge"]] * 3
    later = client.streams.history("order/7", since=datetime(2100, 1, 1, tzinfo=UTC))
    assert [entry async for entry in later] == []


async def test_snapshots(client: Client):
    await three(client)
    made = await client.streams.create_snapshot("order/7", 2, {"total": 10})

    found = await client.streams.snapshot("order/7")
    assert (found.snapshot_id, found.entity_version, found.state) == (made, 2, {"total": 10})
    with pytest.raises(NotFound):
        await client.streams.snapshot("order/7", before_version=1)


async def test_the_streams_of_a_run(client: Client, server: Work):
    run = await server.a_run()
    assert await client.streams.of_run(run.id) == []
