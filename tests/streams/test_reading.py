"""Streams are read in either direction from any version, listed, and looked back at with the runs they started."""

from typing import Any

import pytest

from ironflow.base.errors import NotFound
from ironflow.base.operation import Operation
from ironflow.base.time import to_datetime
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.streams import contract as streams
from ironflow.features.streams.contract import AnswerTooLarge, InvalidRead, StreamNotFound
from tests.support.work import Work, step, text_of


async def append(server: Work, entity: str = "order-7", name: str = "order.placed", **more: Any) -> streams.Appended:
    fields = {"entity_type": "order", "data": {"n": 1}, **more}
    return await server.call(streams.append, entity_id=entity, event_name=name, **fields)


async def ten(server: Work) -> None:
    for number in range(1, 11):
        await append(server, data={"n": number})


READS: list[tuple[dict[str, Any], list[int], int | None]] = [
    ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], None),
    ({"from_version": 1}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], None),
    ({"from_version": 8}, [8, 9, 10], None),
    ({"from_version": 11}, [], None),
    ({"limit": 3}, [1, 2, 3], 4),
    ({"limit": 10}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], None),
    ({"from_version": 4, "limit": 3}, [4, 5, 6], 7),
    ({"direction": "backward"}, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1], None),
    ({"direction": "backward", "limit": 3}, [10, 9, 8], 7),
    ({"direction": "backward", "from_version": 3}, [3, 2, 1], None),
    ({"direction": "backward", "from_version": 5, "limit": 2}, [5, 4], 3),
    ({"direction": "backward", "from_version": 99, "limit": 1}, [10], 9),
    ({"direction": "", "limit": 1}, [1], 2),
]


async def test_a_stream_is_read_from_any_version_in_either_direction(server: Work):
    await ten(server)
    await append(server, "order-8")
    for asked, expected, more in READS:
        found = await server.call(streams.read, entity_id="order-7", **asked)
        assert [each.entity_version for each in found.events] == expected, asked
        assert (found.total_count, found.next_version) == (10, more), asked


async def test_a_stream_that_was_never_written_has_no_events(server: Work):
    assert await server.call(streams.read, entity_id="order-7") == streams.StreamEvents(events=[], total_count=0)
    assert await server.call(streams.history, entity_id="order-7") == streams.EntityHistory(entries=[])
    assert await server.call(streams.flat_history, entity_id="order-7") == streams.FlatHistory(events=[])


async def test_an_unknown_direction_is_refused(server: Work):
    asked: list[Operation[Any, Any]] = [streams.read, streams.history]
    for operation in asked:
        with pytest.raises(InvalidRead):
            await server.call(operation, entity_id="order-7", direction="up")


async def test_many_events_are_read_whole(server: Work):
    for number in range(600):
        await append(server, data={"n": number})
    for direction, expected in (("forward", range(1, 601)), ("backward", range(600, 0, -1))):
        found = await server.call(streams.read, entity_id="order-7", direction=direction)
        assert [each.entity_version for each in found.events] == [*expected]


async def test_events_too_large_for_one_answer_are_read_in_pages(server: Work):
    for _ in range(31):
        await append(server, data="x" * (1024 * 1024 - 2))

    whole: list[Operation[Any, Any]] = [streams.read, streams.flat_history]
    for operation in whole:
        with pytest.raises(AnswerTooLarge, match="`limit`"):
            await server.call(operation, entity_id="order-7")
    page = await server.call(streams.read, entity_id="order-7", limit=20)
    assert (len(page.events), page.next_version) == (20, 21)


async def test_the_info_of_a_stream(server: Work):
    first = server.now
    await append(server)
    server.move(1000)
    await append(server)

    assert await server.call(streams.info, entity_id="order-7") == streams.StreamInfo(
        entity_id="order-7",
        entity_type="order",
        version=2,
        event_count=2,
        created_at=to_datetime(first),
        updated_at=to_datetime(first + 1000),
        last_event_at=to_datetime(first + 1000),
    )


async def test_the_info_of_no_stream_is_not_found_with_exactly_this_message(server: Work):
    await append(server)
    for entity, env in (("order-8", "default"), ("order-7", "staging"), ("", "default")):
        with pytest.raises(StreamNotFound, match=r"^stream not found$"):
            await server.call(streams.info, entity_id=entity, env=env)


async def listed(server: Work, **asked: Any) -> list[str]:
    return [each.entity_id for each in (await server.call(streams.list_, **asked)).streams]


async def test_streams_are_listed_by_id_with_filters_and_pages(server: Work):
    for entity in ("order-2", "order-1", "ord_r", "ord%r"):
        await append(server, entity)
    await append(server, "user-1", entity_type="user")
    await append(server, "order-9", env="staging")

    everything = ["ord%r", "ord_r", "order-1", "order-2", "user-1"]
    assert await listed(server) == everything
    assert await listed(server, entity_type="user") == ["user-1"]
    assert await listed(server, search="ER-1") == ["order-1", "user-1"]
    assert await listed(server, search="%") == ["ord%r"]
    assert await listed(server, search="d_r") == ["ord_r"]
    assert await listed(server, limit=2, offset=1) == ["ord_r", "order-1"]

    page = await server.call(streams.list_, limit=2)
    assert (page.total_count, page.next_cursor) == (5, "ord_r")
    assert await listed(server, limit=2, cursor="ord_r") == ["order-1", "order-2"]
    last = await server.call(streams.list_, limit=2, cursor="order-2")
    assert ([each.entity_id for each in last.streams], last.next_cursor) == (["user-1"], None)


