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
    """Forwards requests of HTTP/1.1, and refuses to upgrade a connection.

    refuses: how; a status is the response, STRIP removes the header and forwards the rest, CUT closes the connection.
    upgrades: how many were refused. paths: of the requests that were forwarded. other_methods: of the requests that
    were not HTTP/1.1.
    """

    def __init__(self, server: str, refuses: int | str) -> None:
        self._server, self._refuses = urlsplit(server), refuses
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[Any] | None] = set()
        self.upgrades = 0
        self.paths: list[str] = []
        self.other_methods: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._serving.add(asyncio.current_task())
        to_server: asyncio.StreamWriter | None = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, version = head.split(b"\r\n", 1)[0].decode().split(" ")
            if version != "HTTP/1.1":
                self.other_methods.append(method)
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
                # Both headers are for one hop only (RFC 9110, 7.6.1, 7.8). The rest is a plain GET.
                lines = [each for each in lines if not each.lower().startswith((b"upgrade:", b"connection:"))]
            self.paths.append(path)
            # A connection carries one request.
            lines.insert(1, b"Connection: close")
            from_server, to_server = await asyncio.open_connection(self._server.hostname, self._server.port)
            self._open.add(to_server)
            to_server.write(b"\r\n".join(each for each in lines if each.lower() != b"connection: keep-alive"))
            async with asyncio.TaskGroup() as directions:
                directions.create_task(_forward(reader, to_server))
                directions.create_task(_forward(from_server, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for each in filter(None, (writer, to_server)):
                self._open.discard(each)
                each.close()
            self._serving.discard(asyncio.current_task())

    async def close(self) -> None:
        self.cut()
        await asyncio.gather(*filter(None, self._serving))

    def cut(self) -> None:
        for each in self._open:
            each.transport.abort()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
    with suppress(OSError):
        writer.write_eof()


@asynccontextmanager
async def a_proxy(server: str, refuses: int | str) -> AsyncIterator[tuple[str, Proxy]]:
    """The address of a proxy in front of `server`, and the proxy."""
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
async def test_auto_falls_back_to_http_streams_where_a_proxy_refuses_the_websocket(server: Server, refuses: int | str):
    topic = f"sdk.proxy.{refuses}"
    async with a_proxy(server.address, refuses) as (address, proxy), Client(address) as client:
        await client.publish(topic, 1)
        async with (
            asyncio.timeout(WITHIN_S),
            client.subscribe(f"topic:{topic}", replay=1, transport="auto") as events,
        ):
            assert (await anext(events)).data == 1
            # It connects again by an HTTP stream at once, without trying the WebSocket again.
            proxy.cut()
            await client.publish(topic, 2)
            assert (await anext(events)).data == 2
    # The HTTP client itself repeats a request whose connection is closed without a response.
    assert proxy.upgrades == (2 if refuses == CUT else 1)
    assert sum(path.endswith("/Subscribe") for path in proxy.paths) >= 2


@pytest.mark.parametrize("refuses", [403, STRIP, CUT])
async def test_the_transport_that_the_proxy_lets_through_is_detected(server: Server, refuses: int | str):
    async with a_proxy(server.address, refuses) as (address, _):
        assert await detect_transport(address) == "grpc"
    assert await detect_transport(server.address) == "websocket"
    # The proxy is closed.
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
async def test_behind_a_proxy_members_of_groups_settle_their_events_by_requests(server: Server, transport: Any):
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
    # PRI begins the preface of HTTP/2, which `grpc` tries first.
    assert proxy.other_methods == (["PRI"] if transport == "grpc" else [])
    assert any(path.endswith("/consumer-groups/ack") for path in proxy.paths)


async def test_without_a_proxy_acks_are_sent_on_the_stream_that_delivers_the_events(server: Server):
    async with Client(server.address) as client, asyncio.timeout(WITHIN_S):
        groups = client.consumer_groups
        await groups.create("sdk-both-ways", "topic:sdk.both", ack="manual", redeliver_delay="1ms", max_redeliveries=9)
        for number in range(3):
            await client.publish("sdk.both", number)
        original_call = client._calls.call
        called: list[str] = []

        async def call(operation: Any, request: Any, **more: Any) -> Any:
            called.append(operation.name)
            return await original_call(operation, request, **more)

        client._calls.call = call
        deliveries: list[tuple[int, int]] = []
        async with client.subscribe("topic:sdk.both", group="sdk-both-ways", ack="manual", transport="grpc") as events:
            async for event in events:
                deliveries.append((event.data, event.attempt))
                if event.attempt == 1 and event.data == 0:
                    assert await event.nak()
                elif event.data == 1:
                    assert await event.term()
                else:
                    assert await event.ack()
                    # It is settled: another ack does not count.
                    assert not await event.ack()
                if len(deliveries) == 4:
                    break
        client._calls.call = original_call
        group = await groups.get("sdk-both-ways")

    assert sorted(deliveries) == [(0, 1), (0, 2), (1, 1), (2, 1)]
    assert "consumer_groups.ack" not in called
    assert (group.in_flight, group.waiting, group.dead_letters) == (0, 0, 1)
