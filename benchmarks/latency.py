"""Question: how long from the event to the result on an idle server?

Method: as in `workflows`, but one event at a time: a run is five commits, one for each step, its start and its end.
"""

import asyncio

from benchmarks.answers import Figure
from benchmarks.limits import FSYNC
from benchmarks.load import Measured
from benchmarks.processes import Workspace
from benchmarks.workflows import orders

SECONDS = 9.0
ROUNDS = 3


async def run(workspace: Workspace) -> list[Figure]:
    _, address = await workspace.server()
    each: list[Measured] = []
    batched: list[Measured] = []
    for _ in range(ROUNDS):
        # In turns, so that both are measured under the same conditions.
        for found, mode in ((each, "each"), (batched, "batched")):
            worker = await workspace.worker(address, f"checkpoint={mode}")
            found.append(await orders(address, 1, SECONDS / ROUNDS))
            await asyncio.to_thread(worker.stop)
    best, beside = (min(found, key=lambda measured: measured.percentile(50)) for found in (each, batched))
    return [
        Figure(
            name="start to result p50", value=best.percentile(50), unit="ms", target=4.5, better="less", limit=FSYNC
        ),
        Figure(name="start to result p99", value=best.percentile(99), unit="ms", better="less"),
        Figure(name="start to result p50, batched", value=beside.percentile(50), unit="ms", better="less", limit=FSYNC),
    ]
