"""Subscriptions behind a proxy that lets no WebSocket and no HTTP/2 through."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from ironflow import Client, detect_transport
from ironflow.base.errors import IronflowError
from ironflow.sdk.wire.transport import CannotConnect
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes

WITHIN_S = 30
STRIP, CUT = "strip", "cut"


class Proxy:
    """Passes requests of HTTP/1.1 on. refuses: what becomes of an Upgrade: a status, STRIP or CUT.

    upgrades: so many were refused. paths: of the requests that were passed on.
    """

    def __init__(self, server: str, refuses: int | str) -> None:
        self._server, self._refuses = urlsplit(server), refuses
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[Any] | None] = set()
        self.upgrades = 0
        self.paths: list[str] = []
        self.others: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._serving.add(asyncio.current_task())
        upstream: asyncio.StreamWriter | None = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, version = head.split(b"\r\n", 1)[0].decode().split(" ")
            if version != "HTTP/1.1":
                self.others.append(method)
                writer.write(b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-length: 0\r\n\r\n")
                return
            lines = head.split(b"\r\n")
            if any(line.lower().startswith(b"upgrade:") for line in lines):
                self.upgrades += 1
                if self._refuses == CUT:
                    return
                if self._refuses != STRIP:
                    writer.write(f"HTTP/1.1 {self._refuses} No\r\ncontent-length: 0\r\n\r\n".encode())
                    return
                # The header of one hop, as RFC 9110 says; what is left is a plain GET.
                lines = [each for each in lines if not each.lower().startswith((b"upgrade:", b"connection:"))]
            self.paths.append(path)
            # One request for each connection.
            lines.insert(1, b"Connection: close")
            found, upstream = await asyncio.open_connection(self._server.hostname, self._server.port)
            self._open.add(upstream)
            upstream.write(b"\r\n".join(each for each in lines if each.lower() != b"connection: keep-alive"))
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass(reader, upstream))
                both.create_task(_pass(found, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for each in filter(None, (writer, upstream)):
                self._open.discard(each)
                each.close()
            self._serving.discard(asyncio.current_task())

    async def close(self) -> None:
        self.cut()
        await asyncio.gather(*filter(None, self._serving))

    def cut(self) -> None:
        for each in self._open:
            each.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(65_536):
        writer.write(part)
    with suppress(OSError):
        writer.write_eof()


@asynccontextmanager
async def a_proxy(server: str, refuses: int | str) -> AsyncIterator[tuple[str, Proxy]]:
    proxy = Proxy(server, refuses)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", proxy
    finally:
        listening.close()
        await proxy.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.mark.parametrize("refuses", [400, 403, 404, 405, 426, 501, 502, STRIP, CUT])
async def test_auto_follows_by_streams_where_a_proxy_refuses_the_websocket(server: Server, refuses: int | str):
    topic = f"sdk.proxy.{refuses}"
    async with a_proxy(server.address, refuses) as (address, proxy), Client(address) as client:
        await client.publish(topic, 1)
        async with (
            asyncio.timeout(WITHIN_S),
            client.subscribe(f"topic:{topic}", replay=1, transport="auto") as events,
        ):
            assert (await anext(events)).data == 1
            # It goes on by streams, without another try.
            proxy.cut()
            await client.publish(topic, 2)
            assert (await anext(events)).data == 2
    # A connection that is cut off is opened twice by the HTTP client.
    assert proxy.upgrades == (2 if refuses == CUT else 1)
    assert sum(path.endswith("/Subscribe") for path in proxy.paths) >= 2


@pytest.mark.parametrize("refuses", [403, STRIP, CUT])
async def test_what_passes_is_detected(server: Server, refuses: int | str):
    async with a_proxy(server.address, refuses) as (address, _):
        assert await detect_transport(address) == "grpc"
    assert await detect_transport(server.address) == "websocket"
    with pytest.raises(CannotConnect, match="Is it running"):
        await detect_transport(address)


@pytest.mark.parametrize("refuses", [403, CUT])
async def test_a_websocket_that_is_asked_for_by_name_is_not_replaced(server: Server, refuses: int | str):
    async with a_proxy(server.address, refuses) as (address, proxy), Client(address) as client:
        with pytest.raises(IronflowError):
            await anext(client.subscribe("topic:sdk.proxy", transport="websocket"))
    assert proxy.upgrades
    assert not proxy.paths


@pytest.mark.parametrize("transport", ["grpc", "auto"])
async def test_members_of_groups_settle_their_events_by_requests_there(server: Server, transport: Any):
    topic, group = f"sdk.proxy.members.{transport}", f"sdk-proxy-{transport}"
    async with a_proxy(server.address, 403) as (address, proxy), Client(address) as client:
        await client.consumer_groups.create(group, f"topic:{topic}", ack="manual")
        await client.publish(topic, 1)
        async with (
            asyncio.timeout(WITHIN_S),
            client.subscribe(f"topic:{topic}", group=group, ack="manual", transport=transport) as events,
        ):
            event = await anext(events)
            assert await event.ack()
        assert (await client.consumer_groups.get(group)).in_flight == 0
    assert proxy.others == (["PRI"] if transport == "grpc" else [])
    assert any(path.endswith("/consumer-groups/ack") for path in proxy.paths)


async def test_without_a_proxy_acks_go_over_the_stream_that_brings_the_events(server: Server):
    async with Client(server.address) as client, asyncio.timeout(WITHIN_S):
        group = client.consumer_groups
        await group.create("sdk-both-ways", "topic:sdk.both", ack="manual", redeliver_delay="1ms", max_redeliveries=9)
        for number in range(3):
            await client.publish("sdk.both", number)
        requests = client._calls.call
        asked: list[str] = []

        async def call(operation: Any, request: Any, **more: Any) -> Any:
            asked.append(operation.name)
            return await requests(operation, request, **more)

        client._calls.call = call
        seen: list[tuple[int, int]] = []
        async with client.subscribe("topic:sdk.both", group="sdk-both-ways", ack="manual", transport="grpc") as events:
            async for event in events:
                seen.append((event.data, event.attempt))
                if event.attempt == 1 and event.data == 0:
                    assert await event.nak()
                elif event.data == 1:
                    assert await event.term()
                else:
                    assert await event.ack()
                    # It is settled: another ack changes nothing.
                    assert not await event.ack()
                if len(seen) == 4:
                    break
        client._calls.call = requests
        found = await group.get("sdk-both-ways")

    assert sorted(seen) == [(0, 1), (0, 2), (1, 1), (2, 1)]
    assert "consumer_groups.ack" not in asked
    assert (found.in_flight, found.waiting, found.dead_letters) == (0, 0, 1)
