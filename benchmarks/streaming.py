"""Question: how does a streaming worker compare with a polling one, on the three-step workflow?

Method: as in `workflows` and `latency`, on one server, with both kinds of worker in
turns, so that both are measured under the same conditions. The better round of each counts.
"""

import asyncio

from benchmarks.answers import Figure
from benchmarks.limits import COMMITS, FSYNC
from benchmarks.processes import Workspace
from benchmarks.workflows import IN_FLIGHT, orders

SECONDS = 3.0
ROUNDS = 5


async def run(workspace: Workspace) -> list[Figure]:
    many: dict[str, list[float]] = {"polling": [], "streaming": []}
    alone: dict[str, list[float]] = {"polling": [], "streaming": []}
    spent: dict[str, list[float]] = {"polling": [], "streaming": []}
    server, address = await workspace.server()
    for _ in range(ROUNDS):
        for kind, arguments in (("polling", ()), ("streaming", ("stream=yes",))):
            worker = await workspace.worker(address, *arguments)
            measured = await orders(address, IN_FLIGHT, SECONDS, server.cpu_seconds)
            many[kind].append(measured.per_second)
            spent[kind].append(measured.spent_us)
            alone[kind].append((await orders(address, 1, SECONDS / 2)).percentile(50))
            await asyncio.to_thread(worker.stop)
    rate, delay = max(many["streaming"]), min(alone["streaming"])
    return [
        Figure(name="streaming: three-step workflows", value=rate, unit="/s", target=2000, limit=COMMITS),
        Figure(name="polling: three-step workflows", value=max(many["polling"]), unit="/s", limit=COMMITS),
        Figure(name="streaming beside polling", value=rate / max(many["polling"]), unit="×", target=1.2),
        Figure(name="streaming: start to result p50", value=delay, unit="ms", target=3.5, better="less", limit=FSYNC),
        Figure(name="polling: start to result p50", value=min(alone["polling"]), unit="ms", better="less", limit=FSYNC),
        Figure(
            name="delay of streaming beside polling",
            value=delay / min(alone["polling"]),
            unit="×",
            target=1,
            better="less",
        ),
        Figure(
            name="streaming: processor time of the server for one",
            value=min(spent["streaming"]),
            unit="µs",
            better="less",
        ),
        Figure(
            name="polling: processor time of the server for one", value=min(spent["polling"]), unit="µs", better="less"
        ),
    ]
