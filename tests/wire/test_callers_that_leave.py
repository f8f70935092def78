"""Callers of InvokeFunctionSync that disconnect; the fixture looks at the log of the server, which has no traceback."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.wire.clients import http1, http2
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes

RPC = "/ironflow.v1.IronflowService/"
INVOKE = RPC + "InvokeFunctionSync"
JSON = {"content-type": "application/json", "user-agent": "Go-http-client/1.1"}
WITHIN_S = 60


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.address, timeout=WITHIN_S) as client:
        yield client


async def the_run(http: httpx.AsyncClient, function: str, *statuses: str) -> dict[str, Any]:
    """The run of that function, as soon as there is one with one of these statuses."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = (await http.post(RPC + "ListRuns", json={"functionId": function})).json()["runs"]
            if found and found[0]["status"] in statuses:
                return found[0]
            await asyncio.sleep(0.02)


async def test_a_caller_that_disconnects_cancels_its_run_without_a_failure_in_the_log(
    server: Server, http: httpx.AsyncClient
):
    function = f"left-{uuid.uuid4().hex[:8]}"
    await http.post(RPC + "RegisterFunction", json={"id": function, "triggers": []})
    body = b'{"functionId": "%s"}' % function.encode()
    async with http1(server.address) as caller:
        await caller.post(INVOKE, JSON, body)
        await the_run(http, function, "pending")
    run = await the_run(http, function, "cancelled")
    assert "disconnected" in run["cancellationCause"]


async def test_a_caller_that_resets_its_stream_cancels_its_run(server: Server, http: httpx.AsyncClient):
    function = f"reset-{uuid.uuid4().hex[:8]}"
    await http.post(RPC + "RegisterFunction", json={"id": function, "triggers": []})
    async with http2(server.address) as connection:
        stream = connection.post(INVOKE, JSON, b'{"functionId": "%s"}' % function.encode())
        await the_run(http, function, "pending")
        stream.abort()
        run = await the_run(http, function, "cancelled")
    assert "disconnected" in run["cancellationCause"]


@pytest.mark.parametrize("http_server", ["h2corn", "granian"])
async def test_a_server_that_stops_in_time_leaves_the_runs_of_callers_that_wait(tmp_path: Path, http_server: str):
    database = str(tmp_path / "kept.db")
    with a_server(tmp_path, database, http_server=http_server, shutdown_ms="2000") as first:
        async with (
            httpx.AsyncClient(base_url=first.address, timeout=WITHIN_S) as http,
            http1(first.address) as one,
            http2(first.address) as other,
        ):
            for function in ("one", "other"):
                await http.post(RPC + "RegisterFunction", json={"id": function, "triggers": []})
            await one.post(INVOKE, JSON, b'{"functionId": "one"}')
            other.post(INVOKE, JSON, b'{"functionId": "other"}')
            for function in ("one", "other"):
                await the_run(http, function, "pending")
            assert await asyncio.to_thread(first.stop) == 0
    with a_server(tmp_path, database) as second:
        async with httpx.AsyncClient(base_url=second.address, timeout=WITHIN_S) as http:
            for function in ("one", "other"):
                await the_run(http, function, "pending")


async def test_with_an_idempotency_key_the_run_goes_on_and_the_same_call_joins_it(
    server: Server, http: httpx.AsyncClient
):
    function = f"kept-{uuid.uuid4().hex[:8]}"
    await http.post(RPC + "RegisterFunction", json={"id": function, "triggers": []})
    body = b'{"functionId": "%s", "idempotencyKey": "once"}' % function.encode()
    async with http1(server.address) as caller:
        await caller.post(INVOKE, JSON, body)
        run = await the_run(http, function, "pending")
    # The end of the connection is noticed within a moment; the repeated call comes after it.
    again = {"functionId": function, "idempotencyKey": "once", "timeoutMs": 1_000}
    joined = (await http.post(INVOKE, json=again)).json()["result"]
    assert (joined["runId"], joined["status"], joined["waitTimedOut"]) == (run["id"], "pending", True)
