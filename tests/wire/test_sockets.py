"""What can go wrong on a socket: garbage, floods, slow and half-closed clients. The server refuses and goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from tests.wire.server_process import Server

pytestmark = pytest.mark.processes

WITHIN_S = 10
EVENT = b'{"event":"socket.event","data":1}'


class Wire:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def end(self) -> None:
        """Sends no more, and listens on."""
        with contextlib.suppress(OSError):
            # It may have been cut off already.
            self.writer.write_eof()

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the next answer; status 0 when the server closed the connection instead."""
        try:
            async with asyncio.timeout(WITHIN_S):
                head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                return int(head.split()[1]), await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, b""


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Wire]:
    host, port = server.host_and_port
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def post(body: bytes, path: bytes = b"/api/v1/events", **headers: str) -> bytes:
    all_headers = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body)), **headers}
    lines = b"".join(f"{name.replace('_', '-')}: {value}\r\n".encode() for name, value in all_headers.items())
    return b"POST " + path + b" HTTP/1.1\r\n" + lines + b"\r\n" + body


async def recorded(server: Server) -> int:
    """How many events the server has."""
    async with httpx.AsyncClient(base_url=server.address) as client:
        return sum(each["count"] for each in (await client.get("/api/v1/events/names")).json()["names"])


async def emit(server: Server) -> None:
    """An ordinary request is answered as ever."""
    async with httpx.AsyncClient(base_url=server.address, timeout=WITHIN_S) as client:
        answer = await client.post("/api/v1/events", content=EVENT)
        assert answer.status_code == 200
        assert (await client.get(f"/api/v1/events/{answer.json()['event_id']}")).status_code == 200


GARBAGE = [
    b"\x00\x01\x02\x03\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
    b"GET\r\n\r\n",
    b"GET /health HTTP/9.9\r\n\r\n",
    b"GET /health\r\n\r\n",
    b"G\xffT /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n",
    b"GET /health HTTP/1.1\r\nhost: localhost\r\nna\x00me: x\r\n\r\n",
    b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n",
    b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: many\r\n\r\n",
    b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: rubbish\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200,
]


async def test_what_is_not_http_is_refused_or_cut_off(server: Server):
    before = await recorded(server)
    for garbage in GARBAGE:
        async with connected(server) as wire:
            await wire.send(garbage)
            wire.end()
            status, _ = await wire.answer()
            assert status == 0 or 400 <= status < 500 or status in (501, 505), garbage
    assert await recorded(server) == before
    await emit(server)


async def test_a_path_that_is_not_utf8_is_refused(server: Server):
    for path in (b"/api/v1/runs/%FF", b"/api/v1/runs/%ED%A0%80", b"/api/v1/runs/\xff\xfe", b"/api/v1/runs?cursor=%FF"):
        async with connected(server) as wire:
            await wire.send(b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
            status, _ = await wire.answer()
            assert status == 0 or 400 <= status < 500, path
    await emit(server)


async def test_a_flood_of_headers_is_refused(server: Server):
    floods = [
        b"".join(b"x-%d: %s\r\n" % (number, b"y" * 100) for number in range(5_000)),
        b"x: " + b"y" * 2_000_000 + b"\r\n",
    ]
    for flood in floods:
        async with connected(server) as wire:
            try:
                await wire.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + flood + b"\r\n")
            except ConnectionError:
                continue
            status, _ = await wire.answer()
            assert status == 0 or 400 <= status < 500
    await emit(server)


async def test_ten_megabytes_are_a_clear_refusal(server: Server):
    before = await recorded(server)
    async with httpx.AsyncClient(base_url=server.address, timeout=WITHIN_S) as client:
        body = b'{"event":"large","data":"' + b"x" * 10_000_000 + b'"}'
        answer = await client.post("/api/v1/events", content=body)
        assert (answer.status_code, answer.json()["reason"]) == (413, "EVENT_TOO_LARGE")
        answer = await client.post("/api/v1/events", content=b"[" * 10_000_000)
        assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_JSON")
        answer = await client.post("/api/v1/events", content=b" " * 34_000_000)
        assert answer.status_code == 413
    assert await recorded(server) == before
    await emit(server)


async def test_a_client_that_sends_no_more_still_gets_its_answer(server: Server):
    async with connected(server) as wire:
        await wire.send(post(EVENT))
        wire.end()
        status, body = await wire.answer()
    assert status in (200, 0)
    if status:
        assert msgspec.json.decode(body)["event_id"].startswith("evt_")
    await emit(server)


async def test_a_client_that_leaves_within_its_body_records_nothing(server: Server):
    before = await recorded(server)
    for cut in (1, len(EVENT) // 2, len(EVENT) - 1):
        async with connected(server) as wire:
            await wire.send(post(EVENT)[: cut - len(EVENT)])
            wire.end()
            status, _ = await wire.answer()
            assert status == 0 or 400 <= status < 500
        async with connected(server) as wire:
            await wire.send(post(EVENT)[: cut - len(EVENT)])
            wire.writer.transport.abort()
    assert await recorded(server) == before
    await emit(server)


async def test_a_slow_client_holds_up_no_other_and_is_answered_in_the_end(server: Server):
    before = await recorded(server)
    async with connected(server) as slow:
        whole = post(EVENT)
        for place in range(0, len(whole), 16):
            await slow.send(whole[place : place + 16])
            async with httpx.AsyncClient(base_url=server.address, timeout=WITHIN_S) as client:
                assert (await client.get("/health")).status_code == 200
        status, _ = await slow.answer()
    assert status == 200
    assert await recorded(server) == before + 1


async def test_requests_sent_at_once_are_answered_in_their_order(server: Server):
    async with connected(server) as wire:
        await wire.send(post(EVENT) + post(b"{") + post(EVENT, b"/api/v1/nothing") + post(EVENT))
        assert [(await wire.answer())[0] for _ in range(4)] == [200, 400, 404, 200]


async def test_a_chunked_body_is_a_body(server: Server):
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, EVENT[place : place + 1]) for place in range(len(EVENT))) + b"0\r\n\r\n"
    async with connected(server) as wire:
        await wire.send(
            b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
            + chunks
            + post(EVENT)
        )
        assert [(await wire.answer())[0] for _ in range(2)] == [200, 200]


async def test_hundreds_of_silent_connections_hold_up_no_other(server: Server):
    host, port = server.host_and_port
    silent = [await asyncio.open_connection(host, port) for _ in range(300)]
    try:
        await emit(server)
    finally:
        for _, writer in silent:
            writer.close()
    await emit(server)


async def test_a_poll_whose_client_left_takes_no_job_with_it(server: Server):
    async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
        function = {"id": "socket/poll", "triggers": [{"event": "socket.poll"}]}
        await client.post("/ironflow.v1.IronflowService/RegisterFunction", json=function)
        for worker in ("leaves", "stays"):
            body = {"function_ids": ["socket/poll"], "max_concurrent_jobs": 1}
            await client.post(f"/api/v1/workers/{worker}/register", json=body)
        async with connected(server) as wire:
            await wire.send(b"GET /api/v1/workers/leaves/jobs?available=1&wait=20 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            # The poll is there when a later request of another connection has been answered.
            await client.get("/api/v1/workers/stays/jobs?available=1")
        emitted = await client.post("/api/v1/events", json={"event": "socket.poll"})

        polled = await client.get("/api/v1/workers/stays/jobs?available=1&wait=20")

        assert [job["run_id"] for job in polled.json()["jobs"]] == emitted.json()["run_ids"]
