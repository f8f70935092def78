"""The clients' own watches over connections that break. A relay stands between client and server, and hangs up."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

import ironflow
from ironflow.base.errors import IronflowError
from ironflow.features.kv.contract import BucketNotFound
from ironflow.sdk.client.views import KeyChange
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes

WITHIN_S = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("watches")) as started:
        yield started


class Relay:
    """Passes bytes on in both directions until it is cut."""

    def __init__(self, server: Server) -> None:
        self._target = server.host_and_port
        self._open: set[asyncio.StreamWriter] = set()
        self.address = ""
        self.connections = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        relay = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{relay.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            relay.close()
            await self.cut()

    async def cut(self) -> None:
        """Every connection breaks now."""
        writers, self._open = self._open, set()
        for writer in writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        self._open |= {writer, there_writer}
        await asyncio.gather(_pass_on(reader, there_writer), _pass_on(there_reader, writer), return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    finally:
        writer.close()


async def test_a_watch_whose_connection_breaks_misses_nothing(server: Server, tmp_path: Path):
    faults: list[IronflowError] = []
    relay = Relay(server)
    async with relay.running(), ironflow.Client(server.address) as writer, ironflow.Client(relay.address) as client:
        bucket = await writer.kv.create_bucket("broken")
        seen: list[str] = []

        async def watch() -> None:
            async with aclosing(client.kv.bucket("broken").watch(after=0, on_error=faults.append)) as changes:
                async for change in changes:
                    seen.append(change.key)
                    if change.key == "end":
                        return

        watching = asyncio.ensure_future(watch())
        for number in range(60):
            await bucket.put(f"k{number}", b"v")
            if number % 20 == 10:
                async with asyncio.timeout(WITHIN_S):
                    while len(seen) < number:  # noqa: ASYNC110 another process is waited for
                        await asyncio.sleep(0.01)
                await relay.cut()
        await bucket.put("end", b"v")
        await asyncio.wait_for(watching, WITHIN_S)
    assert seen == [*(f"k{number}" for number in range(60)), "end"]
    assert len(faults) == 3
    assert {type(fault).__name__ for fault in faults} <= {"ConnectionLost", "BrokenStream"}


async def test_a_config_document_is_watched_from_before_it_exists(server: Server):
    async with ironflow.Client(server.address) as client, aclosing(client.config.watch("flags", after=0)) as flags:
        first = asyncio.ensure_future(anext(flags))
        await client.config.set("flags", {"a": 1})
        await client.config.patch("flags", {"b": 2})
        await client.config.delete("flags")
        found = [await asyncio.wait_for(first, WITHIN_S)]
        while found[-1].data is not None:
            found.append(await asyncio.wait_for(anext(flags), WITHIN_S))
    # However late the watch began, it ends with the newest state.
    assert [each.updated_at is None for each in found] == [each.data is None for each in found]
    assert [each.data for each in found[:-1]] in ([{"a": 1}, {"a": 1, "b": 2}], [{"a": 1, "b": 2}], [{"a": 1}], [])


async def test_watches_name_what_was_written_and_when(server: Server):
    async with ironflow.Client(server.address) as client:
        bucket = await client.kv.create_bucket("dated")
        await bucket.put("a", b"1")
        await client.config.set("dated", {"a": 1})
        kept = await client.config.get("dated")
        async with aclosing(bucket.watch(initial=True)) as changes, aclosing(client.config.watch("dated")) as documents:
            change = asyncio.ensure_future(anext(changes))
            waiting = asyncio.ensure_future(anext(documents))
            async with asyncio.timeout(WITHIN_S):
                # Without `initial` it begins with what is written later.
                while not waiting.done():
                    await client.config.set("dated", {"a": 2})
                    await asyncio.sleep(0.02)
                document = await waiting
                assert ((await change).bucket, (await change).key) == ("dated", "a")
        now = await client.config.get("dated")
    assert document.updated_at is not None
    assert (document.name, document.data) == ("dated", {"a": 2})
    assert kept.updated_at <= document.updated_at <= now.updated_at


async def test_the_end_of_the_bucket_is_the_end_of_the_watch(server: Server):
    async with ironflow.Client(server.address) as client:
        bucket = await client.kv.create_bucket("ending")
        await bucket.put("a", b"1")
        async with aclosing(bucket.watch(initial=True)) as changes:
            assert await anext(changes) == KeyChange(bucket="ending", key="a", value=b"1", revision=1, operation="put")
            await client.kv.delete_bucket("ending")
            with pytest.raises(BucketNotFound):
                await asyncio.wait_for(anext(changes), WITHIN_S)
        with pytest.raises(BucketNotFound):
            await anext(client.kv.bucket("none").watch())


def test_the_client_for_scripts_watches_too(server: Server):
    with ironflow.sync.Client(server.address) as client, ironflow.sync.Client(server.address) as other:
        bucket = client.kv.create_bucket("plain")
        bucket.put("a", b"1")
        writing = threading.Timer(0.2, other.kv.bucket("plain").put, ("b", b"2"))
        writing.start()
        changes = bucket.watch(after=0)
        seen = [next(changes).key, next(changes).key]
        changes.close()
        writing.join()
    assert seen == ["a", "b"]
