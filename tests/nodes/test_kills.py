"""`kill -9` of a server on PostgreSQL: what it held is held no more, at its next start and on a node beside it.

All that ends by its time is put an hour off after the kill, so what goes on was taken over from an incarnation that has
ended.
"""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg
import pytest

from tests.crash.processes import Process
from tests.push.endpoint import an_endpoint, completed
from tests.wire.clients import http2
from tests.wire.plain_projection import EVENT as ORDER
from tests.wire.plain_projection import PlainRunner
from tests.wire.plain_stream_worker import PlainStreamWorker
from tests.wire.plain_worker import EVENT as BEGIN
from tests.wire.server_process import Server

pytestmark = pytest.mark.processes

PATIENCE_S = 60
# An hour.
LATER: list[LiteralString] = [
    "UPDATE jobs SET expires_at = expires_at + 3600000, deadline_at = deadline_at + 3600000 WHERE expires_at > 0",
    "UPDATE projections SET seat_ends_at = seat_ends_at + 3600000 WHERE seat <> ''",
]


class Nodes:
    """beside: whether a second node is there from the beginning, or the killed one is started again."""

    def __init__(self, folder: Path, db: str, *, beside: bool) -> None:
        self._folder, self._db = folder, db
        self._processes: list[Process] = []
        self.first = self._start("a")
        self._second = self._start("b") if beside else None

    def kill(self) -> Server:
        """Kills the first node. Returns the one that goes on."""
        self._processes[0].kill()
        with psycopg.connect(self._db, autocommit=True) as connection:
            changed = sum(connection.execute(each).rowcount for each in LATER)
        assert changed == 1
        return self._second or self._start("a")

    def end(self) -> None:
        for each in self._processes:
            each.kill()

    def _start(self, name: str) -> Server:
        folder = self._folder / str(len(self._processes))
        folder.mkdir()
        environment = {"IRONFLOW_DB": self._db, "IRONFLOW_PORT": "0", "IRONFLOW_DEV": "true", "IRONFLOW_NODE_ID": name}
        self._processes.append(Process("server", ["ironflow.server.run"], folder, environment))
        return Server(self._processes[-1])


@pytest.fixture(params=["the next start", "a node beside it"])
def nodes(request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str) -> Iterator[Nodes]:
    made = Nodes(tmp_path, postgres_url, beside=request.param == "a node beside it")
    try:
        yield made
    finally:
        made.end()


def a_client(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.address, timeout=PATIENCE_S)


async def emit(client: httpx.AsyncClient, event: str, data: Any) -> str:
    """The run that the event starts, if any."""
    answer = await client.post("/api/v1/events", json={"name": event, "data": data})
    answer.raise_for_status()
    return next(iter(answer.json().get("run_ids", [])), "")


async def first_event(client: httpx.AsyncClient) -> str:
    async with aclosing(PlainRunner(client).frames()) as frames:
        async for frame in frames:
            if frame["kind"] == "PROJECTION_EVENT_KIND_EVENT":
                return frame["id"]
    raise AssertionError("the stream ended without an event")


async def test_a_projection_is_fed_after_the_server_of_its_stream_was_killed(nodes: Nodes) -> None:
    async with a_client(nodes.first) as client:
        await PlainRunner(client).register()
        await emit(client, ORDER, {"customerId": "c", "amount": 1})
        async with aclosing(PlainRunner(client).frames()) as frames:
            event_id = (await anext(frames))["id"]
            after = nodes.kill()
            with pytest.raises(httpx.HTTPError):
                await anext(frames)
    async with a_client(after) as client, asyncio.timeout(PATIENCE_S):
        assert await first_event(client) == event_id


async def test_a_go_worker_s_job_is_handed_out_again_after_the_server_of_its_stream_was_killed(nodes: Nodes) -> None:
    async with a_client(nodes.first) as client, http2(nodes.first.address) as connection:
        worker = PlainStreamWorker(client, connection, "go-1", "go")
        await worker.register()
        run_id = await emit(client, BEGIN, {"sku": "x", "total": 1})
        assert await worker.begin() == run_id
        async with asyncio.timeout(PATIENCE_S):
            while (await client.get(f"/api/v1/runs/{run_id}")).json()["status"] != "running":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        after = nodes.kill()
    async with a_client(after) as client, http2(after.address) as connection, asyncio.timeout(PATIENCE_S):
        worker = PlainStreamWorker(client, connection, "go-2", "go")
        await worker.register()
        assert await worker.begin() == run_id


async def test_a_request_to_an_endpoint_is_repeated_after_its_server_was_killed(nodes: Nodes) -> None:
    hang = asyncio.Event()

    async def answer(_: dict[str, Any]) -> dict[str, Any]:
        if len(endpoint.requests) == 1:
            await hang.wait()
        return completed("again")

    async with an_endpoint(answer) as endpoint:
        async with a_client(nodes.first) as client:
            function = {"id": "push", "name": "push", "triggers": [{"event": "push.it"}], "endpointUrl": endpoint.url}
            registered = await client.post(
                "/ironflow.v1.IronflowService/RegisterFunction",
                json={**function, "preferredMode": "EXECUTION_MODE_PUSH"},
            )
            registered.raise_for_status()
            run_id = await emit(client, "push.it", {})
            async with asyncio.timeout(PATIENCE_S):
                while not endpoint.requests:  # noqa: ASYNC110 another process makes the request
                    await asyncio.sleep(0.01)
            # The next start is waited for in a thread: the endpoint answers meanwhile.
            after = await asyncio.to_thread(nodes.kill)
        async with a_client(after) as client, asyncio.timeout(PATIENCE_S):
            while (run := (await client.get(f"/api/v1/runs/{run_id}")).json())["status"] != "completed":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        hang.set()
    assert run["output"] == "again"
