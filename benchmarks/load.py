"""Load over HTTP/1.1 with little CPU time of its own, so that the figures are those of the server.

Hand-written: one request at a time on a keep-alive connection, only the required headers.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast
from urllib.parse import urlsplit

ROUNDS = 3


class Reply(NamedTuple):
    status: int
    body: bytes


def request_of(method: str, path: str, body: bytes = b"", api_key: str = "") -> bytes:
    """The bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if api_key:
        head += f"Authorization: Bearer {api_key}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Connection(asyncio.Protocol):
    """One keep-alive connection. on_reply: called with each response; on_lost: called when the connection is lost."""

    def __init__(self, on_reply: Callable[[Reply], None], on_lost: Callable[[], None]) -> None:
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of WriteTransport.
        self._transport = cast(asyncio.WriteTransport, transport)

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head = buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 : at + 25].split(b"\r")[0]) if at >= 0 else 0
            over = end + 4 + length
            if len(buffer) < over:
                break
            reply = Reply(int(buffer[9:12]), buffer[end + 4 : over])
            buffer = buffer[over:]
            self._on_reply(reply)
        self._buffer = buffer

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()


async def connect(address: str, on_reply: Callable[[Reply], None], on_lost: Callable[[], None]) -> Connection:
    """A connection to `http://host:port`."""
    at = urlsplit(address)
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(on_reply, on_lost), at.hostname or "127.0.0.1", at.port or 80
    )
    return connection


@dataclass
class Measured:
    """The figures of a load.

    latencies_ms: of the requests answered within the time, sorted; wrong: other responses. spent_s: CPU time that
    the server used meanwhile, which is more reliable than the rate on a shared machine.
    """

    seconds: float = 0.0
    spent_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds

    @property
    def spent_us(self) -> float:
        """CPU time for one response, in microseconds."""
        return self.spent_s / len(self.latencies_ms) * 1e6

    def percentile(self, percent: float) -> float:
        return percentile(self.latencies_ms, percent)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the sorted `values` do not exceed."""
    return values[min(int(len(values) * percent / 100), len(values) - 1)]


class ClosedLoop:
    """`writers` connections, each sends its next request after the response to the previous one.

    next_request: the bytes to send, given a running number. right: whether a response is correct. spent_s: returns the
    CPU time that a process has used so far; its increase is measured, too.
    """

    def __init__(
        self,
        address: str,
        writers: int,
        next_request: Callable[[int], bytes],
        right: Callable[[Reply], bool],
        spent_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._address = address
        self._writers = writers
        self._next_request = next_request
        self._right = right
        self._spent_s = spent_s
        self._number = 0

    async def best(self, seconds: float, warm_up_s: float = 0.5) -> Measured:
        """The best of three rounds that together last `seconds`, after a warm-up.

        The other rounds were slowed down by other processes of the machine. Raises RuntimeError for wrong responses.
        """
        await self.run(warm_up_s)
        rounds = [await self.run(seconds / ROUNDS) for _ in range(ROUNDS)]
        return max(rounds, key=lambda each: each.per_second)

    async def run(self, seconds: float, count: int = 10**9) -> Measured:
        """Loads for `seconds`, or until `count` responses have arrived. Raises RuntimeError for wrong responses."""
        before = self._spent_s()
        measured = await self._once(seconds, count)
        measured.spent_s = self._spent_s() - before
        if measured.wrong or not measured.latencies_ms:
            raise RuntimeError(f"the server gave wrong answers: {measured.wrong.most_common(3)}")
        return measured

    async def _once(self, seconds: float, count: int) -> Measured:
        measured = Measured()
        begun = time.perf_counter()
        end = begun + seconds
        writers = [_Writer(self, measured, end, count) for _ in range(self._writers)]
        for writer in writers:
            await writer.connect()
        await asyncio.gather(*(writer.loop() for writer in writers))
        measured.seconds = min(time.perf_counter(), end) - begun
        measured.latencies_ms.sort()
        return measured


class Asking:
    """One connection for requests that are sent one after another, each answered before the next."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._reply: asyncio.Future[Reply] | None = None

    async def connect(self, address: str) -> None:
        self._connection = await connect(address, self._replied, self._lost)

    async def ask(self, request: bytes) -> Reply:
        """Raises ConnectionError."""
        assert self._connection is not None
        self._reply = asyncio.get_running_loop().create_future()
        self._connection.send(request)
        return await self._reply

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _replied(self, reply: Reply) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    def _lost(self) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionError("the server closed the connection"))


class _Writer:
    """One connection of a ClosedLoop."""

    def __init__(self, load: ClosedLoop, measured: Measured, end: float, count: int) -> None:
        self._load = load
        self._measured = measured
        self._end = end
        self._count = count
        self._sent_at = 0.0
        self._connection: Connection | None = None
        self._done = asyncio.get_running_loop().create_future()

    async def connect(self) -> None:
        self._connection = await connect(self._load._address, self._replied, self._lost)

    async def loop(self) -> None:
        self._send()
        await self._done
        if self._connection is not None:
            self._connection.close()

    def _send(self) -> None:
        load = self._load
        request = load._next_request(load._number)
        load._number += 1
        self._sent_at = time.perf_counter()
        if self._connection is not None:
            self._connection.send(request)

    def _replied(self, reply: Reply) -> None:
        now = time.perf_counter()
        measured = self._measured
        if not self._is_right(reply):
            measured.wrong[f"{reply.status} {reply.body[:200]!r}"] += 1
        elif now <= self._end:
            measured.latencies_ms.append((now - self._sent_at) * 1000)
        if now < self._end and len(measured.latencies_ms) < self._count and not measured.wrong:
            self._send()
        elif not self._done.done():
            self._done.set_result(None)

    def _is_right(self, reply: Reply) -> bool:
        try:
            return self._load._right(reply)
        except (KeyError, ValueError):
            return False

    def _lost(self) -> None:
        if not self._done.done():
            self._measured.wrong["connection lost"] += 1
            self._done.set_result(None)
