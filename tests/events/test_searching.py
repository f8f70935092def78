"""A log that is larger than what one request looks at is searched in pieces, and nothing is missed."""

from typing import Any

import pytest

from ironflow.features.events import contract as events
from ironflow.features.events import searching
from tests.support.work import Work, text_of


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch):
    """Pieces of three positions, two in a request."""
    monkeypatch.setattr(searching, "PIECE", 3)
    monkeypatch.setattr(searching, "PIECES_MAX", 2)


async def walk(server: Work, *, forward: bool = False, **filters: Any) -> tuple[list[Any], int]:
    """The data of all events that pass, in the order of reading, and how many requests that took."""
    found: list[Any] = []
    requests, cursor = 0, "0" if forward else ""
    while True:
        page = await server.call(events.list_, limit=2, **{"before" if forward else "cursor": cursor}, **filters)
        requests += 1
        data = [int(bytes(each.data)) for each in page.events]
        found += reversed(data) if forward else data
        more = page.has_prev if forward else page.has_next
        cursor = (page.prev_cursor if forward else page.next_cursor) or ""
        if not more:
            return found, requests
        assert cursor


async def a_log(server: Work) -> None:
    """40 events: number 7 and 31 are called `rare`, each tenth comes from another environment."""
    for number in range(40):
        name = "rare" if number in (7, 31) else f"common.{number % 2}"
        await server.emit(name, number, env="other" if number % 10 == 0 else "default")
        server.move(60_000)


@pytest.mark.parametrize("forward", [False, True])
async def test_every_event_that_passes_is_found_once_in_order(server: Work, forward: bool):
    await a_log(server)
    mine = [number for number in range(40) if number % 10]
    expected = {
        "all": mine,
        "rare": [7, 31],
        "one": [31],
        "even": [number for number in mine if number % 2 == 0],
    }
    asked = {"all": {}, "rare": {"name": "rare"}, "one": {"search": "31"}, "even": {"name": "common.0"}}

    for case, filters in asked.items():
        found, _ = await walk(server, forward=forward, **filters)
        assert found == (expected[case] if forward else expected[case][::-1]), case
    assert (await walk(server, forward=forward, env="other"))[0] == ([0, 10, 20, 30] if forward else [30, 20, 10, 0])
    assert (await walk(server, forward=forward, env="empty"))[0] == []
    assert (await walk(server, forward=forward, name="nothing.>"))[0] == []


async def test_a_rare_name_is_found_by_its_index_and_not_by_reading_all(server: Work):
    await a_log(server)

    found, requests = await walk(server, name="rare")

    # 40 events are 14 pieces, seven requests.
    assert (found, requests) == ([31, 7], 1)


async def test_a_page_may_be_empty_and_lead_on(server: Work):
    await a_log(server)

    page = await server.call(events.list_, limit=2, search='"in no event"')

    assert (page.events, page.has_next) == ([], True)
    assert (await walk(server, search='"in no event"'))[0] == []


async def test_times_are_found_without_reading_what_lies_before_and_after(server: Work):
    began = server.now
    await a_log(server)

    found, requests = await walk(server, since=text_of(began + 15 * 60_000), until=text_of(began + 18 * 60_000))

    assert found == [17, 16, 15]
    # Two minutes of slack at both ends: three pieces.
    assert requests <= 3
