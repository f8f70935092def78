"""Connect streams on real sockets: both HTTP servers, HTTP/1.1 and HTTP/2 with prior knowledge, hand-made clients."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
import pytest

from ironflow.base.call import Call
from ironflow.base.errors import NotFound
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.base.time import SystemClock
from ironflow.dispatch import Dispatch, anonymous
from ironflow.server.http_servers import HttpServer, http_server
from ironflow.server.settings import load_settings
from ironflow.transports import exchange, http
from ironflow.transports.app import App
from ironflow.transports.connect_codecs import Codecs
from ironflow.transports.connect_streams import ConnectStreams
from ironflow.transports.connectrpc import PREFIX, Connect
from ironflow.transports.context import CallContext
from tests.wire import oracle
from tests.wire.clients import JSON, PROTO, Frame, enveloped, http1, http2, packed
from tests.wire.clients import Answer as Came

BODY_BYTES_MAX = 50_000
COUNT_PATH = f"{PREFIX}TestService/Count"
ECHO_PATH = f"{PREFIX}TestService/Echo"
HEADERS = {"content-type": JSON}


class Gone(NotFound):
    """It is gone."""

    code = "GONE"


class Count(Message, kw_only=True):
    to: Annotated[int, field(1)] = 0
    then: Annotated[str, field(2)] = ""
    bytes_each: Annotated[int, field(3)] = 0


class Number(Message, kw_only=True):
    number_value: Annotated[int, field(1, int64=True)] = 0
    filling: Annotated[str, field(2)] = ""


COUNT = operation(
    "test.count", Count, Number, rpc="TestService/Count", scope="public", streaming="server", doc="Counts."
)
ECHO = operation("test.echo", Count, Number, rpc="TestService/Echo", scope="public", streaming="bidi", doc="Echoes.")
DRAIN = operation(
    "test.drain", Count, Number, rpc="TestService/Drain", scope="public", streaming="bidi", drains=True, doc="Drains."
)
ONCE = operation("test.once", Count, Number, rpc="TestService/Once", scope="public", doc="No stream.")


class Feature:
    """Counts, echoes, and counts its open streams."""

    def __init__(self) -> None:
        self.open = 0
        self.made = 0
        self.changed = asyncio.Event()
        self.may_end = asyncio.Event()

    def _opened(self, by: int) -> None:
        self.open += by
        self.changed.set()

    async def until_open(self, wanted: int) -> None:
        async with asyncio.timeout(5):
            while self.open != wanted:
                self.changed.clear()
                await self.changed.wait()

    async def count(self, call: Call, request: Count) -> AsyncGenerator[Number, None]:
        self._opened(1)
        try:
            for value in range(request.to):
                self.made += 1
                yield Number(number_value=value, filling="x" * request.bytes_each)
            if request.then == "fail":
                raise Gone("It went away while counting.", retry_after_s=3)
            if request.then == "surprise":
                raise LookupError("a secret")
            if request.then == "silence":
                await asyncio.Event().wait()
        finally:
            self._opened(-1)

    async def echo(self, call: Call, request: AsyncIterator[Count]) -> AsyncGenerator[Number, None]:
        self._opened(1)
        try:
            async for each in request:
                yield Number(number_value=each.to, filling="x" * each.bytes_each)
                if each.then == "fail":
                    raise Gone
        finally:
            self._opened(-1)

    async def drain(self, call: Call, request: AsyncIterator[Count]) -> AsyncGenerator[Number, None]:
        self._opened(1)
        try:
            await self.may_end.wait()
            yield Number(number_value=7)
        finally:
            self._opened(-1)

    async def once(self, call: Call, request: Count) -> Number:
        return Number(number_value=request.to, filling="x" * request.bytes_each)


class Served:
    def __init__(self, server: HttpServer, feature: Feature, streams: ConnectStreams) -> None:
        self.server, self.feature, self.streams = server, feature, streams
        self.address = server.address


@asynccontextmanager
async def served(folder: Path, name: str) -> AsyncIterator[Served]:
    settings = load_settings(
        environ={}, http_server=name, port=0, dev=True, db=str(folder / "none.db"), body_bytes_max=BODY_BYTES_MAX
    )
    feature = Feature()
    dispatch = Dispatch(anonymous(SystemClock()))
    dispatch.bind({COUNT: feature.count, ECHO: feature.echo, DRAIN: feature.drain, ONCE: feature.once})
    context = CallContext(dispatch)
    codecs = Codecs(lambda: oracle.SCHEMA)
    streams = ConnectStreams(dispatch, context, BODY_BYTES_MAX, codecs)
    app = App([(PREFIX, Connect(dispatch, context, BODY_BYTES_MAX, codecs))], {}, BODY_BYTES_MAX, (streams,))
    server = http_server(app, settings)
    started = asyncio.Event()
    serving = asyncio.create_task(server.serve(started.set))
    await started.wait()
    try:
        yield Served(server, feature, streams)
        await feature.until_open(0)
    finally:
        server.stop()
        async with asyncio.timeout(15):
            await serving
        assert dispatch.connections.counts()["stream"] == 0


@pytest.fixture(params=["h2corn", "granian"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, request.param) as found:
        yield found


WAYS = ["http1", "http2"]


@asynccontextmanager
async def asked(
    server: Served, way: str, body: bytes, path: str = COUNT_PATH, *, end: bool = True, **more: str
) -> AsyncIterator[Any]:
    """One stream asked for, its head read."""
    headers = {**HEADERS, **{name.replace("_", "-"): value for name, value in more.items()}}
    if way == "http1":
        async with http1(server.address) as wire:
            await wire.post(path, headers, body, end=end)
            await wire.head()
            yield wire
    else:
        async with http2(server.address) as connection:
            stream = connection.post(path, headers, body, end=end)
            await stream.head()
            yield stream


async def numbers(came: Came) -> tuple[list[int], dict[str, Any]]:
    """The numbers that came, and what the last frame says."""
    *each, last = await came.rest()
    assert [frame.flags & 2 for frame in each] == [0] * len(each)
    assert last.flags == 2
    return [int(frame.json()["numberValue"]) for frame in each], last.json()


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_stream_gives_every_answer_and_an_end(server: Served, way: str):
    async with asked(server, way, enveloped({"to": 3})) as came:
        assert (came.status, came.headers["content-type"]) == (200, JSON)
        assert "connect-content-encoding" not in came.headers
        assert await numbers(came) == ([0, 1, 2], {})


@pytest.mark.parametrize("way", WAYS)
async def test_the_head_comes_before_the_first_answer(server: Served, way: str):
    async with asked(server, way, enveloped({"then": "silence"})) as came:
        assert came.status == 200
        await server.feature.until_open(1)


@pytest.mark.parametrize("way", WAYS)
async def test_an_error_comes_after_the_answers_with_its_code_and_when_to_try_again(server: Served, way: str):
    async with asked(server, way, enveloped({"to": 1, "then": "fail"})) as came:
        assert came.status == 200
        seen, last = await numbers(came)
        assert (seen, last["metadata"]) == ([0], {"retry-after": ["3"]})
        error = last["error"]
        assert (error["code"], error["message"]) == ("not_found", "It went away while counting.")
        info, retry = error["details"]
        assert oracle.plain(oracle.detail(info)) == {"reason": "GONE", "domain": "ironflow"}
        assert oracle.plain(oracle.detail(retry)) == {"retry_delay": "3s"}
    async with asked(server, way, enveloped({"then": "surprise"})) as came:
        seen, last = await numbers(came)
        assert (seen, last["error"]["code"]) == ([], "internal")
        assert "secret" not in str(last)


async def test_a_bidirectional_stream_answers_while_it_is_asked(server: Served):
    async with asked(server, "http2", b"", ECHO_PATH, end=False) as came:
        assert (came.status, came.headers["content-type"]) == (200, JSON)
        for value in range(5):
            came.send(enveloped({"to": value}))
            frame = await came.frame()
            assert (frame.flags, frame.json()["numberValue"]) == (0, str(value))
        came.send(enveloped({"to": 5}), end=True)
        assert await numbers(came) == ([5], {})


async def test_many_streams_share_a_connection(server: Served):
    async with http2(server.address) as connection:
        streams = [connection.post(ECHO_PATH, HEADERS, end=False) for _ in range(50)]
        for value, stream in enumerate(streams):
            stream.send(enveloped({"to": value}), end=True)
        assert [(await numbers(stream))[0] for stream in streams] == [[value] for value in range(50)]


async def test_a_bidirectional_stream_needs_http2(server: Served):
    async with asked(server, "http1", enveloped({}), ECHO_PATH) as came:
        assert came.status == 505
        assert msgspec.json.decode(await came.body())["code"] == "unimplemented"


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_no_stream_has_a_status_of_its_own(server: Served, way: str):
    for path, kind, status, code in (
        (f"{PREFIX}TestService/Nothing", JSON, 404, "unimplemented"),
        (f"{PREFIX}TestService/Once", JSON, 415, "invalid_argument"),
        (COUNT_PATH, "application/connect+xml", 415, "invalid_argument"),
        (COUNT_PATH, "application/json", 415, "invalid_argument"),
    ):
        async with asked(server, way, enveloped({}), path, content_type=kind) as came:
            error = msgspec.json.decode(await came.body())
            assert (came.status, error["code"]) == (status, code), (path, kind)


@pytest.mark.parametrize("way", WAYS)
async def test_a_frame_is_packed_only_for_a_client_that_accepts_gzip(server: Served, way: str):
    asking = enveloped({"to": 1, "bytesEach": 5_000})
    async with asked(server, way, asking, connect_accept_encoding="gzip,br") as came:
        assert came.headers["connect-content-encoding"] == "gzip"
        frame, last = await came.rest()
        assert (frame.flags, last) == (1, Frame(2, b"{}"))
        assert frame.json() == {"numberValue": "0", "filling": "x" * 5_000}
        assert len(frame.data) < 200
    for accepted in ("", "identity", "br", "gzip;q=0"):
        async with asked(server, way, asking, connect_accept_encoding=accepted) as came:
            assert "connect-content-encoding" not in came.headers
            assert [frame.flags for frame in await came.rest()] == [0, 2]
    async with asked(server, way, enveloped({"to": 1}), connect_accept_encoding="gzip") as came:
        # Too small to be worth it.
        assert [frame.flags for frame in await came.rest()] == [0, 2]


COUNT_REQUEST, COUNT_RESPONSE = oracle.kind("CountRequest"), oracle.kind("CountResponse")


def as_proto(**values: Any) -> bytes:
    return oracle.made(COUNT_REQUEST, values).SerializeToString()


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_stream_in_binary(server: Served, way: str):
    for body, more in (
        (enveloped(as_proto(to=3, then="fail")), {}),
        (packed(as_proto(to=3, then="fail")), {"connect_content_encoding": "gzip"}),
    ):
        async with asked(server, way, body, end=True, content_type=PROTO, **more) as came:
            assert (came.status, came.headers["content-type"]) == (200, PROTO)
            *numbers, last = await came.rest()
            assert [oracle.plain(COUNT_RESPONSE.FromString(frame.data)) for frame in numbers] == [
                {},
                {"number_value": "1"},
                {"number_value": "2"},
            ]
            assert last.error == "not_found"
    for rubbish in (b"\xff", b"\x08", b"\x12\x7f", b"\x12\x01\xff"):
        async with asked(server, way, enveloped(rubbish), content_type=PROTO) as came:
            (last,) = await came.rest()
            assert last.error == "invalid_argument"


async def test_a_bidirectional_stream_in_binary(server: Served):
    more = {"content_type": PROTO, "connect_content_encoding": "gzip", "connect_accept_encoding": "gzip"}
    async with asked(server, "http2", b"", ECHO_PATH, end=False, **more) as came:
        assert came.headers["connect-content-encoding"] == "gzip"
        for value, size in ((1, 0), (2, 10_000), (3, 0)):
            came.send(packed(as_proto(to=value, bytes_each=size)))
            frame = await came.frame()
            assert frame.flags == (1 if size else 0)
            response = COUNT_RESPONSE.FromString(zlib.decompress(frame.data, 31) if frame.flags else frame.data)
            assert response == COUNT_RESPONSE(number_value=value, filling="x" * size)
        came.end()
        assert await came.rest() == [Frame(2, b"{}")]


async def test_unary_in_binary_and_packed(server: Served):
    async with httpx.AsyncClient(base_url=server.address) as client:
        for packing in (False, True):
            content = as_proto(to=7, bytes_each=5_000)
            headers = {"content-type": "application/proto", "accept-encoding": "gzip" if packing else "identity"}
            if packing:
                content, headers["content-encoding"] = gzip.compress(content), "gzip"
            answer = await client.post(f"{PREFIX}TestService/Once", content=content, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/proto")
            assert answer.headers.get("content-encoding") == ("gzip" if packing else None)
            assert COUNT_RESPONSE.FromString(answer.content) == COUNT_RESPONSE(number_value=7, filling="x" * 5_000)


@pytest.mark.parametrize("way", WAYS)
async def test_a_packed_request_is_read(server: Served, way: str):
    async with asked(server, way, packed({"to": 2}), connect_content_encoding="gzip") as came:
        assert await numbers(came) == ([0, 1], {})
    async with asked(server, way, enveloped({"to": 2}), connect_content_encoding="gzip") as came:
        assert await numbers(came) == ([0, 1], {})


BOMB = packed(b" " * (BODY_BYTES_MAX * 50))
RUBBISH: list[tuple[str, bytes, dict[str, str], str]] = [
    ("nothing", b"", {}, "invalid_argument"),
    ("a head without its message", b"\0\0\0\0\5", {}, "invalid_argument"),
    ("half a head", b"\0\0\0", {}, "invalid_argument"),
    ("half a message", enveloped({"to": 2})[:-3], {}, "invalid_argument"),
    ("two messages", enveloped({}) + enveloped({}), {}, "invalid_argument"),
    ("a message and a half", enveloped({}) + enveloped({})[:4], {}, "invalid_argument"),
    ("an end frame", enveloped({}, 2), {}, "invalid_argument"),
    ("unknown flags", enveloped({}, 0x80), {}, "invalid_argument"),
    ("compressed, without a content encoding", packed({}), {}, "invalid_argument"),
    ("compressed, and is not", enveloped({}, 1), {"connect_content_encoding": "gzip"}, "invalid_argument"),
    ("cut off inside", enveloped(packed({"to": 1})[5:-4], 1), {"connect_content_encoding": "gzip"}, "invalid_argument"),
    ("another compression", enveloped({}), {"connect_content_encoding": "br"}, "unimplemented"),
    ("a bomb", BOMB, {"connect_content_encoding": "gzip"}, "resource_exhausted"),
    ("a length that is a lie", b"\0\xff\xff\xff\xff", {}, "resource_exhausted"),
    ("just too long", enveloped(b" " * (BODY_BYTES_MAX + 1)), {}, "resource_exhausted"),
    ("no JSON", enveloped(b"{"), {}, "invalid_argument"),
    ("no object", enveloped([1]), {}, "invalid_argument"),
    ("no UTF-8", enveloped(b'{"then":"\xff"}'), {}, "invalid_argument"),
    ("the wrong type", enveloped({"to": "many"}), {}, "invalid_argument"),
    ("a bad deadline", enveloped({}), {"connect_timeout_ms": "soon"}, "invalid_argument"),
    ("a bad environment", enveloped({}), {"x_ironflow_environment": "has spaces"}, "invalid_argument"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("body", "headers", "code"), [each[1:] for each in RUBBISH], ids=[each[0] for each in RUBBISH])
async def test_rubbish_is_refused_in_the_last_frame(
    server: Served, way: str, body: bytes, headers: dict[str, str], code: str
):
    async with asked(server, way, body, end=True, **headers) as came:
        assert came.status == 200
        (last,) = await came.rest()
        assert last.error == code
        assert last.json()["error"]["message"]
    async with asked(server, way, enveloped({"to": 1})) as came:
        assert await numbers(came) == ([0], {})


async def test_rubbish_within_a_bidirectional_stream_ends_it_after_its_answers(server: Served):
    for rubbish in (enveloped({}, 0x40), b"\0\0\0", enveloped(b"{"), b"\0\xff\xff\xff\xff"):
        async with asked(server, "http2", enveloped({"to": 4}), ECHO_PATH, end=False) as came:
            assert (await came.frame()).json()["numberValue"] == "4"
            came.send(rubbish, end=True)
            (last,) = await came.rest()
            assert last.error in ("invalid_argument", "resource_exhausted")


@pytest.mark.parametrize("way", WAYS)
async def test_a_frame_may_come_byte_by_byte(server: Served, way: str):
    whole = enveloped({"to": 2})
    if way == "http1":
        async with http1(server.address) as came:
            await came.post(COUNT_PATH, HEADERS, end=False)
            for place in range(len(whole)):
                came.send(whole[place : place + 1])
                await came.writer.drain()
            came.writer.write(b"0\r\n\r\n")
            await came.head()
            assert await numbers(came) == ([0, 1], {})
    else:
        async with http2(server.address) as connection:
            stream = connection.post(COUNT_PATH, HEADERS, end=False)
            for place in range(len(whole)):
                stream.send(whole[place : place + 1])
            stream.end()
            assert await numbers(stream) == ([0, 1], {})


@pytest.mark.parametrize("way", WAYS)
async def test_a_silent_stream_is_closed_when_its_client_leaves(
    server: Served, way: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exchange, "LOOK_S", 0.02)
    async with asked(server, way, enveloped({"to": 1, "then": "silence"})) as came:
        assert (await came.frame()).json()["numberValue"] == "0"
        await server.feature.until_open(1)
        came.abort()
        await server.feature.until_open(0)


async def test_a_bidirectional_stream_is_closed_when_its_client_leaves(server: Served):
    for cut in ("stream", "connection"):
        async with asked(server, "http2", enveloped({}), ECHO_PATH, end=False) as came:
            await came.frame()
            await server.feature.until_open(1)
            came.abort() if cut == "stream" else came.connection.abort()
            await server.feature.until_open(0)


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_leaves_at_any_byte_leaves_nothing_open(
    server: Served, way: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exchange, "LOOK_S", 0.02)
    whole = enveloped({"to": 2, "then": "silence"})
    for cut in range(len(whole) + 1):
        if way == "http1":
            async with http1(server.address) as came:
                await came.post(COUNT_PATH, HEADERS, whole[:cut], end=False)
                await came.head()
                came.abort()
        else:
            async with http2(server.address) as connection:
                stream = connection.post(ECHO_PATH, HEADERS, whole[:cut], end=False)
                await stream.head()
                connection.abort()
    await server.feature.until_open(0)


async def an_exchange(server: Served) -> None:
    """Another stream, by the method that makes no numbers of its own, from its request to its last answer."""
    async with asked(server, "http2", enveloped({"to": 2}), ECHO_PATH) as came:
        assert (await numbers(came))[1] == {}


async def test_a_client_that_reads_nothing_holds_back_only_its_stream(server: Served):
    async with http2(server.address, window=20_000) as connection:
        stream = connection.post(COUNT_PATH, HEADERS, enveloped({"to": 100_000, "bytesEach": 1_000}))
        await stream.head()
        await server.feature.until_open(1)
        async with asyncio.timeout(10):
            made = -1
            while made != server.feature.made:
                made = server.feature.made
                await an_exchange(server)
        # Some is under way in buffers, of a hundred megabytes.
        assert made < 10_000
        connection.abort()
        await server.feature.until_open(0)


async def test_a_client_that_sends_without_end_is_held_back(server: Served):
    """What a handler does not read is not taken: the client's window stays shut."""
    async with http2(server.address) as connection:
        stream = connection.post(f"{PREFIX}TestService/Drain", HEADERS, end=False)
        await stream.head()
        await server.feature.until_open(1)
        sent = 0
        part = enveloped(b" " * 15_000)
        async with asyncio.timeout(10):
            while sent < 60_000_000:
                if connection.window_of(stream.number) < len(part):
                    # While another stream is served from start to end, the window stays shut.
                    await an_exchange(server)
                    if connection.window_of(stream.number) < len(part):
                        break
                stream.send(part)
                sent += len(part)
        assert sent < 60_000_000
        server.feature.may_end.set()


