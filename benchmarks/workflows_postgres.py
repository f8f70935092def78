"""Question: how many three-step workflows a second on PostgreSQL, and how long does one take?

Method: that of `workflows` and `latency`, each step durable before the next begins, on PostgreSQL and in turns on
SQLite, with 64 events in flight and then one at a time. Server, worker, client and PostgreSQL share the machine.

PostgreSQL is that of IRONFLOW_BENCH_POSTGRES, a libpq address; a database is made there and dropped at the end. Without
it there are no figures. Whether its commits wait for the disk is its own setting.
"""

import asyncio
import os

from benchmarks.answers import Figure
from benchmarks.app import database
from benchmarks.load import Measured
from benchmarks.processes import Process, Workspace
from benchmarks.workflows import IN_FLIGHT, orders

SECONDS = 9.0
ROUNDS = 3


async def run(workspace: Workspace) -> list[Figure]:
    address = os.environ.get("IRONFLOW_BENCH_POSTGRES")
    if not address:
        return []
    async with database(address) as url:
        postgres, sqlite = await workspace.server(db=url), await workspace.server()
        many: list[Measured] = []
        one: list[Measured] = []
        beside: list[Measured] = []
        for _ in range(ROUNDS):
            await measure(workspace, postgres, many, one)
            await measure(workspace, sqlite, beside, [])
        await asyncio.to_thread(postgres[0].stop)
    best, on_sqlite = (max(found, key=lambda measured: measured.per_second) for found in (many, beside))
    alone = min(one, key=lambda measured: measured.percentile(50))
    return [
        Figure(name="three-step workflows", value=best.per_second, unit="/s", target=800),
        Figure(name="three-step workflows beside SQLite", value=best.per_second / on_sqlite.per_second, unit="×"),
        Figure(name="p50 with 64 in flight", value=best.percentile(50), unit="ms", better="less"),
        Figure(name="start to result p50", value=alone.percentile(50), unit="ms", target=12, better="less"),
        Figure(name="start to result p99", value=alone.percentile(99), unit="ms", better="less"),
        Figure(name="processor time of the server for one", value=best.spent_us, unit="µs", better="less"),
    ]


async def measure(workspace: Workspace, server: tuple[Process, str], many: list[Measured], one: list[Measured]) -> None:
    """Adds a round with 64 in flight to `many`, and one with one at a time to `one`."""
    process, address = server
    worker = await workspace.worker(address)
    many.append(await orders(address, IN_FLIGHT, SECONDS / ROUNDS, process.cpu_seconds))
    one.append(await orders(address, 1, SECONDS / ROUNDS))
    await asyncio.to_thread(worker.stop)
