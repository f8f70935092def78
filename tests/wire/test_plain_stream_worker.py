"""A streaming worker that knows only the protocol runs three steps and a sleep, on either HTTP server.

Its scenario is that of the polling one, and our SDK's streaming worker goes through it too.
"""

from pathlib import Path
from typing import Any

import httpx
import pytest

from ironflow import Client
from ironflow.sdk.definition.function import function
from ironflow.worker import StreamingWorker
from tests.wire.clients import http2
from tests.wire.plain_stream_worker import PlainStreamWorker
from tests.wire.plain_worker import EVENT, FUNCTION, NAP_S, place_orders
from tests.wire.server_process import a_server

pytestmark = pytest.mark.processes

TOTALS = [100, None, {"amount": [1.5]}]


async def check(client: httpx.AsyncClient, runs: list[str]) -> None:
    """What the scenario leaves behind."""
    for run_id, total in zip(runs, TOTALS, strict=True):
        run = (await client.get(f"/api/v1/runs/{run_id}")).json()
        assert (run["status"], run["attempt"], run["functionId"]) == ("completed", 1, FUNCTION)
        assert run["output"] == {
            "reserved": {"sku": "x-1", "in execution": 1},
            "charged": total,
            "shipped": {"in execution": 2},
            "attempt": 1,
        }
        steps = (await client.get(f"/api/v1/runs/{run_id}/steps")).json()["steps"]
        assert [(each["sequence"], each["name"], each["status"]) for each in steps] == [
            (0, "reserve", "STEP_STATUS_COMPLETED"),
            (1, "charge", "STEP_STATUS_COMPLETED"),
            (2, "nap", "STEP_STATUS_COMPLETED"),
            (3, "ship", "STEP_STATUS_COMPLETED"),
        ]


@pytest.mark.parametrize("http_server", ["h2corn", "granian"])
async def test_a_worker_made_from_the_protocol_alone_does_its_work(tmp_path: Path, http_server: str) -> None:
    with a_server(tmp_path, http_server=http_server) as server:
        async with (
            httpx.AsyncClient(base_url=server.address, timeout=30) as client,
            http2(server.address) as connection,
        ):
            worker = PlainStreamWorker(client, connection)
            await worker.register()
            runs = await place_orders(client, TOTALS)

            await worker.work_off(len(runs))
            await worker.leave()

            assert len(worker.executions) == len(set(worker.executions)) == 2 * len(runs)
            await check(client, runs)
            (seen,) = (await client.get("/api/v1/workers")).json()["workers"]
            assert (seen["id"], seen["transport"], seen["active_jobs"]) == ("plain-stream-1", "streaming", 0)
        assert "Traceback" not in server.log


@pytest.mark.parametrize("http_server", ["h2corn", "granian"])
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "batches"])
async def test_the_sdk_s_streaming_worker_does_the_same(tmp_path: Path, http_server: str, plain: bool) -> None:
    executions: dict[str, int] = {}

    @function(FUNCTION, on=EVENT)
    async def order(ctx: Any, data: dict[str, Any]) -> Any:
        seq = executions[ctx.run.id] = executions.get(ctx.run.id, 0) + 1
        reserved = await ctx.step.run("reserve", lambda: {"sku": data["sku"], "in execution": seq})
        charged = await ctx.step.run("charge", lambda: data["total"])
        await ctx.step.sleep("nap", NAP_S)
        shipped = await ctx.step.run("ship", lambda: {"in execution": seq})
        return {"reserved": reserved, "charged": charged, "shipped": shipped, "attempt": ctx.run.attempt}

    with a_server(tmp_path, http_server=http_server) as server:
        async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
            async with StreamingWorker([order], url=server.address, plain_protocol=plain):
                runs = await place_orders(client, TOTALS)
                async with Client(server.address) as ours:
                    for run_id in runs:
                        await ours.runs.wait(run_id, timeout="20s")
            await check(client, runs)
            assert executions == dict.fromkeys(runs, 2)
        assert "Traceback" not in server.log
