"""A program that knows only the protocol folds a projection, by polls and by a stream, on either HTTP server."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.wire.plain_projection import NAME, MemoryRunner, PlainRunner, place_orders
from tests.wire.server_process import a_server

pytestmark = pytest.mark.processes

ORDERS = [("ann", 5), ("bob", 7), ("ann", 1), ("cee", 2), ("bob", 3), ("ann", 4), ("cee", 6)]
STATES = {"ann": {"sum": 10, "orders": 3}, "bob": {"sum": 10, "orders": 2}, "cee": {"sum": 8, "orders": 2}}


@pytest.mark.parametrize("http_server", ["h2corn", "granian"])
@pytest.mark.parametrize("way", ["polls", "stream"])
async def test_a_runner_made_from_the_protocol_alone_folds_every_event_once(tmp_path: Path, http_server: str, way: str):
    with a_server(tmp_path, http_server=http_server) as server:
        async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
            runner = PlainRunner(client)
            assert (await runner.register())["status"] == "registered"
            ids = await place_orders(client, ORDERS)

            if way == "polls":
                assert await runner.work_off_by_polls() == len(ORDERS)
            else:
                await runner.work_off_by_stream(len(ORDERS))

            assert runner.events == ids
            assert {customer: await runner.state(customer) for customer in STATES} == STATES
            status = (await client.get(f"/api/v1/projections/{NAME}/status")).json()
            assert (status["status"], status["last_event_seq"], status["lastEventSeq"], status["lag"]) == (
                "active", len(ORDERS), len(ORDERS), 0,
            )  # fmt: skip
        assert "Traceback" not in server.log


async def test_a_stream_begins_again_at_the_cursor_after_it_broke_off(tmp_path: Path):
    with a_server(tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
            runner = PlainRunner(client, batch_size=100)
            await runner.register()
            ids = await place_orders(client, ORDERS)
            seen: list[str] = []
            async for frame in runner.frames():
                seen.append(frame["id"])
                if len(seen) == 3:
                    break

            await PlainRunner(client).work_off_by_stream(len(ORDERS))

            assert seen == ids[:3]
            assert {customer: await runner.state(customer) for customer in STATES} == STATES


async def test_a_rebuild_is_right_also_with_a_runner_that_keeps_its_state_in_memory(tmp_path: Path):
    with a_server(tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
            runner = MemoryRunner(client)
            await runner.start()
            await place_orders(client, ORDERS[:3])
            await runner.run_until_seq(3)
            assert await runner.state("") == {"t": 3}

            at_work = asyncio.ensure_future(runner.run_until_seq(4))
            started = await client.post(f"/api/v1/projections/{NAME}/rebuild")
            await place_orders(client, ORDERS[3:4])
            await at_work

            job = (await client.get(f"/api/v1/projections/{NAME}/rebuild")).json()
            assert (started.status_code, job["status"]) == (200, "completed")
            assert await runner.state("") == {"t": 4}
