"""Recorded events are listed newest first, by pages in both directions, and counted by name."""

from typing import Any

import pytest

from ironflow.base.errors import InvalidArgument
from ironflow.features.events import contract as events
from tests.support.work import Work, text_of


async def names(server: Work, **filters: Any) -> list[str]:
    return [event.name for event in (await server.call(events.list_, **filters)).events]


async def test_the_newest_events_come_first(server: Work):
    for number in range(3):
        await server.emit(f"e.{number}")
    assert await names(server) == ["e.2", "e.1", "e.0"]


async def test_pages_lead_back_in_time_and_forward_again(server: Work):
    for number in range(5):
        await server.emit(f"e.{number}")

    first = await server.call(events.list_, limit=2)
    second = await server.call(events.list_, limit=2, cursor=first.next_cursor)
    third = await server.call(events.list_, limit=2, cursor=second.next_cursor)
    back = await server.call(events.list_, limit=2, before=third.prev_cursor)

    assert [[event.name for event in page.events] for page in (first, second, third, back)] == [
        ["e.4", "e.3"],
        ["e.2", "e.1"],
        ["e.0"],
        ["e.2", "e.1"],
    ]
    assert [(page.has_next, page.has_prev) for page in (first, second, third, back)] == [
        (True, False),
        (True, True),
        (False, True),
        (True, True),
    ]
    assert (first.prev_cursor, third.next_cursor) == (None, None)
    assert [page.count for page in (first, second, third)] == [2, 2, 1]


async def test_the_list_is_narrowed_by_name_pattern_time_source_and_text(server: Work):
    await server.emit("order.placed", {"customer": "Ada", "total": 100})
    server.move(1_000)
    middle = server.now
    await server.emit("order.item.added", {"sku": "x-1"})
    server.move(1_000)
    last = await server.emit("invoice.sent")
    await server.emit("order.placed", env="staging")

    assert await names(server, name="order.placed") == ["order.placed"]
    assert await names(server, name="order.*") == ["order.placed"]
    assert await names(server, name="order.>") == ["order.item.added", "order.placed"]
    assert await names(server, names=["invoice.sent", "order.placed"]) == ["invoice.sent", "order.placed"]
    assert await names(server, names=["invoice.*", "order.item.added"]) == ["invoice.sent", "order.item.added"]
    assert await names(server, name="nothing.*") == []
    assert await names(server, since=text_of(middle)) == ["invoice.sent", "order.item.added"]
    assert await names(server, until=text_of(middle)) == ["order.placed"]
    assert await names(server, source="api", search="ada") == ["order.placed"]
    assert await names(server, source="webhook") == []
    assert await names(server, search=last.event_id) == ["invoice.sent"]
    assert await names(server, env="staging") == ["order.placed"]


async def test_a_cursor_that_was_not_given_out_is_refused(server: Work):
    for field in ("cursor", "before"):
        for rubbish in ("rubbish", "-1", "1.5", "9" * 30, "²"):
            with pytest.raises(InvalidArgument, match="not a cursor"):
                await server.call(events.list_, **{field: rubbish})
    with pytest.raises(InvalidArgument, match="exclude each other"):
        await server.call(events.list_, cursor="1", before="1")


async def test_names_are_counted_among_the_newest_events(server: Work):
    for name in ("a", "b", "a", "a"):
        await server.emit(name)

    answer = await server.call(events.names)

    assert [(each.name, each.count) for each in answer.names] == [("a", 3), ("b", 1)]
    assert (answer.scanned, answer.truncated) == (4, False)


async def test_the_input_of_an_invocation_is_no_users_event(server: Work):
    await server.a_function(on=None)
    await server.call(events.invoke, function_id="charge")

    assert await names(server) == []
    assert (await server.call(events.names)).names == []
