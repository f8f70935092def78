"""Question: what does an idle WebSocket cost?

Method: the server's own memory without sockets, with 5,000 idle sockets, and with a subscription on each; the
difference is divided.
Then one message that all of them subscribe to: the time until the last has it.
"""

import asyncio
import resource
import time

import httpx

from benchmarks.answers import Figure
from benchmarks.fanout import connected, publish, until
from benchmarks.processes import Workspace

SOCKETS = 5_000
SETTLE_S = 2.0


async def run(workspace: Workspace) -> list[Figure]:
    sockets = allowed(SOCKETS)
    server, address = await workspace.server()
    took_s: list[float] = []
    warm = await connected(address, "warm", took_s)
    await warm.subscribed
    before = server.memory_bytes()
    # One after another: the backlog of a listening socket is limited.
    readers = [await connected(address, "crowd", took_s) for _ in range(sockets)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(reader.subscribed for reader in readers))
    await asyncio.sleep(SETTLE_S)
    each = (server.memory_bytes() - before) / sockets
    async with httpx.AsyncClient(base_url=address) as client:
        begun = time.perf_counter()
        await publish(client, "crowd")
        await until(readers, 1)
        message_s = time.perf_counter() - begun
    await asyncio.sleep(SETTLE_S)
    after = (server.memory_bytes() - before) / sockets
    for reader in (warm, *readers):
        reader.close()
    return [
        Figure(name="memory of an idle subscribed socket", value=each / 1e3, unit="kB", target=20, better="less"),
        Figure(name="the same after a message", value=after / 1e3, unit="kB", better="less"),
        Figure(name=f"a message at all of {sockets} sockets", value=message_s * 1e3, unit="ms", better="less"),
    ]


def allowed(wanted: int) -> int:
    """The number of connections that this process may open, at most `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(100, min(wanted, (hard if hard > 0 else soft) - 200))
