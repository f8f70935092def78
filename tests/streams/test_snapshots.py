"""Snapshots keep what an entity was after a version; the newest at or below a version is found."""

from collections.abc import AsyncIterator

import pytest

from ironflow.features.events.contract import EntityTypeConflict
from ironflow.features.streams import contract as streams
from ironflow.features.streams.contract import (
    InvalidSnapshot,
    SnapshotExists,
    SnapshotNotFound,
    SnapshotTooLarge,
    StreamNotFound,
)
from tests.support.server import open_server
from tests.support.work import Work


async def a_stream(server: Work, events: int = 10) -> None:
    for _ in range(events):
        await server.call(streams.append, entity_id="order-7", entity_type="order", event_name="order.changed")


async def keep(server: Work, version: int, state: object = None, **more: object) -> str:
    fields = {"entity_id": "order-7", "entity_version": version, "state": state, **more}
    return (await server.call(streams.create_snapshot, **fields)).snapshot_id


async def found(server: Work, before: int = 0) -> int:
    return (await server.call(streams.get_snapshot, entity_id="order-7", before_version=before)).entity_version


async def test_the_newest_snapshot_at_or_below_a_version_is_found(server: Work):
    await a_stream(server)
    for version in (7, 2, 5):
        await keep(server, version)

    assert [await found(server, before) for before in (0, 2, 3, 4, 5, 6, 7, 99)] == [7, 2, 2, 2, 5, 5, 7, 7]
    with pytest.raises(SnapshotNotFound, match="at or below version 1"):
        await found(server, 1)


async def test_a_snapshot_is_answered_as_it_was_kept(server: Work):
    await a_stream(server, 3)
    text = b'{"entity_id":"order-7","entity_type":"order","entity_version":3,"state":{"b":1,"a":1.50}}'
    made = await server.ask(streams.create_snapshot, text)

    snapshot = await server.call(streams.get_snapshot, entity_id="order-7")

    assert (snapshot.snapshot_id, snapshot.entity_type, snapshot.entity_version) == (made.snapshot_id, "order", 3)
    assert bytes(snapshot.state) == b'{"b":1,"a":1.50}'


async def test_a_second_snapshot_of_one_version_is_refused(server: Work):
    await a_stream(server, 3)
    first = await keep(server, 3, "one")
    with pytest.raises(SnapshotExists):
        await keep(server, 3, "two")

    snapshot = await server.call(streams.get_snapshot, entity_id="order-7")
    assert (snapshot.snapshot_id, bytes(snapshot.state)) == (first, b'"one"')


async def test_snapshots_that_cannot_be_are_refused(server: Work):
    with pytest.raises(StreamNotFound, match=r"^stream not found$"):
        await keep(server, 1)
    await a_stream(server, 3)
    for version in (-1, 0, 4):
        with pytest.raises(InvalidSnapshot):
            await keep(server, version)
    with pytest.raises(EntityTypeConflict):
        await keep(server, 3, entity_type="user")
    with pytest.raises(SnapshotTooLarge):
        await keep(server, 3, "x" * (4 * 1024 * 1024))
    for env in ("default", "staging"):
        with pytest.raises(SnapshotNotFound):
            await server.call(streams.get_snapshot, entity_id="order-7", env=env)


@pytest.fixture
async def sparing(database_url: str) -> AsyncIterator[Work]:
    async with open_server(Work, database_url, snapshots_kept=2) as opened:
        yield opened


async def test_as_many_are_kept_of_each_entity_as_the_setting_allows(sparing: Work):
    await a_stream(sparing)
    for version in (1, 3, 9, 6):
        await keep(sparing, version)

    assert [await found(sparing, before) for before in (0, 8)] == [9, 6]
    with pytest.raises(SnapshotNotFound):
        await found(sparing, 5)
