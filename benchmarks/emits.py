"""Question: how many events a second does the server record durably, with 1 and with 64 writers?

Method: emits of a small event (about 150 bytes of data) that starts no run, over keep-alive HTTP/1.1, each writer
sends the next one after the response. A response means that the event is on disk.
"""

import json

from benchmarks.answers import Figure
from benchmarks.limits import COMMITS, ECHO_64
from benchmarks.load import ClosedLoop, Measured, request_of
from benchmarks.processes import Process, Workspace

SECONDS = 6.0
DATA = {"order": "ord_4711", "customer": {"id": "cus_815", "country": "DE"}, "total": 12900, "note": "x" * 60}
EMIT = request_of("POST", "/api/v1/events", json.dumps({"event": "bench.plain", "data": DATA}).encode())


async def emit(server: Process, address: str, writers: int, seconds: float) -> Measured:
    load = ClosedLoop(address, writers, lambda _: EMIT, lambda reply: reply.status == 200, server.cpu_seconds)
    return await load.best(seconds)


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    one = await emit(server, address, 1, SECONDS / 2)
    many = await emit(server, address, 64, SECONDS)
    return [
        Figure(name="emits at 1 writer", value=one.per_second, unit="/s", limit=COMMITS),
        Figure(name="emit p50 at 1 writer", value=one.percentile(50), unit="ms", better="less"),
        Figure(name="emits at 64 writers", value=many.per_second, unit="/s", target=20_000, limit=ECHO_64),
        Figure(name="emit p99 at 64 writers", value=many.percentile(99), unit="ms", better="less"),
        Figure(name="processor time of the server for one", value=many.spent_us, unit="µs", better="less"),
    ]
