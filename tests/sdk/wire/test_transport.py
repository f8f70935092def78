"""HTTP over real sockets: answers, connections, and what goes wrong with them."""

import asyncio
import gc
import socket
import warnings
import weakref
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from ironflow.base.errors import ConnectionLost, DeadlineExceeded
from ironflow.sdk.client.client import Client
from ironflow.sdk.wire.transport import AiohttpTransport, CannotConnect, Urllib3Transport
from tests.sdk.worker.fake_server import until


@dataclass
class Peer:
    """A small HTTP server. connections: the client's ports seen."""

    url: str = ""
    connections: set[int] = field(default_factory=set)
    release: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    found = Peer()

    async def echo(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        found.connections.add(request.transport.get_extra_info("peername")[1])
        if request.path == "/hang":
            await found.release.wait()
        if request.path == "/break":
            request.transport.abort()
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": "/elsewhere"})
        body = await request.read()
        return web.Response(
            status=201,
            body=request.method.encode() + b" " + request.raw_path.encode() + b" " + body,
            headers={"X-Back": "1"},
        )

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", echo)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    found.release.set()
    await runner.cleanup()


class InThread:
    """The transport for threads, called from the test's loop."""

    def __init__(self, url):
        self._transport = Urllib3Transport(url)

    async def request(self, *args):
        return await asyncio.to_thread(self._transport.request, *args)

    async def stream(self, *args):
        for part in self._transport.stream(*args):
            yield part

    def open(self):
        self._transport.open()

    async def close(self):
        self._transport.close()


@pytest.fixture(params=[AiohttpTransport, InThread], ids=["aiohttp", "urllib3"])
def kind(request):
    return request.param


@pytest.fixture
async def transport(kind, peer):
    found = kind(peer.url)
    yield found
    await found.close()


async def test_a_request_arrives_as_it_was_made(transport):
    answer = await transport.request("PUT", "/kv/a%2Fb%41/%2E%2E?q=%2B", {"X": "1"}, b"\x00\xff", 5)

    assert (answer.status, answer.headers["x-back"]) == (201, "1")
    assert answer.body == b"PUT /kv/a%2Fb%41/%2E%2E?q=%2B \x00\xff"


async def test_an_address_may_have_a_path(kind, peer):
    transport = kind(peer.url + "/flow/")
    answer = await transport.request("GET", "/health", {}, None, 5)
    await transport.close()

    assert answer.body == b"GET /flow/health "


async def test_connections_are_kept(transport, peer):
    for _ in range(5):
        await transport.request("GET", "/", {}, None, 5)

    assert len(peer.connections) == 1


async def test_a_redirect_is_given_back(transport):
    assert (await transport.request("GET", "/moved", {}, None, 5)).status == 302


async def test_a_server_that_is_not_there_cannot_be_connected_to(kind):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        transport = kind(f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(CannotConnect, match="Is it running"):
            await transport.request("GET", "/", {}, None, 5)
    await transport.close()


async def test_a_name_that_does_not_resolve_cannot_be_connected_to(kind):
    transport = kind("http://nowhere.invalid")
    with pytest.raises(CannotConnect):
        await transport.request("GET", "/", {}, None, 5)
    await transport.close()


async def test_a_connection_that_breaks_is_lost(transport):
    with pytest.raises(ConnectionLost) as raised:
        await transport.request("POST", "/break", {}, b"{}", 5)

    assert not isinstance(raised.value, CannotConnect)


async def test_no_answer_in_time_is_a_deadline_passed(transport):
    with pytest.raises(DeadlineExceeded, match=r"0\.05 s"):
        await transport.request("GET", "/hang", {}, None, 0.05)


async def test_a_closed_transport_refuses_requests_until_it_is_opened(transport):
    await transport.request("GET", "/", {}, None, 5)
    await transport.close()

    with pytest.raises(ConnectionLost, match="closed") as refused:
        await transport.request("GET", "/", {}, None, 5)
    assert not refused.value.retryable
    transport.open()
    assert (await transport.request("GET", "/", {}, None, 5)).status == 201


async def test_a_stream_of_a_closed_transport_is_refused(transport):
    await transport.close()

    with pytest.raises(ConnectionLost, match="closed"):
        await anext(transport.stream("GET", "/", {}, b"", 5))


async def test_a_client_is_usable_again_once_it_is_entered_again(peer):
    client = Client(peer.url)
    for _ in range(2):
        async with client:
            assert (await client._calls.transport.request("GET", "/", {}, None, 5)).status == 201
        with pytest.raises(ConnectionLost, match="closed"):
            await client.info()


def test_a_client_outlives_its_event_loop():
    """Scripts call asyncio.run more than once with one client."""

    async def ask(transport, url):
        with pytest.raises(CannotConnect):
            await transport.request("GET", "/", {}, None, 5)
        await transport.close()

    transport = AiohttpTransport("http://127.0.0.1:9")
    asyncio.run(ask(transport, ""))
    asyncio.run(ask(transport, ""))


def run(work, *, tidy):
    """In a loop of its own. tidy: as asyncio.run, else closed as it is."""
    if tidy:
        return asyncio.run(work)
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


@pytest.mark.parametrize("tidy", [True, False])
def test_the_session_of_a_former_loop_is_given_up_without_a_warning(tidy):
    sessions = []

    async def ask(transport, *, closes):
        with pytest.raises(CannotConnect):
            await transport.request("GET", "/", {}, None, 5)
        sessions.append(weakref.ref(await transport._sessions.current()))
        if closes:
            await transport.close()

    transport = AiohttpTransport("http://127.0.0.1:9")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run(ask(transport, closes=False), tidy=tidy)
        run(ask(transport, closes=True), tidy=tidy)
        del transport
        gc.collect()

    assert [str(each.message) for each in warned if "session" in str(each.message)] == []
    assert [each() for each in sessions] == [None, None]


async def test_a_transport_that_was_dropped_closes_its_session(peer):
    """Also as a part of a cycle, where finalizers run in no order."""
    transport = AiohttpTransport(peer.url)
    await transport.request("GET", "/", {}, None, 5)
    session = await transport._sessions.current()
    transport.itself = transport  # type: ignore[attr-defined]
    del transport
    gc.collect()

    await until(lambda: session.closed)
