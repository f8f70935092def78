"""Server-sent events as curl and browsers get them, on both HTTP servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes

WITHIN_S = 10


class EventSource:
    """What a browser makes of the lines: events with `id`, `event` and `data`, and comments."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The next block: an event, or `{"comment": …}`."""
        block: dict[str, str] = {}
        async with asyncio.timeout(WITHIN_S):
            while line := await anext(self._lines):
                name, _, text = line.partition(":")
                place = name or "comment"
                block[place] = f"{block[place]}\n{text.strip()}" if place in block else text.strip()
        return block

    async def event(self) -> tuple[str, Any]:
        """Its id and its data."""
        block = await self.next()
        return block["id"], json.loads(block["data"])


@asynccontextmanager
async def listening(server: Server, headers: dict[str, str] | None = None, **query: Any) -> AsyncIterator[EventSource]:
    async with (
        httpx.AsyncClient(base_url=server.address, timeout=WITHIN_S) as client,
        client.stream("GET", "/api/v1/subscribe", params=query, headers=headers or {}) as response,
    ):
        source = EventSource(response)
        if response.status_code == 200:
            assert await source.next() == {"comment": "subscribed"}
        yield source


async def publish(server: Server, topic: str, data: bytes) -> int:
    async with httpx.AsyncClient(base_url=server.address) as client:
        body = b'{"topic":"' + topic.encode() + b'","data":' + data + b"}"
        return (await client.post("/api/v1/topics/publish", content=body)).json()["sequence"]


async def open_streams(server: Server) -> int:
    async with httpx.AsyncClient(base_url=server.address) as client:
        text = (await client.get("/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith('ironflow_connections{kind="event_stream"}')]
    return int(float(line.split()[1]))


async def until_open(server: Server, count: int) -> None:
    while await open_streams(server) != count:  # noqa: ASYNC110 only the server knows
        await asyncio.sleep(0.05)


async def test_events_come_as_they_happen_with_their_sequence_as_id(server: Server):
    async with listening(server, pattern="topic:sse.live", includeMetadata="true") as source:
        assert source.response.headers["content-type"] == "text/event-stream"
        sequence = await publish(server, "sse.live", b'{"big": 12345678901234567890,\n"two": "lines"}')
        identity, event = await source.event()

    assert identity == str(sequence)
    assert (event["topic"], event["data"]) == ("topic:sse.live", {"big": 12345678901234567890, "two": "lines"})
    assert event["metadata"]["source"] == "publish"


async def test_a_browser_that_connects_again_goes_on_where_it_stopped(server: Server):
    sequences = [await publish(server, "sse.again", str(number).encode()) for number in range(4)]
    async with listening(server, pattern="topic:sse.again", replay=3) as source:
        assert [(await source.event())[1]["data"] for _ in range(3)] == [1, 2, 3]
    last_seen = {"Last-Event-ID": str(sequences[1])}
    async with listening(server, last_seen, pattern="topic:sse.again", replay=3) as source:
        assert [(await source.event())[1]["data"] for _ in range(2)] == [2, 3]
        await publish(server, "sse.again", b"4")
        assert (await source.event())[1]["data"] == 4


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"pattern": "a..b"}, "INVALID_PATTERN"),
        ({"pattern": "a", "filter": "data.("}, "INVALID_EXPRESSION"),
        ({"pattern": "a", "replay": "1", "after": "1"}, "INVALID_SUBSCRIPTION"),
        ({"pattern": "a", "after": "soon"}, "VALIDATION_ERROR"),
        ({}, "VALIDATION_ERROR"),
    ],
)
async def test_a_bad_wish_is_answered_with_400_and_not_with_a_stream(
    server: Server, query: dict[str, str], reason: str
):
    async with httpx.AsyncClient(base_url=server.address) as client:
        answer = await client.get("/api/v1/subscribe", params=query)
        assert (answer.status_code, answer.json()["reason"]) == (400, reason)
        assert (await client.post("/api/v1/subscribe", params=query)).status_code == 405


async def test_a_stream_ends_soon_after_its_client_disconnects(server: Server):
    async with asyncio.timeout(WITHIN_S):
        # Those of other tests are looked at once a second.
        await until_open(server, 0)
        async with listening(server, pattern="topic:sse.gone"):
            await until_open(server, 1)
        await until_open(server, 0)


async def test_streams_end_when_the_server_stops(tmp_path_factory: pytest.TempPathFactory):
    for http_server in ("h2corn", "granian"):
        with a_server(tmp_path_factory.mktemp(http_server), http_server=http_server) as server:
            async with listening(server, pattern="topic:sse.end") as source:
                stopping = asyncio.create_task(asyncio.to_thread(server.stop))
                with pytest.raises((StopAsyncIteration, httpx.HTTPError)):
                    await source.next()
            assert await stopping == 0
