"""Question: how much of the server's memory does a sleeping run take?

Method: 20,000 runs end first, so that SQLite's page caches and the allocator's pools have reached their final size;
then 10,000 runs sleep for a day. The figure is the growth of the server's own memory (RssAnon), divided by 10,000; then
the server is started again and compared with one on an empty file. Also, the disk space of such a run.
Memory that the allocator returns meanwhile counts as no growth.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from benchmarks.answers import Figure
from benchmarks.processes import Process, Workspace
from benchmarks.sleepers import Watch, all_ended, put_to_sleep, start_runs
from benchmarks.worker import ORDER
from ironflow import Client

ENDED = 20_000
SLEEPERS = 10_000


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    worker = await workspace.worker(address)
    await start_runs(address, ENDED, {"event": ORDER, "data": {"number": 1}})
    async with Client(address, timeout="60s") as client:
        await all_ended(client, within_s=120)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    before, disk_before = await settled(server), _disk(workspace)
    await put_to_sleep(address, SLEEPERS, tomorrow)
    await Watch(workspace.folder / "bench.db").until_asleep(SLEEPERS, within_s=60)
    grown, disk = await settled(server) - before, _disk(workspace) - disk_before
    worker.stop()
    server.stop()
    again, _ = await workspace.server()
    empty, _ = await workspace.server(db=str(workspace.folder / "empty.db"))
    restarted = await settled(again) - await settled(empty)
    return [
        Figure(name="memory of a sleeping run", value=max(grown, 0) / SLEEPERS, unit="B", target=1000, better="less"),
        Figure(name="the same after a restart", value=max(restarted, 0) / SLEEPERS, unit="B", better="less"),
        Figure(name="disk of a sleeping run", value=disk / SLEEPERS, unit="B", better="less"),
    ]


async def settled(server: Process) -> int:
    """The server's memory at rest: the minimum of several samples."""
    looks: list[int] = []
    for _ in range(5):
        await asyncio.sleep(0.5)
        looks.append(server.memory_bytes())
    return min(looks)


def _disk(workspace: Workspace) -> int:
    return (workspace.folder / "bench.db").stat().st_size
