"""What can go wrong at `/ws`: readers that stall, sockets cut anywhere, rubbish below the frames, many at once.

IRONFLOW_STORM: how much more than usual is sent to readers that stall, and how many more there are in a crowd (1).
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.wire.plain_socket import plain_socket
from tests.wire.server_process import Server

pytestmark = pytest.mark.processes

WITHIN_S = 60
KILOBYTE = "x" * 1024
STORM = int(os.environ.get("IRONFLOW_STORM", "1"))
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def text_frame(text: str) -> bytes:
    """A masked text frame; the mask is nothing, so that the text can be read in it."""
    data = text.encode()
    length = struct.pack("!B", 0x80 | len(data)) if len(data) < 126 else struct.pack("!BH", 0x80 | 126, len(data))
    return b"\x81" + length + b"\0\0\0\0" + data


class Raw:
    """A connection that has shaken hands, byte by byte; with a small window when it is not going to read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def frame(self) -> dict[str, Any]:
        """The next text frame of the server; pings are passed over."""
        while True:
            first, second = await self.reader.readexactly(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
            data = await self.reader.readexactly(length)
            if first & 0x0F == 1:
                return json.loads(data)

    def cut(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def raw_socket(server: Server, window: int | None = None) -> AsyncIterator[Raw]:
    plain = socket.socket()
    if window is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, server.host_and_port)
    reader, writer = await asyncio.open_connection(sock=plain, limit=4096 if window else 2**20)
    try:
        raw = Raw(reader, writer)
        await raw.send(HANDSHAKE)
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        yield raw
    finally:
        writer.transport.abort()


def subscribe_text(pattern: str, **options: Any) -> str:
    return json.dumps({"type": "subscribe", "subscription": {"pattern": pattern, "options": options}})


async def publish(server: Server, topic: str, count: int, start: int = 0, filling: str = "") -> None:
    """Messages numbered from `start`, in order."""
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=server.address, timeout=WITHIN_S, limits=limits) as client:
        for number in range(start, start + count):
            body = {"topic": topic, "data": [number, filling]}
            assert (await client.post("/api/v1/topics/publish", json=body)).status_code == 200


