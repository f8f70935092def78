"""Question: how soon is a published message at its subscribers, with 10 and with 200 of them?

Method: subscribers of one topic, each on a WebSocket of its own in one process that reads without a library; 100
messages a second by one publisher over REST, each carrying the moment of its sending on the clock that both share. A
time is from before the publish, whose fsync it contains, to the frame's arrival. Then as many messages as the publisher
gets through, counted where they arrive.
"""

import asyncio
import contextlib
import statistics
import struct
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from benchmarks.answers import Figure
from benchmarks.processes import Ground, Process

PACED = 300
PACE_S = 0.01
FLOOD_S = 3.0
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Reader(asyncio.Protocol):
    """One subscriber. Notes for each message how long it took."""

    def __init__(self, topic: str, took_s: list[float]) -> None:
        self._wish = msgspec.json.encode({"type": "subscribe", "subscription": {"pattern": f"topic:{topic}"}})
        self._took_s = took_s
        self._data = bytearray()
        self._shaken = False
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport: Any = transport
        self._transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self._data += data
        if not self._shaken:
            head, end, rest = bytes(self._data).partition(b"\r\n\r\n")
            if not end:
                return
            assert b" 101 " in head, head
            self._shaken, self._data = True, bytearray(rest)
            self._transport.write(masked(self._wish))
        while (frame := self._frame()) is not None:
            if not self.subscribed.done():
                self.subscribed.set_result(None)
            elif frame:
                self.received += 1
                self._took_s.append(now - float(frame.partition(b'"data":')[2].partition(b",")[0]))

    def _frame(self) -> bytes | None:
        """The next text, empty for a ping; None when it is not all there."""
        data = self._data
        if len(data) < 2:
            return None
        length, start = data[1] & 0x7F, 2
        if length == 126:
            if len(data) < 4:
                return None
            (length,), start = struct.unpack_from("!H", data, 2), 4
        if len(data) < start + length:
            return None
        text = bytes(data[start : start + length]) if data[0] & 0x0F == 1 else b""
        del data[: start + length]
        return text

    def close(self) -> None:
        self._transport.close()


def masked(text: bytes) -> bytes:
    return struct.pack("!BB", 0x81, 0x80 | len(text)) + b"\0\0\0\0" + text


async def run(ground: Ground) -> list[Figure]:
    server, address = await ground.server()
    figures: list[Figure] = []
    for subscribers, target_ms in ((10, 1.0), (200, 5.0)):
        paced, flood, spent_us = await measured(server, address, subscribers)
        name = f"with {subscribers} subscribers"
        figures += [
            Figure(
                name=f"publish to receipt {name}, p50",
                value=statistics.median(paced) * 1e3,
                unit="ms",
                target=target_ms,
                better="less",
            ),
            Figure(
                name=f"publish to receipt {name}, p99",
                value=statistics.quantiles(paced, n=100)[98] * 1e3,
                unit="ms",
                better="less",
            ),
            Figure(name=f"receipts {name}", value=flood, unit="/s"),
            Figure(name=f"processor time of the server for a receipt {name}", value=spent_us, unit="µs", better="less"),
        ]
    return figures


async def measured(server: Process, address: str, subscribers: int) -> tuple[list[float], float, float]:
    """Seconds of the paced messages, receipts a second of the others, and the server's microseconds for each."""
    topic = f"fanout.{subscribers}"
    took_s: list[float] = []
    readers = [await connected(address, topic, took_s) for _ in range(subscribers)]
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(*(reader.subscribed for reader in readers))
        async with httpx.AsyncClient(base_url=address) as client:
            for _ in range(PACED):
                await publish(client, topic)
                await asyncio.sleep(PACE_S)
            await until(readers, PACED)
            paced = list(took_s)
            spent, begun, count = server.cpu_seconds(), time.perf_counter(), 0
            while time.perf_counter() - begun < FLOOD_S:
                await asyncio.gather(*(publish(client, topic) for _ in range(8)))
                count += 8
            await until(readers, PACED + count)
            receipts = count * subscribers
            took = time.perf_counter() - begun
            return paced, receipts / took, (server.cpu_seconds() - spent) / receipts * 1e6
    finally:
        for reader in readers:
            reader.close()


async def connected(address: str, topic: str, took_s: list[float]) -> Reader:
    place = urlsplit(address)
    _, reader = await asyncio.get_running_loop().create_connection(
        lambda: Reader(topic, took_s), place.hostname or "", place.port or 0
    )
    return reader


async def publish(client: httpx.AsyncClient, topic: str) -> None:
    body = msgspec.json.encode({"topic": topic, "data": time.perf_counter()})
    (await client.post("/api/v1/topics/publish", content=body)).raise_for_status()


async def until(readers: list[Reader], count: int) -> None:
    """Returns when everybody has received so many; says how far it came when that takes too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while any(reader.received < count for reader in readers):  # noqa: ASYNC110 looks at what protocols count
                await asyncio.sleep(0.01)
            return
    raise RuntimeError(f"{min(reader.received for reader in readers)} of {count} messages came")
