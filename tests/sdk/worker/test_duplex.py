"""One HTTP/2 request in both directions, against a server made of `h2` alone."""

import asyncio
import socket

import pytest

from ironflow.base.errors import ConnectionLost, DeadlineExceeded
from ironflow.sdk.wire.duplex import Duplex
from ironflow.sdk.wire.transport import CannotConnect, Refused
from tests.sdk.worker.fake_server import until
from tests.sdk.worker.fake_stream import FakeStream, FakeStreams

WITHIN_S = 10
HEADERS = {"Content-Type": "application/connect+json", "Authorization": "Bearer k"}


async def all_of(request: Duplex) -> bytes:
    async with asyncio.timeout(WITHIN_S):
        return b"".join([part async for part in request.chunks()])


async def test_what_is_written_after_the_answer_began_arrives_and_is_answered() -> None:
    async def echo(stream: FakeStream) -> None:
        stream.head()
        while not stream.ended:
            before = len(stream.body)
            await stream.advance()
            stream.send(stream.body[before:].upper())
        stream.http.end_stream(1)
        stream.flush()

    async with FakeStreams(echo) as server:
        request = await Duplex.open(server.address + "/base", "/path", HEADERS, WITHIN_S)
        parts = request.chunks()
        request.write(b"one")
        assert await anext(parts) == b"ONE"
        request.write(b"two")
        assert await anext(parts) == b"TWO"
        request.end()
        assert [part async for part in parts] == []
        await request.close()


async def test_headers_and_path_are_the_callers() -> None:
    seen: dict[str, str] = {}

    async def look(stream: FakeStream) -> None:
        seen.update(stream.headers)
        stream.head()
        stream.http.end_stream(1)
        stream.flush()

    async with FakeStreams(look) as server:
        request = await Duplex.open(server.address + "/base", "/path", HEADERS, WITHIN_S)
        assert await all_of(request) == b""
        await request.close()

    assert (seen[":method"], seen[":path"], seen[":scheme"]) == ("POST", "/base/path", "http")
    assert seen[":authority"] == server.address.removeprefix("http://")
    assert (seen["content-type"], seen["authorization"]) == ("application/connect+json", "Bearer k")


async def test_a_large_body_waits_for_the_server_s_window() -> None:
    sent = bytes(range(256)) * 4096
    whole = asyncio.Event()

    async def slow(stream: FakeStream) -> None:
        stream.head()
        # Nothing more comes than the window holds, until feature is given.
        while len(stream.body) < 1000:
            await stream.advance(give_window=False)
        assert len(stream.body) == 1000
        stream.http.increment_flow_control_window(len(sent), 1)
        stream.http.increment_flow_control_window(len(sent))
        stream.flush()
        while not stream.ended:
            await stream.advance(give_window=False)
        assert stream.body == sent
        whole.set()
        stream.http.end_stream(1)
        stream.flush()

    async with FakeStreams(slow, window=1000) as server:
        request = await Duplex.open(server.address, "/", HEADERS, WITHIN_S)
        request.write(sent)
        request.end()
        assert await all_of(request) == b""
        assert whole.is_set()
        await request.close()


async def test_a_large_answer_comes_whole() -> None:
    sent = b"x" * (12 * 1024 * 1024)

    async def send_one_by_one(stream: FakeStream) -> None:
        stream.head()
        left = sent
        while left:
            feature = min(stream.http.local_flow_control_window(1), stream.http.max_outbound_frame_size)
            if feature > 0:
                stream.send(left[:feature])
                left = left[feature:]
            else:
                await stream.advance()
        stream.http.end_stream(1)
        stream.flush()

    async with FakeStreams(send_one_by_one) as server:
        request = await Duplex.open(server.address, "/", HEADERS, WITHIN_S)
        assert await all_of(request) == sent
        await request.close()


async def test_another_status_is_refused_with_its_body() -> None:
    async def refuse(stream: FakeStream) -> None:
        stream.refuses(503, {"message": "not now"})

    async with FakeStreams(refuse) as server:
        with pytest.raises(Refused) as refused:
            await Duplex.open(server.address, "/", HEADERS, WITHIN_S)

    assert (refused.value.answer.status, refused.value.answer.body) == (503, b'{"message": "not now"}')


async def cut(stream: FakeStream) -> None:
    stream.cut()


async def reset(stream: FakeStream) -> None:
    stream.http.reset_stream(1, 2)
    stream.flush()


async def go_away(stream: FakeStream) -> None:
    stream.http.close_connection(error_code=1)
    stream.flush()


@pytest.mark.parametrize("break_off", [cut, reset, go_away])
async def test_a_stream_that_breaks_is_a_lost_connection(break_off) -> None:
    async def begin(stream: FakeStream) -> None:
        stream.head()
        stream.send(b"some")
        await stream.advance()
        await break_off(stream)

    async with FakeStreams(begin) as server:
        request = await Duplex.open(server.address, "/", HEADERS, WITHIN_S)
        parts = request.chunks()
        assert await anext(parts) == b"some"
        request.write(b"more")
        with pytest.raises(ConnectionLost):
            await all_of(request)
        request.write(b"this is never read")
        await request.close()


async def test_a_server_that_is_not_there_cannot_be_connected_to() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(CannotConnect, match="Is it running"):
            await Duplex.open(f"http://127.0.0.1:{taken.getsockname()[1]}", "/", HEADERS, WITHIN_S)


async def test_a_server_that_does_not_answer_is_not_waited_for_longer_than_asked() -> None:
    async def silence(stream: FakeStream) -> None:
        pass

    async with FakeStreams(silence) as server:
        with pytest.raises(DeadlineExceeded):
            await Duplex.open(server.address, "/", HEADERS, 0.05)


async def test_a_server_of_another_protocol_is_a_lost_connection() -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(old, "127.0.0.1", 0)
    try:
        with pytest.raises(ConnectionLost):
            await Duplex.open(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "/", HEADERS, WITHIN_S)
    finally:
        server.close()


async def test_a_ping_is_answered() -> None:
    async def begin(stream: FakeStream) -> None:
        stream.head()

    async with FakeStreams(begin) as server:
        request = await Duplex.open(server.address, "/", HEADERS, WITHIN_S)
        reading = asyncio.ensure_future(all_of(request))
        await asyncio.sleep(0.05)
        before = request.last_received_at
        request.ping()
        await until(lambda: request.last_received_at != before)
        reading.cancel()
        await asyncio.wait([reading])
        await request.close()