async def metric(server: Server, name: str) -> float:
    async with httpx.AsyncClient(base_url=server.address, timeout=WITHIN_S) as client:
        text = (await client.get("/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.rsplit(" ", 1)[1])


async def until_metric(server: Server, name: str, value: float) -> None:
    async with asyncio.timeout(WITHIN_S):
        while await metric(server, name) != value:  # noqa: ASYNC110 only the server knows
            await asyncio.sleep(0.05)


SOCKETS = 'ironflow_connections{kind="websocket"}'


# 63 MB, several times what may wait for a reader; few messages, for each of them costs the test a request.
STALL_COUNT, STALL_FILLING = 480 * STORM, 128 * KILOBYTE


@pytest.fixture(scope="module")
def warm_server(server: Server) -> Server:
    """One whose database has filled its caches, so that its memory can be compared."""
    asyncio.run(fill_caches(server))
    return server


async def fill_caches(server: Server) -> None:
    """Publishes as much as a test does, and has it read at once by more than there are connections that read."""
    count = STALL_COUNT // STORM
    await publish(server, "stall.before", count, filling=STALL_FILLING)

    async def read() -> None:
        async with plain_socket(server.address) as reader:
            await reader.subscribe("topic:stall.before", startAfterSequence=0)
            await reader.events(count, WITHIN_S)

    await asyncio.gather(*(read() for _ in range(4)))


@pytest.mark.parametrize("mode", ["drop", "block", "buffer"])
async def test_a_stalled_reader_holds_up_no_other_and_no_memory(warm_server: Server, mode: str):
    server, topic, count, filling = warm_server, f"stall.{mode}", STALL_COUNT, STALL_FILLING
    async with raw_socket(server, window=4096) as stalled, plain_socket(server.address) as reader:
        await stalled.send(text_frame(subscribe_text(f"topic:{topic}", backpressure=mode)))
        assert (await stalled.frame())["results"][0]["status"] == "ok"
        await reader.subscribe(f"topic:{topic}")
        before = await metric(server, "process_resident_memory_bytes")
        publishing = asyncio.create_task(publish(server, topic, count, filling=filling))
        assert [event["data"][0] for event in await reader.events(count, WITHIN_S)] == list(range(count))
        await publishing
        # What is kept for the one that stalls is bounded.
        assert await metric(server, "process_resident_memory_bytes") - before < 45_000_000

        got: list[int] = []
        error = None
        async with asyncio.timeout(WITHIN_S):
            while error is None and (mode != "block" or len(got) < count):
                if mode == "drop" and len(got) >= 60:
                    break
                frame = await stalled.frame()
                if frame["type"] == "event":
                    got.append(frame["data"][0])
                else:
                    error = frame
        if mode == "block":
            assert (got, error) == (list(range(count)), None)
        elif mode == "buffer":
            assert got == list(range(len(got)))
            assert error is not None
            assert (error["type"], error["code"], error["retrying"]) == ("subscription_error", "SLOW_CONSUMER", False)
        else:
            assert got == list(range(len(got)))
            assert await metric(server, "ironflow_subscription_drops_total") > 0


async def test_sockets_cut_at_every_frame_leave_nothing_behind(server: Server):
    await publish(server, "cut", 30)
    for received in range(12):
        async with raw_socket(server) as raw:
            await raw.send(text_frame(subscribe_text("topic:cut", replay=10)))
            for _ in range(received):
                await raw.frame()
            raw.cut()
    whole = text_frame(subscribe_text("topic:cut", replay=10)) + text_frame(json.dumps({"type": "unsubscribe"}))
    for sent in range(0, len(whole), 9):
        async with raw_socket(server) as raw:
            await raw.send(whole[:sent])
            raw.cut()
    await until_metric(server, SOCKETS, 0)
    await until_metric(server, "ironflow_subscriptions", 0)


RUBBISH = [
    b"\x00" * 50,
    b"\xff" * 50,
    # A text frame without a mask, one with reserved bits, an unknown opcode, a control frame that is too long.
    b"\x81\x02hi",
    b"\xf1\x82\0\0\0\0hi",
    b"\x83\x82\0\0\0\0hi",
    b"\x89\xfe\x01\x00" + b"\0" * 260,
    # An impossible length of 2**63 bytes, and a continuation of nothing.
    b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0" + b"x" * 100,
    b"\x80\x82\0\0\0\0hi",
    # A text that is not UTF-8, and the first half of a frame.
    b"\x81\x82\0\0\0\0\xff\xfe",
    b"\x81\xfe\x00",
]


async def test_rubbish_below_the_frames_ends_its_own_socket_at_most(server: Server):
    async with plain_socket(server.address) as other:
        await other.subscribe("topic:rubbish")
        for rubbish in RUBBISH:
            async with raw_socket(server) as raw:
                await raw.send(rubbish)
                with contextlib.suppress(OSError):
                    # It may have been cut off already.
                    raw.writer.write_eof()
                async with asyncio.timeout(WITHIN_S):
                    await raw.reader.read()
        await publish(server, "rubbish", 1)
        assert [event["data"][0] for event in await other.events(1)] == [0]


async def test_a_crowd_receives_everything_though_one_of_them_stops_reading(server: Server):
    async with AsyncExitStack() as stack:
        stalled = await stack.enter_async_context(raw_socket(server, window=4096))
        await stalled.send(text_frame(subscribe_text("topic:crowd.>", backpressure="block")))
        assert (await stalled.frame())["results"][0]["status"] == "ok"
        crowd = [await stack.enter_async_context(plain_socket(server.address)) for _ in range(150 * STORM)]
        await asyncio.gather(*(each.subscribe("topic:crowd.>") for each in crowd))
        publishing = asyncio.create_task(publish(server, "crowd.all", 40, filling=16 * KILOBYTE))
        for each in crowd:
            assert [event["data"][0] for event in await each.events(40, WITHIN_S)] == list(range(40))
        await publishing
    await until_metric(server, SOCKETS, 0)


async def test_a_thousand_patterns_on_one_socket_are_the_most(server: Server):
    async with plain_socket(server.address) as socket_:
        wishes = [{"pattern": f"topic:most.{number}"} for number in range(1_001)]
        await socket_.send(type="subscribe", subscriptions=wishes)
        results = (await socket_.next(WITHIN_S))["results"]
        assert [result["status"] for result in results] == ["ok"] * 1_000 + ["error"]
        assert results[-1]["code"] == "TOO_MANY_SUBSCRIPTIONS"
        await publish(server, "most.999", 1)
        assert len(await socket_.events(1)) == 1
