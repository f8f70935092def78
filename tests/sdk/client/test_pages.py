"""Lists page by page: `client.runs.list(...).page(limit=, cursor=)`."""

from typing import Any

import pytest

from ironflow import Client, Context, function, sync
from ironflow.base.errors import InvalidArgument
from ironflow.projection import projection
from ironflow.sdk.client.connection.listing import Listing
from ironflow.sdk.client.connection.paging import Page
from ironflow.testing import time_machine
from tests.sdk.client.fake_transport import FakeAsyncTransport, FakeSyncTransport, answer
from tests.sdk.client.test_hooks import made_up, methods


async def walked(listing: Any, limit: int) -> list[Page[Any]]:
    pages = [await listing.page(limit=limit)]
    while pages[-1].next_cursor is not None:
        pages.append(await listing.page(limit=limit, cursor=pages[-1].next_cursor))
    return pages


async def test_pages_have_what_the_iterator_has():
    @function("greet", on="visitor.*")
    async def greet(ctx: Context) -> None:
        pass

    @projection("counts", events=["visitor.*"], initial_state={})
    def counts(state: Any, event: Any) -> Any:
        return state

    @projection("others", events=["visitor.*"], initial_state={})
    def others(state: Any, event: Any) -> Any:
        return state

    async with time_machine([greet]) as machine:
        client = machine.client
        for number in range(5):
            await client.emit("visitor.arrived", number)
            await client.streams.append("visitor-1", "visitor.moved", number, entity_type="visitor")
        for each in (counts, others):
            await client.projections.register(each)
        listed = {
            "runs": (client.runs.list(function_id="greet"), client.runs.list(function_id="greet"), 10),
            "events": (client.events.list(name="visitor.arrived"), client.events.list(name="visitor.arrived"), None),
            "stream": (client.streams.read("visitor-1"), client.streams.read("visitor-1"), 5),
            "history": (client.streams.history("visitor-1"), client.streams.history("visitor-1"), None),
            "projections": (client.projections.list(), client.projections.list(), 2),
            "functions": (client.functions.list(), client.functions.list(), 1),
        }
        for name, (listing, again, total) in listed.items():
            pages = await walked(listing, 2)
            assert [item for page in pages for item in page.items] == [item async for item in again], name
            assert all(len(page.items) == 2 for page in pages[:-1]), name
            assert pages[-1].next_cursor is None
            if total is not None:
                assert pages[0].total_count == total, name


async def test_a_page_asks_for_its_limit_and_cursor_with_the_list_s_filters():
    network = FakeAsyncTransport().gives(answer({"runs": [], "next_cursor": "c2", "total_count": 7}))
    async with Client("http://x", transport=network) as client:
        listing = client.runs.list(status="failed", page_size=50)
        first = await listing.page()
        await listing.page(limit=25, cursor=first.next_cursor)

    assert first == Page([], "c2", 7)
    assert [each.path for each in network.sent] == [
        "/api/v1/runs?status=failed&limit=50",
        "/api/v1/runs?status=failed&limit=25&cursor=c2",
    ]


def test_scripts_have_pages_too():
    network = FakeSyncTransport().gives(answer({"buckets": [], "count": 0, "next_cursor": ""}))
    with sync.Client("http://x", transport=network) as client:
        assert client.kv.buckets().page(limit=3) == Page([], None, None)
        assert list(client.kv.buckets(page_size=9)) == []

    assert [each.path.partition("?")[2] for each in network.sent] == ["limit=3", "limit=9"]


async def test_what_is_no_cursor_is_refused():
    async with Client("http://x", transport=FakeAsyncTransport()) as client:
        with pytest.raises(InvalidArgument, match="no cursor of this list"):
            await client.projections.list().page(cursor="x")
        with pytest.raises(InvalidArgument, match="no cursor of this list"):
            await client.streams.read("e").page(cursor="-1")


async def test_a_list_is_iterated_over_once():
    network = FakeAsyncTransport().gives(answer({"buckets": [], "count": 0, "next_cursor": None}))
    async with Client("http://x", transport=network) as client:
        buckets = client.kv.buckets()
        assert [each async for each in buckets] == []
        assert [each async for each in buckets] == []
        await buckets.aclose()

    assert len(network.sent) == 1


LISTS = [name for name in sorted(methods(Client("http://x"))) if name.endswith(".list")]


@pytest.mark.parametrize("name", LISTS)
def test_every_list_has_pages(name: str):
    method = methods(Client("http://x"))[name]
    assert isinstance(method(**made_up(method)), Listing)


def test_there_are_many_lists():
    assert len(LISTS) > 25


async def test_a_list_that_is_awaited_raises_how_to_read_it():
    async with Client("http://none.invalid") as client:
        with pytest.raises(TypeError, match=r"`async for` where .* `\.page\(limit=25\)`"):
            await client.runs.list()
