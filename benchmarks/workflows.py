"""Question: how many three-step workflows a second, from the event to the result in the client's hands?

Method: one client process keeps 64 events in flight with emit-sync, one worker process runs the function with the SDK's
Worker (200 slots, three steps that do nothing), the server is on SQLite with an fsync before every acknowledgement.
Server, worker and client share the machine. Every result is checked.
"""

import json
from collections.abc import Callable

from benchmarks.answers import Figure
from benchmarks.limits import COMMITS
from benchmarks.load import ClosedLoop, Measured, Reply, request_of
from benchmarks.processes import Ground
from benchmarks.worker import ORDER

SECONDS = 9.0
IN_FLIGHT = 64


def order(number: int) -> bytes:
    body = {"event": ORDER, "data": {"number": number, "note": "x" * 80}, "timeout_ms": 20_000}
    return request_of("POST", "/api/v1/events/sync", json.dumps(body).encode())


def is_done(reply: Reply) -> bool:
    """Whether the answer holds the output of a run of three steps."""
    if reply.status != 200:
        return False
    (result,) = json.loads(reply.body)["results"]
    output = result["output"]
    return result["status"].lower().endswith("completed") and len({output[name] for name in output}) == 1


async def orders(address: str, in_flight: int, seconds: float, spent_s: Callable[[], float] = lambda: 0.0) -> Measured:
    return await ClosedLoop(address, in_flight, order, is_done, spent_s).best(seconds, warm_up_s=1.5)


async def run(ground: Ground) -> list[Figure]:
    server, address = await ground.server()
    worker = await ground.worker(address)
    measured = await orders(address, IN_FLIGHT, SECONDS, server.cpu_seconds)
    again = await orders(address, IN_FLIGHT, SECONDS / 2, worker.cpu_seconds)
    return [
        Figure(name="three-step workflows", value=measured.per_second, unit="/s", target=1000, limit=COMMITS),
        Figure(name="p50 with 64 in flight", value=measured.percentile(50), unit="ms", better="less"),
        Figure(name="p99 with 64 in flight", value=measured.percentile(99), unit="ms", better="less"),
        Figure(name="processor time of the server for one", value=measured.spent_us, unit="µs", better="less"),
        Figure(name="processor time of the worker for one", value=again.spent_us, unit="µs", better="less"),
    ]
