"""Question: how long from the event to the result, when nothing else is going on?

Method: as in `workflows`, but one event at a time.
"""

from benchmarks.answers import Figure
from benchmarks.limits import FSYNC
from benchmarks.processes import Ground
from benchmarks.workflows import orders

SECONDS = 9.0


async def run(ground: Ground) -> list[Figure]:
    _, address = await ground.server()
    await ground.worker(address)
    measured = await orders(address, 1, SECONDS)
    return [
        Figure(
            name="start to result p50", value=measured.percentile(50), unit="ms", target=6, better="less", limit=FSYNC
        ),
        Figure(name="start to result p99", value=measured.percentile(99), unit="ms", better="less"),
    ]
