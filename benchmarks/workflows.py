"""Question: how many three-step workflows a second, from the event to the result at the client?

Method: one client process keeps 64 events in flight with emit-sync, one worker process runs the function with the SDK's
Worker (200 slots, three empty steps, each durable before the next begins), the server is on SQLite with an fsync before
every acknowledgement. Beside it, in turns, a worker with `checkpoint="batched"`, where a run is recorded at its end.
Server, worker and client share the machine. Every result is checked.
"""

import asyncio
import json
from collections.abc import Callable

from benchmarks.answers import Figure
from benchmarks.limits import COMMITS
from benchmarks.load import ClosedLoop, Measured, Reply, request_of
from benchmarks.processes import Workspace
from benchmarks.worker import ORDER

SECONDS = 9.0
ROUNDS = 3
IN_FLIGHT = 64


def order(number: int, api_key: str = "") -> bytes:
    body = {"event": ORDER, "data": {"number": number, "note": "x" * 80}, "timeout_ms": 20_000}
    return request_of("POST", "/api/v1/events/sync", json.dumps(body).encode(), api_key)


def is_done(reply: Reply) -> bool:
    """Whether the response has the output of a run of three steps."""
    if reply.status != 200:
        return False
    (result,) = json.loads(reply.body)["results"]
    output = result["output"]
    return result["status"].lower().endswith("completed") and len({output[name] for name in output}) == 1


async def orders(address: str, in_flight: int, seconds: float, spent_s: Callable[[], float] = lambda: 0.0) -> Measured:
    return await ClosedLoop(address, in_flight, order, is_done, spent_s).best(seconds, warm_up_s=1.5)


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    each: list[Measured] = []
    batched: list[Measured] = []
    spent: list[Measured] = []
    for _ in range(ROUNDS):
        # In turns, so that both are measured under the same conditions.
        for found, mode in ((each, "each"), (batched, "batched")):
            worker = await workspace.worker(address, f"checkpoint={mode}")
            found.append(await orders(address, IN_FLIGHT, SECONDS / ROUNDS, server.cpu_seconds))
            if found is each:
                spent.append(await orders(address, IN_FLIGHT, SECONDS / ROUNDS, worker.cpu_seconds))
            await asyncio.to_thread(worker.stop)
    best, beside = (max(found, key=lambda measured: measured.per_second) for found in (each, batched))
    return [
        Figure(name="three-step workflows", value=best.per_second, unit="/s", target=1500, limit=COMMITS),
        Figure(name="three-step workflows, batched", value=beside.per_second, unit="/s", limit=COMMITS),
        Figure(
            name="each step durable beside batched", value=best.per_second / beside.per_second, unit="×", target=0.8
        ),
        Figure(name="p50 with 64 in flight", value=best.percentile(50), unit="ms", better="less"),
        Figure(name="p99 with 64 in flight", value=best.percentile(99), unit="ms", better="less"),
        Figure(name="processor time of the server for one", value=best.spent_us, unit="µs", better="less"),
        Figure(name="processor time of the server for one, batched", value=beside.spent_us, unit="µs", better="less"),
        Figure(
            name="processor time of the worker for one",
            value=min(measured.spent_us for measured in spent),
            unit="µs",
            better="less",
        ),
    ]
