"""Question: how many calls of entities a second: read the state, write the state, answer?

Method: one client process keeps 64 calls in flight with emit-sync, over 1,000 keys in turn; one worker process runs the
handler, which adds one to its state, with the SDK's Worker (200 slots); the server is on SQLite with an fsync before
every acknowledgement. A call is a commit for the event with its run, and one for the answer with the state and its
event in the entity's stream. Then the same with one call at a time, and with 64 in flight for a single key, which wait
for each other. Server, worker and client share the machine. Every result is checked.
"""

import json
from collections.abc import Callable

from benchmarks.answers import Figure
from benchmarks.limits import COMMITS, FSYNC
from benchmarks.load import ClosedLoop, Measured, Reply, request_of
from benchmarks.processes import Workspace
from benchmarks.worker import COUNT

SECONDS = 6.0
IN_FLIGHT = 64
KEYS = 1_000


def call_of(keys: int) -> Callable[[int], bytes]:
    """The request with a number; keys: how many are called in turn."""

    def call(number: int) -> bytes:
        body = {"event": COUNT, "data": {"id": f"k{number % keys}"}, "timeout_ms": 20_000}
        return request_of("POST", "/api/v1/events/sync", json.dumps(body).encode())

    return call


def is_counted(reply: Reply) -> bool:
    """Whether the handler has added one to its state."""
    if reply.status != 200:
        return False
    (result,) = json.loads(reply.body)["results"]
    return result["status"].lower().endswith("completed") and result["output"] >= 1


async def calls(address: str, in_flight: int, keys: int, spent_s: Callable[[], float] = lambda: 0.0) -> Measured:
    return await ClosedLoop(address, in_flight, call_of(keys), is_counted, spent_s).best(SECONDS, warm_up_s=1.5)


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    await workspace.worker(address)
    many = await calls(address, IN_FLIGHT, KEYS, server.cpu_seconds)
    alone = await calls(address, 1, KEYS)
    hot = await calls(address, IN_FLIGHT, 1)
    return [
        Figure(name="calls of entities", value=many.per_second, unit="/s", target=1500, limit=COMMITS),
        Figure(name="p50 with 64 in flight", value=many.percentile(50), unit="ms", better="less"),
        Figure(name="processor time of the server for one", value=many.spent_us, unit="µs", better="less"),
        Figure(
            name="p50 of one call at a time",
            value=alone.percentile(50),
            unit="ms",
            target=5,
            better="less",
            limit=FSYNC,
        ),
        Figure(name="calls of one key", value=hot.per_second, unit="/s"),
    ]
