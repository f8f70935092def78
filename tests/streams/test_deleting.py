"""A deleted stream ends with a tombstone; a purge removes its events, but those that something still needs."""

from typing import Any

import pytest

from ironflow.features.events import contract as events
from ironflow.features.events.contract import EventNotFound, StreamDeleted
from ironflow.features.projections import contract as projections
from ironflow.features.runs import contract as runs
from ironflow.features.streams import contract as streams
from ironflow.features.streams.contract import SnapshotNotFound, StreamNotFound
from tests.support.work import Work, step

STREAM: dict[str, Any] = {"entity_id": "order-7"}


async def append(server: Work, name: str = "order.changed", **more: Any) -> streams.Appended:
    return await server.call(streams.append, **STREAM, entity_type="order", event_name=name, **more)


async def versions(server: Work) -> list[tuple[int, str]]:
    found = await server.call(streams.read, **STREAM)
    return [(each.entity_version, each.name) for each in found.events]


async def test_a_deleted_stream_takes_nothing_more_and_is_in_no_list(server: Work):
    await append(server, idempotency_key="first")
    await append(server)
    await server.call(streams.create_snapshot, **STREAM, entity_version=2, state={"n": 2})

    deleted = await server.call(streams.delete, **STREAM, reason="asked for")

    assert (deleted.entity_version, deleted.purged, deleted.kept) == (3, 0, 0)
    assert await versions(server) == [(1, "order.changed"), (2, "order.changed"), (3, "$stream.deleted")]
    assert (await server.call(streams.list_)).streams == []
    (shown,) = (await server.call(streams.list_, deleted=True)).streams
    info = await server.call(streams.info, **STREAM)
    assert (shown, info.deleted_at is not None) == (info, True)
    with pytest.raises(SnapshotNotFound):
        await server.call(streams.get_snapshot, **STREAM)
    for expected in (-1, 0, 3):
        with pytest.raises(StreamDeleted):
            await append(server, expected_version=expected)
    with pytest.raises(StreamDeleted):
        await server.call(streams.create_snapshot, **STREAM, entity_version=2, state={"n": 2})
    # What was answered once is answered again.
    assert (await append(server, idempotency_key="first")).duplicate


async def test_deleting_again_changes_nothing(server: Work):
    await append(server)
    first = await server.call(streams.delete, **STREAM)

    assert await server.call(streams.delete, **STREAM) == first
    assert len(await versions(server)) == 2


async def test_a_stream_that_never_was_is_not_deleted(server: Work):
    with pytest.raises(StreamNotFound):
        await server.call(streams.delete, **STREAM)
    # Its id is free.
    assert (await append(server)).entity_version == 1


async def test_the_tombstone_starts_no_function(server: Work):
    await server.a_function("all", on=">")
    await append(server)
    await server.call(streams.delete, **STREAM)

    assert len(await server.runs()) == 1


async def test_a_purge_keeps_what_runs_and_readers_of_the_log_need(server: Work):
    await server.a_function(on="order.placed")
    await server.a_worker()
    placed = await append(server, "order.placed")
    for _ in range(250):
        await append(server)
    deleted = await server.call(streams.delete, **STREAM, purge=True)
    assert (deleted.entity_version, deleted.purged, deleted.kept) == (252, 250, 1)
    assert await versions(server) == [(1, "order.placed"), (252, "$stream.deleted")]
    assert (await server.call(streams.info, **STREAM)).event_count == 2

    job = await server.claim()
    await server.report(job, "completed", steps=[step(job, "charge")])
    await server.call(runs.delete, id=placed.run_ids[0])
    again = await server.call(streams.delete, **STREAM, purge=True)

    assert (again.entity_version, again.purged, again.kept) == (252, 1, 0)
    with pytest.raises(EventNotFound):
        await server.call(events.get, id=placed.event_id)


async def test_a_purge_keeps_what_a_projection_has_not_read(server: Work):
    await append(server)
    await server.call(projections.register, name="orders", events=["order.*"])

    deleted = await server.call(streams.delete, **STREAM, purge=True)

    assert (deleted.purged, deleted.kept) == (0, 1)


async def test_a_deleted_stream_is_deleted_where_its_log_is_imported(server: Work):
    await append(server)
    await server.call(streams.delete, **STREAM)
    lines = [
        {
            "id": f"{each.id}-copy",
            "name": each.name,
            "data": {},
            "timestamp": each.timestamp.isoformat(),
            "entity_id": "order-8",
            "entity_type": "order",
            "entity_version": each.entity_version,
        }
        for each in (await server.call(streams.read, **STREAM)).events
    ]

    await server.call(events.import_, events=lines)

    with pytest.raises(StreamDeleted):
        await server.call(streams.append, entity_id="order-8", event_name="order.changed")
