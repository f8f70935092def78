"""Question: how much of the server's memory does a sleeping run take?

Method: 10,000 runs end first, so that caches and pools have the size they grow to; then 10,000 runs sleep for a day.
Counted is what the server's own memory (RssAnon) grows by, divided by 10,000. Beside it, what it takes on the disk.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from benchmarks.answers import Figure
from benchmarks.processes import Ground, Process
from benchmarks.sleepers import Watch, put_to_sleep
from benchmarks.timers import awake_times
from ironflow import Client

SLEEPERS = 10_000


async def run(ground: Ground) -> list[Figure]:
    server, address = await ground.server()
    await ground.worker(address)
    now = datetime.now(UTC)
    await put_to_sleep(address, SLEEPERS, (now + timedelta(seconds=2)).isoformat())
    async with Client(address, timeout="60s") as client:
        await awake_times(client)
    before, disk_before = await settled(server), _disk(ground)
    await put_to_sleep(address, SLEEPERS, (now + timedelta(days=1)).isoformat())
    await Watch(ground.folder / "bench.db").until_asleep(SLEEPERS, within_s=60)
    grown, disk = await settled(server) - before, _disk(ground) - disk_before
    return [
        Figure(name="memory of a sleeping run", value=grown / SLEEPERS, unit="B", target=1000, better="less"),
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
