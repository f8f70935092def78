"""Question: how much of the server's memory does a sleeping run take?

Method: 20,000 runs end first, so that SQLite's page caches and the allocator's pools have the size they grow to anyway;
then 10,000 runs sleep for a day. Counted is what the server's own memory (RssAnon) grows by, divided by 10,000; then
the server is started again and compared with one on an empty file. Beside it, what such a run takes on the disk.
An allocator that gave something back meanwhile counts as no growth.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from benchmarks.answers import Figure
from benchmarks.processes import Ground, Process
from benchmarks.sleepers import Watch, all_ended, put_to_sleep, start_runs
from benchmarks.worker import ORDER
from ironflow import Client

ENDED = 20_000
SLEEPERS = 10_000


async def run(ground: Ground) -> list[Figure]:
    server, address = await ground.server()
    worker = await ground.worker(address)
    await start_runs(address, ENDED, {"event": ORDER, "data": {"number": 1}})
    async with Client(address, timeout="60s") as client:
        await all_ended(client, within_s=120)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    before, disk_before = await settled(server), _disk(ground)
    await put_to_sleep(address, SLEEPERS, tomorrow)
    await Watch(ground.folder / "bench.db").until_asleep(SLEEPERS, within_s=60)
    grown, disk = await settled(server) - before, _disk(ground) - disk_before
    worker.stop()
    server.stop()
    again, _ = await ground.server()
    empty, _ = await ground.server(db=str(ground.folder / "empty.db"))
    restarted = await settled(again) - await settled(empty)
    return [
        Figure(name="memory of a sleeping run", value=max(grown, 0) / SLEEPERS, unit="B", target=1000, better="less"),
        Figure(name="the same after a restart", value=max(restarted, 0) / SLEEPERS, unit="B", better="less"),
        Figure(name="disk of a sleeping run", value=disk / SLEEPERS, unit="B", better="less"),
    ]


async def settled(server: Process) -> int:
    """The server's memory when it has come to rest: the least of a few looks."""
    looks: list[int] = []
    for _ in range(5):
        await asyncio.sleep(0.5)
        looks.append(server.memory_bytes())
    return min(looks)


def _disk(ground: Ground) -> int:
    return (ground.folder / "bench.db").stat().st_size
