"""Question: what does a branch of `step.parallel` cost, and how long does a map over 500 items take?

Method: one run at a time with emit-sync, of a function with 100 branches of one empty step, then of one
with a single branch; the difference divided by 99 is the cost of a branch. Then `step.map` over 500 items, each
one such
step. The medians of the same run are compared; every result is checked.
"""

import json

from benchmarks.answers import Figure
from benchmarks.load import ClosedLoop, Measured, Reply, request_of
from benchmarks.processes import Workspace
from benchmarks.worker import FAN, MAP

SECONDS = 6.0
BRANCHES = 100
ITEMS = 500


async def runs(address: str, event: str, data: dict[str, int], output: int, seconds: float) -> Measured:
    """Runs of one function, one after another."""
    body = json.dumps({"event": event, "data": data, "timeout_ms": 20_000}).encode()
    request = request_of("POST", "/api/v1/events/sync", body)

    def is_done(reply: Reply) -> bool:
        return reply.status == 200 and json.loads(reply.body)["results"][0]["output"] == output

    return await ClosedLoop(address, 1, lambda _: request, is_done).best(seconds)


async def run(workspace: Workspace) -> list[Figure]:
    _, address = await workspace.server()
    await workspace.worker(address)
    one = (await runs(address, FAN, {"branches": 1}, 1, SECONDS / 2)).percentile(50)
    many = (await runs(address, FAN, {"branches": BRANCHES}, BRANCHES, SECONDS)).percentile(50)
    items = (await runs(address, MAP, {"items": ITEMS}, sum(range(ITEMS)), SECONDS)).percentile(50)
    beside = (items / ITEMS) / (many / BRANCHES)
    return [
        Figure(name=f"run of {BRANCHES} branches p50", value=many, unit="ms", better="less"),
        Figure(name="cost of a branch", value=(many - one) / (BRANCHES - 1) * 1000, unit="µs", better="less"),
        Figure(name=f"map of {ITEMS} items p50", value=items, unit="ms", better="less"),
        Figure(name="an item beside a branch", value=beside, unit="×", better="less"),
    ]
