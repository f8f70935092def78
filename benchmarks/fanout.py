"""Question: how soon is a published message at its subscribers, with 10 and with 200 of them, and do 200 keep up with
1,000 messages a second?

Method: subscribers of one topic, each on a WebSocket of its own in one process that reads without a library; 100
messages a second by one publisher over REST, each with its send time on the clock that both share. A
time is from before the publish, whose fsync it contains, to the frame's arrival. Then as many messages as publishers
get through, counted where they arrive. Last, 1,000 messages a second for a while, whether the subscribers keep up or
not: how many a second each of them got until the last one had all.
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
from benchmarks.load import Connection, Reply, connect, request_of
from benchmarks.processes import Process, Workspace

PACED = 300
PACE_S = 0.01
FLOOD_S = 3.0
PUBLISHERS = 8
STREAM, STREAM_S = 1_000, 4.0
WITHIN_S = 60
EVENT = b'{"type":"event"'
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


class Reader(asyncio.Protocol):
    """One subscriber. Records the delay of each message."""

    def __init__(self, topic: str, took_s: list[float], api_key: str = "") -> None:
        self._handshake = HANDSHAKE + (f"Authorization: Bearer {api_key}\r\n\r\n" if api_key else "\r\n").encode()
        self._request = msgspec.json.encode({"type": "subscribe", "subscription": {"pattern": f"topic:{topic}"}})
        self._took_s = took_s
        self._data = bytearray()
        self._shaken = False
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0
        # Only counts, which uses little CPU time: the server is measured.
        self.counts = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport: Any = transport
        self._transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if self.counts:
            self._count(data)
            return
        self._data += data
        if not self._shaken:
            head, end, rest = bytes(self._data).partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head:
                self.subscribed.set_exception(RuntimeError(f"the server refused the socket: {head!r}"))
                return
            self._shaken, self._data = True, bytearray(rest)
            self._transport.write(masked(self._request))
        while (frame := self._frame()) is not None:
            if not self.subscribed.done():
                self.subscribed.set_result(None)
            elif frame:
                self.received += 1
                self._took_s.append(now - float(frame.partition(b'"data":')[2].partition(b",")[0]))

    def _count(self, data: bytes) -> None:
        # The incomplete end of the last chunk may be the start of an event.
        data = bytes(self._data) + data
        self.received += data.count(EVENT)
        self._data = bytearray(data[-len(EVENT) + 1 :])

    def _frame(self) -> bytes | None:
        """The next text frame, empty for a ping; None when it is incomplete."""
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


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    figures: list[Figure] = []
    for subscribers, target_ms in ((10, 1.0), (200, 5.0)):
        paced, flood, spent_us, kept_up = await measured(server, address, subscribers)
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
            Figure(
                name=f"messages a second at each of {subscribers} subscribers, {STREAM:,} published",
                value=kept_up,
                unit="/s",
                target=STREAM * 0.95,
            ),
        ]
    return figures


async def measured(server: Process, address: str, subscribers: int) -> tuple[list[float], float, float, float]:
    """Seconds of the paced messages, receipts a second of the others, the server's microseconds for each, and messages
    a second that reached all subscribers when STREAM were published.
    """
    topic = f"fanout.{subscribers}"
    took_s: list[float] = []
    readers = [await connected(address, topic, took_s) for _ in range(subscribers)]
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(*(reader.subscribed for reader in readers))
        publisher = await Publisher.connected(address, topic)
        for _ in range(PACED):
            await publisher.publish()
            await asyncio.sleep(PACE_S)
        # Not earlier: the server closes idle connections.
        publishers = [publisher, *[await Publisher.connected(address, topic) for _ in range(PUBLISHERS - 1)]]
        await until(readers, PACED)
        paced = list(took_s)
        for reader in readers:
            reader.counts = True
        spent, begun = server.cpu_seconds(), time.perf_counter()
        sent = await flooded(publishers)
        await until(readers, PACED + sent)
        receipts = sent * subscribers
        flood = receipts / (time.perf_counter() - begun)
        spent_us = (server.cpu_seconds() - spent) / receipts * 1e6
        begun = time.perf_counter()
        streamed = await streaming(publishers)
        await until(readers, PACED + sent + streamed)
        kept_up = streamed / (time.perf_counter() - begun)
        for publisher in publishers:
            publisher.close()
        return paced, flood, spent_us, kept_up
    finally:
        for reader in readers:
            reader.close()


async def receipt_us(server: Process, address: str, api_key: str) -> float:
    """The server's microseconds for each receipt of what publishers get through, with 10 subscribers."""
    topic = f"fanout.{time.perf_counter_ns()}"
    readers = [await connected(address, topic, [], api_key) for _ in range(10)]
    publishers = [await Publisher.connected(address, topic, api_key) for _ in range(PUBLISHERS)]
    try:
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*(reader.subscribed for reader in readers))
        for reader in readers:
            reader.counts = True
        spent = server.cpu_seconds()
        sent = await flooded(publishers)
        await until(readers, sent)
        return (server.cpu_seconds() - spent) / (sent * len(readers)) * 1e6
    finally:
        for each in (*readers, *publishers):
            each.close()


