"""A server stops although a request ignores its cancellation."""

import asyncio
import contextlib
import logging
from typing import Any

import pytest

from ironflow.server.http_servers import H2cornServer
from ironflow.server.settings import Settings

WITHIN_S = 20


async def test_a_request_that_ignores_its_cancellation_is_one_line_and_no_failure(caplog: pytest.LogCaptureFixture):
    begun, released, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()
        ended.set()

    http: Any = H2cornServer(app, Settings(port=0, shutdown_ms=100))  # pyright: ignore[reportArgumentType]
    started = asyncio.Event()
    serving = asyncio.create_task(http.serve(started.set))
    async with asyncio.timeout(WITHIN_S):
        await started.wait()
        host, _, port = http.address.partition("://")[2].rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n")
        await begun.wait()
        with caplog.at_level(logging.WARNING, "ironflow.server.http_servers"):
            http.stop()
            await serving
        released.set()
        await ended.wait()
        writer.close()

    assert [each.getMessage() for each in caplog.records] == ["requests did not end in time"]