@pytest.mark.parametrize("way", WAYS)
async def test_a_deadline_ends_a_stream_between_answers(server: Served, way: str):
    async with asked(server, way, enveloped({"to": 2, "then": "silence"}), connect_timeout_ms="1000") as came:
        seen, last = await numbers(came)
        assert (seen, last["error"]["code"]) == ([0, 1], "deadline_exceeded")


@pytest.mark.parametrize("way", WAYS)
async def test_a_deadline_counts_while_the_request_is_awaited(server: Served, way: str):
    async with asked(server, way, b"\0\0", connect_timeout_ms="50", end=False) as came:
        (last,) = await came.rest()
        assert last.error == "deadline_exceeded"


@pytest.mark.parametrize("way", WAYS)
async def test_a_message_that_stops_coming_is_given_up(server: Served, way: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, "BODY_IDLE_S", 0.05)
    for begun in (b"", b"\0\0\0", enveloped({})[:-1], enveloped({})):
        async with asked(server, way, begun, end=False) as came:
            (last,) = await came.rest()
            assert last.error == "deadline_exceeded"


async def test_a_bidirectional_client_may_be_silent_between_messages_not_within_one(
    server: Served, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(http, "BODY_IDLE_S", 0.05)
    async with asked(server, "http2", b"", ECHO_PATH, end=False) as came:
        # Silent for as long as the server waits for another client, which is silent within a message.
        async with asked(server, "http2", b"\0", ECHO_PATH, end=False) as other:
            assert [last.error for last in await other.rest()] == ["deadline_exceeded"]
        came.send(enveloped({"to": 1}))
        assert (await came.frame()).json()["numberValue"] == "1"
        came.send(enveloped({"to": 2})[:7])
        (last,) = await came.rest()
        assert last.error == "deadline_exceeded"


@pytest.mark.parametrize("way", WAYS)
async def test_a_stopping_server_ends_streams_with_unavailable(server: Served, way: str):
    async with asked(server, way, enveloped({"to": 1, "then": "silence"})) as came:
        assert (await came.frame()).json()["numberValue"] == "0"
        server.streams.drain()
        (last,) = await came.rest()
        assert (last.error, last.json()["error"]["reason"]) == ("unavailable", "SERVER_STOPPING")
    async with asked(server, way, enveloped({"to": 1})) as came:
        (last,) = await came.rest()
        assert last.error == "unavailable"


async def test_a_stream_that_drains_is_given_its_time(server: Served):
    path = f"{PREFIX}TestService/Drain"
    async with (
        asked(server, "http2", b"", path, end=False) as drains,
        asked(server, "http2", b"", path, end=False) as late,
    ):
        await server.feature.until_open(2)
        server.streams.drain()
        server.feature.may_end.set()
        assert await numbers(drains) == ([7], {})
        server.feature.may_end.clear()
        assert await numbers(late) == ([7], {})
    server.feature.may_end.clear()


async def test_a_page_of_this_machine_may_read_a_stream(server: Served):
    async with asked(server, "http1", enveloped({"to": 1}), origin="http://localhost:3000") as came:
        assert came.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert came.headers["access-control-expose-headers"] == "*"
        assert await numbers(came) == ([0], {})