async def connected(address: str, topic: str, took_s: list[float], api_key: str = "") -> Reader:
    place = urlsplit(address)
    _, reader = await asyncio.get_running_loop().create_connection(
        lambda: Reader(topic, took_s, api_key), place.hostname or "", place.port or 0
    )
    return reader


class Publisher:
    """One connection that publishes, one message at a time."""

    def __init__(self, topic: str, api_key: str = "") -> None:
        self._topic = topic
        self._api_key = api_key
        self._connection: Connection
        self._answered: asyncio.Future[None] | None = None

    @classmethod
    async def connected(cls, address: str, topic: str, api_key: str = "") -> "Publisher":
        publisher = cls(topic, api_key)
        publisher._connection = await connect(address, publisher._replied, lambda: None)
        return publisher

    async def publish(self) -> None:
        """Returns when the message is on disk."""
        self._answered = asyncio.get_running_loop().create_future()
        body = msgspec.json.encode({"topic": self._topic, "data": time.perf_counter()})
        self._connection.send(request_of("POST", "/api/v1/topics/publish", body, self._api_key))
        await self._answered

    def _replied(self, reply: Reply) -> None:
        assert reply.status == 200, reply
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def close(self) -> None:
        self._connection.close()


async def flooded(publishers: list[Publisher]) -> int:
    """Publishes without pause for FLOOD_S; returns the number of messages."""
    end = time.perf_counter() + FLOOD_S

    async def keep_on(publisher: Publisher) -> int:
        count = 0
        while time.perf_counter() < end:
            await publisher.publish()
            count += 1
        return count

    return sum(await asyncio.gather(*map(keep_on, publishers)))


async def streaming(publishers: list[Publisher]) -> int:
    """STREAM messages a second for STREAM_S, as far as the server keeps up; returns the number of messages."""
    begun, total = time.perf_counter(), int(STREAM * STREAM_S)
    numbers = iter(range(total))

    async def keep_pace(publisher: Publisher) -> None:
        for number in numbers:
            await asyncio.sleep(begun + number / STREAM - time.perf_counter())
            await publisher.publish()

    await asyncio.gather(*map(keep_pace, publishers))
    return total


async def publish(client: httpx.AsyncClient, topic: str) -> None:
    body = msgspec.json.encode({"topic": topic, "data": time.perf_counter()})
    (await client.post("/api/v1/topics/publish", content=body)).raise_for_status()


async def until(readers: list[Reader], count: int) -> None:
    """Returns when every reader has received `count` messages. Raises RuntimeError after a timeout."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WITHIN_S):
            while any(reader.received < count for reader in readers):  # noqa: ASYNC110 polls the counters of protocols
                await asyncio.sleep(0.01)
            return
    raise RuntimeError(f"{min(reader.received for reader in readers)} of {count} messages arrived")
