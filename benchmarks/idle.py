"""Question: what does an idle server cost, and how soon is it ready?

Method: a server on a new file: the time from starting the process to its ready line (the best of five,
which excludes disturbances of the machine), its memory three seconds later, and its processor time in five seconds.
"""

import asyncio
import time

from benchmarks.answers import Figure
from benchmarks.processes import Workspace

STARTS = 5
IDLE_S = 5.0


async def run(workspace: Workspace) -> list[Figure]:
    took_s: list[float] = []
    for number in range(STARTS):
        fresh, _ = await workspace.server(db=str(workspace.folder / f"idle-{number}.db"))
        took_s.append(time.perf_counter() - fresh.begun_at)
        fresh.stop()
    server, _ = await workspace.server(db=str(workspace.folder / "idle-0.db"))
    again_s = time.perf_counter() - server.begun_at
    await asyncio.sleep(3)
    before = server.cpu_seconds()
    await asyncio.sleep(IDLE_S)
    idle_share = (server.cpu_seconds() - before) / IDLE_S * 100
    return [
        Figure(name="ready on a new file", value=min(took_s), unit="s", target=0.5, better="less"),
        Figure(name="ready on a file that exists", value=again_s, unit="s", better="less"),
        Figure(name="memory", value=server.resident_bytes() / 1e6, unit="MB", target=90, better="less"),
        Figure(name="processor when idle", value=idle_share, unit="%", better="less"),
    ]