async def test_removed_events_leave_versions_as_they_were_given(server: Work):
    await ten(server)
    delete = "DELETE FROM events WHERE entity_id = 'order-7' AND entity_version IN (1, 2, 3, 6, 10)"
    assert await server.db.write(lambda tx: tx.run(delete)) == 5

    left = await server.call(streams.read, entity_id="order-7", limit=4)
    assert ([each.entity_version for each in left.events], left.next_version) == ([4, 5, 7, 8], 9)
    assert (await append(server, expected_version=10)).entity_version == 11


# History


async def test_the_history_shows_which_runs_each_event_started_and_what_they_did(server: Work):
    await server.a_function("charge", on="order.placed")
    await server.a_function("mail", on="order.placed")
    await server.a_worker(function_ids=["charge"])
    placed = await append(server, data={"n": 1})
    closed = await append(server, name="order.closed", version=2)
    job = await server.claim()
    server.move(40)
    failed = step(job, "notify", error={"message": "no such address"})
    await server.report(job, "completed", step(job, "pay", {"ok": True}), failed, output=1)

    found = await server.call(streams.history, entity_id="order-7")

    assert (found.total_events, found.next_cursor) == (2, None)
    assert found.info is not None
    assert (found.info.entity_type, found.info.current_version, found.info.total_event_count) == ("order", 2, 2)
    first, second = found.entries
    assert (first.event_id, first.event_name, first.entity_version) == (placed.event_id, "order.placed", 1)
    assert (second.event_id, second.schema_version, second.runs) == (closed.event_id, 2, [])
    charge, mail = first.runs
    assert (charge.function_id, charge.status, charge.duration_ms) == ("charge", "completed", 40)
    assert (mail.function_id, mail.status, mail.steps) == ("mail", "pending", [])
    assert [(each.name, each.step_type, each.status, each.error_message) for each in charge.steps] == [
        ("pay", "invoke", "completed", None),
        ("notify", "invoke", "failed", "no such address"),
    ]


async def test_the_history_has_pages_of_fifty_and_the_version_to_go_on_from(server: Work):
    for _ in range(60):
        await append(server)

    first = await server.call(streams.history, entity_id="order-7")
    rest = await server.call(streams.history, entity_id="order-7", from_version=first.next_cursor)

    assert [each.entity_version for each in first.entries] == [*range(1, 51)]
    assert first.next_cursor == 51
    assert ([each.entity_version for each in rest.entries], rest.next_cursor) == ([*range(51, 61)], None)
    backward = await server.call(streams.history, entity_id="order-7", direction="backward", limit=2)
    assert ([each.entity_version for each in backward.entries], backward.next_cursor) == ([60, 59], 58)


async def test_the_history_has_bounds_in_time(server: Work):
    for _ in range(4):
        await append(server)
        server.move(1000)
    start = server.now - 4000

    found = await server.call(
        streams.history, entity_id="order-7", from_timestamp=text_of(start + 1000), to_timestamp=text_of(start + 3000)
    )
    assert [each.entity_version for each in found.entries] == [2, 3]


async def test_a_plain_history_has_every_event_oldest_first(server: Work):
    await ten(server)
    found = await server.call(streams.flat_history, entity_id="order-7")
    assert [(each.event_name, bytes(each.data), each.version) for each in found.events] == [
        ("order.placed", b'{"n":%d}' % number, number) for number in range(1, 11)
    ]
    page = await server.call(streams.flat_history, entity_id="order-7", from_version=3, limit=2)
    assert ([each.version for each in page.events], page.next_version) == ([3, 4], 5)


async def test_a_run_lists_the_streams_it_appended_to(server: Work):
    run = await server.a_run()
    for entity in ("b", "a", "b", "c"):
        await append(server, entity, from_run=run.id)
    await append(server, "d")

    assert (await server.call(streams.of_run, run_id=run.id)).entity_ids == ["a", "b", "c"]
    page = await server.call(streams.of_run, run_id=run.id, limit=2)
    assert (page.entity_ids, page.next_cursor) == (["a", "b"], "b")
    assert (await server.call(streams.of_run, run_id=run.id, cursor="b")).entity_ids == ["c"]
    for run_id, env in (("run_unknown", "default"), (run.id, "staging")):
        with pytest.raises(RunNotFound):
            await server.call(streams.of_run, run_id=run_id, env=env)


def test_a_stream_that_is_not_found_is_a_not_found():
    assert (StreamNotFound().connect, StreamNotFound().status) == ("not_found", 404)
    assert issubclass(StreamNotFound, NotFound)
