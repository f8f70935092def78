"""A fake server and workers connected to it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ironflow.sdk.definition.function import FunctionDefinition, function
from ironflow.sdk.worker.timing import WorkerTiming
from ironflow.sdk.worker.worker import Worker
from tests.sdk.worker.fake_server import FakeServer

# Pauses are short and waits long: only what a test waits for happens.
QUICK = WorkerTiming(
    poll_wait=20,
    empty_pause=0.01,
    heartbeat=60.0,
    retry=0.01,
    retry_max=0.05,
    reconnect=0.01,
    reconnect_max=0.05,
    checkpoint=0.0,
    final_retries=(0.01, 0.01, 0.01, 0.01),
    drain=10.0,
    flush=10.0,
)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    await fake.start()
    yield fake
    await fake.stop()


StartWorker = Callable[..., Any]


@pytest.fixture
async def a_worker(server: FakeServer) -> AsyncIterator[StartWorker]:
    """Starts a worker of plain handlers or definitions; it is stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(*handlers: Any, **settings: Any) -> Worker:
            definitions = [
                each if isinstance(each, FunctionDefinition) else function("f" if not place else f"f{place}")(each)
                for place, each in enumerate(handlers)
            ]
            # What these tests are about is the protocol; steps that are durable one by one have tests of their own.
            worker = Worker(definitions, **{"url": server.url, "timing": QUICK, "checkpoint": "batched", **settings})
            stack.push_async_callback(worker.stop)
            await worker.start()
            return worker

        yield start
