"""Waiting for runs outlasts a server that is away, within the time that it was given."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import ironflow
from ironflow import function
from ironflow.base.errors import ConnectionLost
from ironflow.sdk.wire.retries import Retries
from ironflow.sync import Client as SyncClient
from ironflow.worker import Worker
from tests.crash.processes import Process
from tests.wire.server_process import Server

pytestmark = pytest.mark.processes


@function("late", on="late.asked")
async def late(ctx: Any) -> str:
    return "done"


class Restartable:
    """A server that is killed and started again at its address."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._starts, self.port = folder, 0, "0"
        self._process: Process | None = None

    def start(self) -> Server:
        self._starts += 1
        folder = self._folder / str(self._starts)
        folder.mkdir()
        environment = {"IRONFLOW_DB": str(self._folder / "x.db"), "IRONFLOW_DEV": "true", "IRONFLOW_PORT": self.port}
        self._process = Process("server", ["ironflow.server.run"], folder, environment)
        server = Server(self._process)
        self.port = str(server.host_and_port[1])
        return server

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()


@pytest.fixture
async def restartable(tmp_path: Path) -> AsyncIterator[tuple[Restartable, str]]:
    """A server that knows the function, without a worker."""
    process = Restartable(tmp_path)
    server = await asyncio.to_thread(process.start)
    async with Worker([late], url=server.address):
        pass
    yield process, server.address
    await asyncio.to_thread(process.kill)


async def once_there_is_a_run(client: ironflow.Client) -> str:
    async with asyncio.timeout(10):
        while True:
            async for run in client.runs.list():
                return run.id
            await asyncio.sleep(0.01)


async def away_and_back(process: Restartable, address: str, waiting: "asyncio.Task[Any]") -> Any:
    """What is waited for, when the server is killed meanwhile, comes back, and then gets a worker."""
    await asyncio.to_thread(process.kill)
    # Longer than three tries of a call take.
    await asyncio.wait((waiting,), timeout=1.2)
    await asyncio.to_thread(process.start)
    async with Worker([late], url=address):
        return await waiting


# Three tries, and little time for each call: neither limits a wait.
IMPATIENT: dict[str, Any] = {"timeout": "2s", "retries": Retries(attempts=3)}

Wait = Callable[[ironflow.Client], Awaitable[Any]]


async def test_runs_wait_goes_on_while_the_server_is_away(restartable: tuple[Restartable, str]) -> None:
    process, address = restartable
    async with ironflow.Client(address, **IMPATIENT) as client:
        run_id = (await client.invoke(late.id)).run_id
        waiting = asyncio.create_task(client.runs.wait(run_id, timeout=20))
        run = await away_and_back(process, address, waiting)

    assert run.output == "done"


async def test_a_blocking_client_waits_as_well(restartable: tuple[Restartable, str]) -> None:
    process, address = restartable

    def wait() -> Any:
        with SyncClient(address, **IMPATIENT) as client:
            return client.runs.wait(run_id, timeout=20).output

    async with ironflow.Client(address) as client:
        run_id = (await client.invoke(late.id)).run_id
    waiting = asyncio.create_task(asyncio.to_thread(wait))

    assert await away_and_back(process, address, waiting) == "done"


async def invoked(client: ironflow.Client) -> Any:
    return await client.invoke_sync(late.id, timeout=20, idempotency_key="order-7")


async def emitted(client: ironflow.Client) -> Any:
    return (await client.emit_sync("late.asked", timeout=20, idempotency_key="order-7")).output


@pytest.mark.parametrize("wait", [invoked, emitted])
async def test_a_call_with_a_key_joins_its_run_when_the_server_is_back(
    restartable: tuple[Restartable, str], wait: Wait
) -> None:
    process, address = restartable
    async with ironflow.Client(address, timeout="2s") as client:
        waiting = asyncio.ensure_future(wait(client))
        await once_there_is_a_run(client)
        output = await away_and_back(process, address, waiting)
        runs = [run.id async for run in client.runs.list()]

    assert (output, len(runs)) == ("done", 1)


async def test_a_server_that_stays_away_is_the_error_at_the_end(restartable: tuple[Restartable, str]) -> None:
    process, address = restartable
    async with ironflow.Client(address, **IMPATIENT) as client:
        run_id = (await client.invoke(late.id)).run_id
        await asyncio.to_thread(process.kill)
        with pytest.raises(ConnectionLost):
            await client.runs.wait(run_id, timeout=0.5)
