"""Endpoints over HTTP/2: which of them speak it, what is shared, and what becomes of requests when something breaks."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop
from h2.errors import ErrorCodes

from ironflow.base.addresses import LOOPBACK, networks_of
from ironflow.base.outgoing import AddressRefused, AnswerTooLarge, NotReached, Outgoing, TooSlow
from ironflow.features.runs import contract as runs
from ironflow.transports.outbound import Outbound
from ironflow.transports.outbound.http2 import UNSENT_BYTES_MAX, Broken, Connection
from tests.push.endpoint import an_endpoint, completed, eventually, until
from tests.push.http2_endpoint import Asked, an_http2_endpoint
from tests.push.serving import listening
from tests.push.test_hostile_endpoints import BUDGET_MS, CASES, failed_run, hang
from tests.support.certificates import Pair, a_pair
from tests.support.server import open_server
from tests.support.work import Work

LIMIT = 100_000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return a_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def trusted(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pair.cert))


class Client:
    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    async def post(self, url: str, body: bytes = b"{}", timeout_s: float = 20.0, bytes_max: int = LIMIT) -> Outgoing:
        return await self._outbound.post(url, {"Content-Type": "application/json"}, body, timeout_s, bytes_max)


@asynccontextmanager
async def a_client(allowed: str = LOOPBACK, **more: Any) -> AsyncIterator[Client]:
    outbound = Outbound(networks_of(allowed), "test/1", **more)
    try:
        yield Client(outbound)
    finally:
        await outbound.close()


# What is shared.


async def test_one_connection_carries_the_executions_of_an_endpoint_one_after_another_and_at_once(
    tmp_path: Any, pair: Pair
):
    together = asyncio.Event()

    async def answer(asked: Asked) -> Any:
        if asked.body["event"]["data"] == "together":
            if sum(each.body["event"]["data"] == "together" for each in endpoint.requests) == 5:
                together.set()
            await together.wait()
        return completed(1)

    async with (
        an_http2_endpoint(pair.served("h2", "http/1.1"), answer) as endpoint,
        open_server(Work, str(tmp_path / "db")) as server,
    ):
        await server.a_function(endpoint_url=endpoint.url)
        for _ in range(3):
            (run_id,) = (await server.emit(data="alone")).run_ids
            await until(server, run_id, "completed")
        run_ids = [(await server.emit(data="together")).run_ids[0] for _ in range(5)]
        for run_id in run_ids:
            await until(server, run_id, "completed")

        assert len(endpoint.requests) == 8
        assert len(endpoint.connections) == 1
        headers = endpoint.requests[0].headers
        assert {name: headers[name] for name in (":method", ":scheme", ":path", "content-type")} == {
            ":method": "POST",
            ":scheme": "https",
            ":path": "/api/ironflow",
            "content-type": "application/json",
        }
        assert headers[":authority"] == endpoint.url.split("/")[2]


async def test_the_server_of_this_project_is_called_over_http_2(pair: Pair):
    versions: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        versions.append(scope["http_version"])
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-size", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async with listening(app, **pair.settings) as address, a_client() as client:
        # Larger than the windows of both ends at their beginning.
        large = b"x" * 1_000_000
        answers = [await client.post(address, large, bytes_max=4 << 20) for _ in range(3)]

    assert versions == ["2"] * 3
    assert [(each.status, each.headers["x-size"], each.body == large) for each in answers] == [
        (200, "1000000", True)
    ] * 3


@pytest.mark.parametrize("protocols", [("http/1.1",), ()], ids=["http/1.1", "no ALPN"])
async def test_an_endpoint_that_does_not_choose_http_2_is_called_over_http_1_1(pair: Pair, protocols: tuple[str, ...]):
    async with an_endpoint(lambda _: completed(), pair.served(*protocols)) as endpoint, a_client() as client:
        for _ in range(3):
            answer = await client.post(endpoint.url)
            assert (answer.status, answer.body) == (200, b'{"status": "completed", "steps": [], "result": null}')

        # Which protocol it chose is remembered, and its connection kept open.
        assert len(endpoint.requests) == 3
        assert len(endpoint.connections) == 1


async def test_an_endpoint_that_allows_one_stream_gets_another_connection(pair: Pair):
    both = asyncio.Event()

    async def answer(_: Asked) -> Any:
        if len(endpoint.requests) == 2:
            both.set()
        await both.wait()
        return completed()

    async with an_http2_endpoint(pair.served("h2"), answer, streams_max=1) as endpoint, a_client() as client:
        answers = await asyncio.gather(client.post(endpoint.url), client.post(endpoint.url))
        await client.post(endpoint.url)

        assert [each.status for each in answers] == [200, 200]
        assert len(endpoint.connections) == 2


async def test_an_endpoint_that_allows_no_stream_is_a_failure(pair: Pair):
    async with an_http2_endpoint(pair.served("h2"), lambda _: None, streams_max=0) as endpoint, a_client() as client:
        with pytest.raises(NotReached, match="takes no requests"):
            await client.post(endpoint.url)
        assert endpoint.requests == []


async def test_a_connection_without_requests_is_closed_after_its_time(pair: Pair):
    tls = pair.served("h2")
    async with an_http2_endpoint(tls, lambda _: completed()) as endpoint, a_client(keep_alive_s=1.0) as client:
        await client.post(endpoint.url)
        await eventually(lambda: not endpoint.open)
        assert (await client.post(endpoint.url)).status == 200

        assert len(endpoint.connections) == 2


def test_the_loop_of_servers_is_used_in_the_same_way(pair: Pair):
    """uvloop, under which servers run."""

    async def talk() -> None:
        async with an_http2_endpoint(pair.served("h2"), lambda _: completed()) as endpoint, a_client() as client:
            for _ in range(3):
                assert (await client.post(endpoint.url, b'"%s"' % (b"x" * 200_000))).status == 200
            endpoint.open[0].transport.abort()
            await eventually(lambda: not endpoint.open)
            with suppress(NotReached):
                # Where the client has not learned yet that its connection is gone.
                await client.post(endpoint.url)
            assert (await client.post(endpoint.url)).status == 200
            assert len(endpoint.connections) == 2

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(talk())


# What is refused.


async def test_an_inner_address_is_refused_at_the_connection(pair: Pair):
    async with an_http2_endpoint(pair.served("h2"), lambda _: completed()) as endpoint, a_client("") as client:
        with pytest.raises(AddressRefused, match=r"resolves to 127\.0\.0\.1"):
            await client.post(endpoint.url)
        assert endpoint.connections == []


async def test_a_name_is_checked_as_it_resolves_at_each_connection(pair: Pair, monkeypatch: Any):
    async with an_http2_endpoint(pair.served("h2"), lambda _: completed()) as endpoint:
        port = int(endpoint.url.split(":")[2].split("/")[0])
        answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.2"])

        def resolve(*_: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

        monkeypatch.setattr("ironflow.transports.outbound.sockets.socket.getaddrinfo", resolve)
        async with a_client("127.0.0.1") as client:
            assert (await client.post(f"https://localhost:{port}/")).status == 200
            endpoint.open[0].transport.abort()
            await eventually(lambda: not endpoint.open)
            with suppress(NotReached, AddressRefused):
                # It is not reached where the client has not learned yet that its connection is gone.
                await client.post(f"https://localhost:{port}/")
            with pytest.raises(AddressRefused, match=r"resolves to 127\.0\.0\.2"):
                await client.post(f"https://localhost:{port}/")
    assert len(endpoint.requests) == 1


async def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Any):
    other = a_pair(tmp_path)
    async with an_http2_endpoint(other.served("h2"), lambda _: completed()) as endpoint, a_client() as client:
        with pytest.raises(NotReached, match="certificate verify failed"):
            await client.post(endpoint.url)
        assert endpoint.requests == []


# What endpoints do wrong.


async def drip(asked: Asked) -> None:
    asked.connection.head(asked.stream)
    while True:
        asked.connection.http.send_data(asked.stream, b" ")
        asked.connection.flush()
        await asyncio.sleep(BUDGET_MS / 10_000)


@pytest.mark.parametrize(("name", "answer", "code", "retryable", "text"), CASES, ids=[each[0] for each in CASES])
async def test_a_wrong_answer_fails_the_attempt(
    tmp_path: Any, pair: Pair, name: str, answer: Any, code: str, retryable: bool, text: str
):
    def answered(asked: Asked) -> Any:
        return drip(asked) if name == "sends byte by byte" else answer(asked.body)

    async with (
        an_http2_endpoint(pair.served("h2"), answered) as endpoint,
        open_server(Work, str(tmp_path / "db")) as server,
    ):
        run = await failed_run(server, endpoint.url, BUDGET_MS if code == "PUSH_TIMEOUT" else 30_000)

        assert run.status.value == "failed"
        assert run.error is not None
        assert (run.error.code, run.error.retryable) == (code, retryable)
        assert text in run.error.message
        if endpoint.requests and code in ("PUSH_TIMEOUT", "PUSH_ANSWER_TOO_LARGE"):
            await eventually(lambda: endpoint.resets == [int(ErrorCodes.CANCEL)] or not endpoint.open)


def dies(asked: Asked) -> None:
    asked.connection.head(asked.stream)
    asked.connection.http.send_data(asked.stream, b'{"status"')
    asked.connection.flush()
    asked.connection.transport.close()


def goes_away_with_an_error(asked: Asked) -> None:
    asked.connection.http.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
    asked.connection.flush()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def endless_head(asked: Asked) -> None:
    asked.connection.write(frame(0x1, 0, asked.stream, b"\x88"))
    for _ in range(200):
        asked.connection.write(frame(0x9, 0, asked.stream, b"\x00\x03x-a\x7f\x81\x1e" + b"a" * 4000))


BROKEN: list[tuple[str, Callable[[Asked], Any], str]] = [
    ("closes at once", lambda asked: asked.connection.transport.close(), "closed the connection"),
    ("aborts", lambda asked: asked.connection.transport.abort(), "connection"),
    ("dies in the middle", dies, "closed the connection"),
    ("resets the stream", lambda asked: asked.connection.reset(asked.stream, ErrorCodes.INTERNAL_ERROR), "internal_er"),
    ("goes away with an error", goes_away_with_an_error, "enhance_your_calm"),
    ("speaks something else", lambda asked: asked.connection.write(b"HTTP/1.1 200 OK\r\n" * 70_000), "no frame"),
    ("an endless head", endless_head, "rules of HTTP/2"),
    ("data before the head", lambda asked: asked.connection.write(frame(0, 0, asked.stream, b"x")), "rules of HTTP/2"),
    ("data of no stream", lambda asked: asked.connection.write(frame(0, 0, 99, b"x")), "rules of HTTP/2"),
    ("a push promise", lambda asked: asked.connection.write(frame(5, 4, asked.stream, b"\0\0\0\2\x82")), "rules of HT"),
]


@pytest.mark.parametrize(("name", "answer", "text"), BROKEN, ids=[each[0] for each in BROKEN])
async def test_what_was_perhaps_executed_fails_and_is_not_repeated(pair: Pair, name: str, answer: Any, text: str):
    async with an_http2_endpoint(pair.served("h2"), answer) as endpoint, a_client() as client:
        with pytest.raises(NotReached, match=text):
            await client.post(endpoint.url)
        assert len(endpoint.requests) == 1

        # The next request is not disturbed by it.
        endpoint.answer = lambda _: completed()
        assert (await client.post(endpoint.url)).status == 200


class Unread:
    """A transport to an endpoint that reads nothing: what is written stays."""

    def __init__(self) -> None:
        self.waiting, self.aborted = 0, False

    def get_extra_info(self, name: str) -> Any:
        return self

    def selected_alpn_protocol(self) -> str:
        return "h2"

    def write(self, data: bytes) -> None:
        self.waiting += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


async def test_an_endpoint_that_asks_and_does_not_read_is_given_up():
    transport: Any = Unread()
    connection = Connection(50.0, lambda _: None)
    connection.connection_made(transport)
    connection.data_received(frame(4, 0, 0, b""))
    head = [(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", "/")]
    request = asyncio.create_task(connection.post(head, b"{}", LIMIT))
    await asyncio.sleep(0)
    connection.pause_writing()
    for _ in range(500):
        if not transport.aborted:
            connection.data_received(frame(6, 0, 0, b"12345678") * 1000)

    with pytest.raises(Broken, match="does not read"):
        await request
    assert UNSENT_BYTES_MAX < transport.waiting < UNSENT_BYTES_MAX + 100_000
    assert not connection.has_capacity


# What was certainly not executed is repeated.


async def test_a_refused_stream_is_repeated_and_not_for_ever(pair: Pair):
    def refuse(asked: Asked) -> Any:
        if asked.body and len(endpoint.requests) == 2:
            return completed()
        return asked.connection.reset(asked.stream, ErrorCodes.REFUSED_STREAM)

    async with an_http2_endpoint(pair.served("h2"), refuse) as endpoint, a_client() as client:
        assert (await client.post(endpoint.url, b"[1]")).status == 200
        assert len(endpoint.requests) == 2
        with pytest.raises(NotReached, match="refused the stream"):
            await client.post(endpoint.url)
        assert len(endpoint.requests) == 5
        assert len(endpoint.connections) == 1


async def test_an_endpoint_that_closed_between_two_requests_is_connected_to_again(pair: Pair):
    async with an_http2_endpoint(pair.served("h2"), lambda _: completed()) as endpoint, a_client() as client:
        await client.post(endpoint.url)
        (served,) = endpoint.open
        served.http.close_connection()
        served.flush()
        served.transport.close()
        # Its end is gone when the client has closed its own.
        await eventually(lambda: served.lost)

        assert (await client.post(endpoint.url)).status == 200
        assert len(endpoint.requests) == 2
        assert len(endpoint.connections) == 2


async def test_an_endpoint_that_goes_away_answers_what_it_has_begun_and_the_rest_is_repeated(pair: Pair):
    def answer(asked: Asked) -> Any:
        if asked.connection is not endpoint.connections[0]:
            return completed(2)
        if asked.stream == 3:
            # Takes the first and not the second, with a GOAWAY, and answers the first in the same bytes.
            asked.connection.write(frame(7, 0, 0, struct.pack(">II", 1, 0)))
            asked.connection.respond(1, b"1")
        return None

    async with an_http2_endpoint(pair.served("h2"), answer) as endpoint, a_client() as client:
        first = asyncio.create_task(client.post(endpoint.url))
        await eventually(lambda: endpoint.requests)
        second = await client.post(endpoint.url)

        assert (await first).body == b"1"
        assert second.body == b'{"status": "completed", "steps": [], "result": 2}'
        assert [each.stream for each in endpoint.requests] == [1, 3, 1]
        await eventually(lambda: endpoint.connections[0].lost)


# What is given up.


async def test_a_cancelled_run_resets_its_stream_and_leaves_the_connection(tmp_path: Any, pair: Pair):
    def answer(asked: Asked) -> Any:
        return hang(asked) if asked.body["event"]["data"] == "hangs" else completed()

    async with (
        an_http2_endpoint(pair.served("h2"), answer) as endpoint,
        open_server(Work, str(tmp_path / "db")) as server,
    ):
        await server.a_function(endpoint_url=endpoint.url)
        (hanging,) = (await server.emit(data="hangs")).run_ids
        await eventually(lambda: endpoint.requests)
        for _ in range(2):
            (run_id,) = (await server.emit(data="ends")).run_ids
            await until(server, run_id, "completed")
        await server.call(runs.cancel, id=hanging)
        await until(server, hanging, "cancelled")

        await eventually(lambda: endpoint.resets == [int(ErrorCodes.CANCEL)])
        (run_id,) = (await server.emit(data="ends")).run_ids
        await until(server, run_id, "completed")
        assert len(endpoint.connections) == 1


async def test_a_connection_on_which_nothing_came_in_time_is_not_used_again(pair: Pair):
    async with an_http2_endpoint(pair.served("h2"), lambda _: completed()) as endpoint, a_client() as client:
        # Opens the connection, which may take longer than the time of the next request.
        await client.post(endpoint.url)
        endpoint.answer = hang
        with pytest.raises(TooSlow):
            await client.post(endpoint.url, timeout_s=0.3)
        endpoint.answer = lambda _: completed()
        assert (await client.post(endpoint.url)).status == 200

        assert len(endpoint.connections) == 2
        await eventually(lambda: len(endpoint.open) == 1)


async def test_an_answer_that_is_too_large_leaves_the_connection_to_others(pair: Pair):
    def answer(asked: Asked) -> Any:
        asked.connection.respond(asked.stream, b"x" * (10_000_000 if asked.body else 10))

    async with an_http2_endpoint(pair.served("h2"), answer) as endpoint, a_client() as client:
        for _ in range(3):
            with pytest.raises(AnswerTooLarge):
                await client.post(endpoint.url, b"[1]")
            assert len((await client.post(endpoint.url)).body) == 10

        assert len(endpoint.connections) == 1
