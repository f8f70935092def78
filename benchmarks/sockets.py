"""Question: what does a WebSocket cost that says nothing?

Method: the server's own memory with none, with 5,000 idle sockets, and with a subscription on each of them; divided.
Then one message that all of them subscribe to: the time until the last has it.
"""

import asyncio
import resource
import time

import httpx

from benchmarks.answers import Figure
from benchmarks.fanout import connected, publish, until
from benchmarks.processes import Ground

SOCKETS = 5_000
SETTLE_S = 2.0


async def run(ground: Ground) -> list[Figure]:
    sockets = allowed(SOCKETS)
    server, address = await ground.server()
    took_s: list[float] = []
    warm = await connected(address, "warm", took_s)
    await warm.subscribed
    before = server.memory_bytes()
    # One after the other: a listening socket holds only so many that have not been accepted.
    readers = [await connected(address, "crowd", took_s) for _ in range(sockets)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(reader.subscribed for reader in readers))
    await asyncio.sleep(SETTLE_S)
    each = (server.memory_bytes() - before) / sockets
    async with httpx.AsyncClient(base_url=address) as client:
        begun = time.perf_counter()
        await publish(client, "crowd")
        await until(readers, 1)
        all_told = time.perf_counter() - begun
    await asyncio.sleep(SETTLE_S)
    after = (server.memory_bytes() - before) / sockets
    for reader in (warm, *readers):
        reader.close()
    return [
        Figure(name="memory of an idle subscribed socket", value=each / 1e3, unit="kB", target=20, better="less"),
        Figure(name="the same after a message", value=after / 1e3, unit="kB", better="less"),
        Figure(name=f"a message at all of {sockets} sockets", value=all_told * 1e3, unit="ms", better="less"),
    ]


def allowed(wanted: int) -> int:
    """So many connections as this process may have open, at most `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(100, min(wanted, (hard if hard > 0 else soft) - 200))
