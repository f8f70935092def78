"""A program that knows only the protocol runs a function of three steps and a sleep, on either HTTP server."""

from pathlib import Path

import httpx
import pytest

from tests.wire.plain_worker import PlainWorker, place_orders
from tests.wire.server_process import a_server

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("http_server", ["h2corn", "granian"])
async def test_a_worker_made_from_the_protocol_alone_does_its_work(tmp_path: Path, http_server: str):
    totals = [100, 2**70, None, {"amount": [1.5]}]
    with a_server(tmp_path, http_server=http_server) as server:
        async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
            worker = PlainWorker(client)
            await worker.register()
            runs = await place_orders(client, totals)

            executions = await worker.work_off(len(runs))

            # Two executions each: before the nap and after it.
            assert len(executions) == len(set(executions)) == 2 * len(runs)
            for run_id, total in zip(runs, totals, strict=True):
                run = (await client.get(f"/api/v1/runs/{run_id}")).json()
                assert (run["status"], run["attempt"], run["functionId"]) == ("completed", 1, "plain/order")
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
                assert steps[2]["endedAt"] > steps[1]["endedAt"]
            (seen,) = (await client.get("/api/v1/workers")).json()["workers"]
            assert (seen["id"], seen["active_jobs"], seen["version"]["runtime"]) == ("plain-1", 0, "plain")
        assert "Traceback" not in server.log
