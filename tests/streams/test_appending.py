"""Appends get gap-free versions, conflicts change nothing, and a repeated append is answered as the first one was."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from ironflow.base.errors import IronflowError, VersionConflict
from ironflow.base.spelling import BadField
from ironflow.features.events import contract as events
from ironflow.features.events.contract import (
    EntityTypeConflict,
    EventTooLarge,
    IdempotencyKeyReused,
    InvalidEntity,
    InvalidEvent,
)
from ironflow.features.streams import contract as streams
from ironflow.features.streams.contract import StreamNotFound
from tests.support.work import Work

DAY_MS = 24 * 3600 * 1000


async def append(server: Work, entity: str = "order-7", name: str = "order.placed", **more: Any) -> streams.Appended:
    fields = {"entity_type": "order", "data": {"n": 1}, **more}
    return await server.call(streams.append, entity_id=entity, event_name=name, **fields)


async def versions(server: Work, entity: str = "order-7", **more: Any) -> list[int]:
    found = await server.call(streams.read, entity_id=entity, **more)
    return [event.entity_version for event in found.events]


async def test_versions_count_from_one_in_each_stream(server: Work):
    first = [(await append(server)).entity_version for _ in range(3)]
    other = (await append(server, "order-8")).entity_version
    elsewhere = (await append(server, env="staging")).entity_version

    assert (first, other, elsewhere) == ([1, 2, 3], 1, 1)
    assert await versions(server) == [1, 2, 3]


async def test_an_append_keeps_all_its_fields(server: Work):
    answer = await server.ask(
        streams.append,
        b'{"entityId":"order-7","entityType":"order","eventName":"order.placed",'
        b'"data": {"b":1,"a":12345678901234567890},'
        b'"expectedVersion":"0","idempotencyKey":"k-1","version":3,"metadata":{"trace":"abc"}}',
        from_run="run_parent",
    )

    (event,) = (await server.call(streams.read, entity_id="order-7")).events
    assert answer == streams.Appended(entity_version=1, event_id=event.id, sequence=1)
    assert (event.name, event.version, event.entity_version, event.source) == ("order.placed", 3, 1, "api")
    assert bytes(event.data) == b'{"b":1,"a":12345678901234567890}'
    assert bytes(event.metadata or b"") == b'{"trace":"abc"}'
    assert (event.entity_id, event.entity_type, event.idempotency_key) == ("order-7", "order", "k-1")
    assert (event.run_id, event.environment_id, event.nats_seq) == ("run_parent", "default", 1)


async def test_the_expected_version_decides(server: Work):
    await append(server, expected_version=0)
    await append(server, expected_version=1)
    await append(server, expected_version=-1)
    await append(server)

    for expected in (0, 3, 5):
        with pytest.raises(VersionConflict, match=r"^version conflict"):
            await append(server, expected_version=expected)

    assert await versions(server) == [1, 2, 3, 4]


async def test_a_refused_first_append_leaves_no_stream(server: Work):
    with pytest.raises(VersionConflict):
        await append(server, expected_version=3)
    with pytest.raises(InvalidEntity):
        await append(server, entity_type="")

    with pytest.raises(StreamNotFound):
        await server.call(streams.info, entity_id="order-7")
    assert (await server.call(streams.list_)).streams == []


async def test_an_id_is_one_entity_whatever_its_type(server: Work):
    await append(server)
    with pytest.raises(EntityTypeConflict, match="has the type 'order', the append says 'user'"):
        await append(server, entity_type="user")
    assert (await append(server, entity_type="")).entity_version == 2


async def test_a_conflict_starts_no_run_and_records_nothing(server: Work):
    await server.a_function(on="order.placed")
    await append(server, name="order.opened")
    with pytest.raises(VersionConflict):
        await append(server, expected_version=0)

    assert await server.runs() == []
    assert [each.name for each in (await server.call(events.list_)).events] == ["order.opened"]


async def test_appends_that_share_a_commit_each_get_their_own_answer(server: Work):
    answers = await asyncio.gather(
        *(append(server, f"order-{number % 4}", expected_version=number // 4) for number in range(32)),
        *(append(server, "order-0", expected_version=99) for _ in range(3)),
        return_exceptions=True,
    )

    accepted = [each for each in answers if isinstance(each, streams.Appended)]
    refused = [each for each in answers if isinstance(each, VersionConflict)]
    assert (len(accepted), len(refused)) == (32, 3)
    for number in range(4):
        assert await versions(server, f"order-{number}") == list(range(1, 9))


async def test_one_of_many_that_expect_the_same_version_wins(server: Work):
    await append(server)
    answers = await asyncio.gather(*(append(server, expected_version=1) for _ in range(20)), return_exceptions=True)

    assert [each.entity_version for each in answers if isinstance(each, streams.Appended)] == [2]
    assert sum(isinstance(each, VersionConflict) for each in answers) == 19
    assert await versions(server) == [1, 2]


# Idempotency


async def test_a_repeated_append_is_answered_as_the_first_one_was(server: Work):
    await server.a_function(on="order.placed")
    first = await append(server, idempotency_key="k", expected_version=0)
    await append(server, name="order.opened")

    again = await append(server, idempotency_key="k", expected_version=0)

    assert again == replace(first, duplicate=True)
    assert (first.entity_version, len(first.run_ids)) == (1, 1)
    assert await versions(server) == [1, 2]
    assert len(await server.runs()) == 1


@pytest.mark.parametrize(("other", "difference"), [({"name": "order.opened"}, "name"), ({"data": {"n": 2}}, "data")])
async def test_a_key_of_another_append_is_refused(server: Work, other: dict[str, Any], difference: str):
    first = await append(server, idempotency_key="k")

    with pytest.raises(IdempotencyKeyReused, match=f"{first.event_id!r}, which has another {difference}"):
        await append(server, idempotency_key="k", **other)

    assert await versions(server) == [1]


async def test_an_append_is_answered_with_its_position_also_when_repeated(server: Work):
    await server.emit()
    first = await append(server, idempotency_key="k")
    await append(server)
    again = await append(server, idempotency_key="k")
    assert (first.sequence, again.sequence) == (2, 2)


async def test_a_key_is_forgotten_after_seven_days(server: Work):
    await append(server, idempotency_key="k")
    server.move(7 * DAY_MS)
    assert (await append(server, idempotency_key="k")).entity_version == 2


async def test_a_key_counts_within_its_stream(server: Work):
    first = await append(server, idempotency_key="k")
    other = await append(server, "order-8", idempotency_key="k")
    emitted = await server.emit(idempotency_key="k")

    assert len({first.event_id, other.event_id, emitted.event_id}) == 3
    assert (first.entity_version, other.entity_version) == (1, 1)


async def test_the_same_key_at_the_same_moment_appends_once(server: Work):
    answers = await asyncio.gather(*(append(server, idempotency_key="k", expected_version=0) for _ in range(10)))
    assert len({each.event_id for each in answers}) == 1
    assert await versions(server) == [1]


async def test_a_key_whose_append_was_refused_is_free(server: Work):
    with pytest.raises(VersionConflict):
        await append(server, idempotency_key="k", expected_version=4)
    assert (await append(server, idempotency_key="k", expected_version=0)).entity_version == 1


# What is no append


NOT_VALID: list[tuple[dict[str, Any], type[IronflowError]]] = [
    ({"entity_id": ""}, InvalidEntity),
    ({"entity_id": "a b"}, InvalidEntity),
    ({"entity_type": "a*"}, InvalidEntity),
    ({"entity_type": ""}, InvalidEntity),
    ({"event_name": ""}, InvalidEvent),
    ({"event_name": "a b"}, InvalidEvent),
    ({"version": -1}, InvalidEvent),
    ({"metadata": []}, InvalidEvent),
    ({"expected_version": -2}, InvalidEntity),
    ({"expected_version": "three"}, BadField),
    ({"expected_version": 2**64}, BadField),
    ({"idempotency_key": "has spaces"}, IronflowError),
    ({"data": "x" * 2_000_000}, EventTooLarge),
]


async def test_what_is_no_append_is_refused_and_nothing_is_recorded(server: Work):
    valid = {"entity_id": "order-7", "entity_type": "order", "event_name": "order.placed"}
    for fields, refusal in NOT_VALID:
        with pytest.raises(refusal) as refused:
            await server.ask(streams.append, {**valid, **fields})
        assert 400 <= refused.value.status < 500, fields

    assert (await server.call(streams.list_)).streams == []


async def test_an_event_may_be_a_megabyte(server: Work):
    data = "x" * (1024 * 1024 - 2)
    await append(server, data=data)
    (event,) = (await server.call(streams.read, entity_id="order-7")).events
    assert len(bytes(event.data)) == 1024 * 1024
